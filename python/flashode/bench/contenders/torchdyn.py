"""torchdyn: neural differential equations in PyTorch (Poli et al., 2021)."""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from flashode.bench.contenders import CONTINUOUS, DISCRETE, FORWARD, Prepared, Unsupported, register
from flashode.bench.contenders.calls import constructed_once, count_calls, prepare
from flashode.bench.tasks.workloads import Workload

_theirs = partial(register, "torchdyn", packages=("torchdyn",))
_METHODS = ("dopri5", "tsit5", "rk4")


@_theirs(FORWARD, label="torchdyn")
def _forward(workload: Workload) -> Prepared:
    return _prepare(workload, FORWARD, "autograd")


@_theirs(DISCRETE, label="torchdyn autograd")
def _autograd(workload: Workload) -> Prepared:
    return _prepare(workload, DISCRETE, "autograd")


@_theirs(CONTINUOUS, label="torchdyn adjoint")
def _adjoint(workload: Workload) -> Prepared:
    return _prepare(workload, CONTINUOUS, "adjoint")


@_theirs("interpolated", label="torchdyn interpolated adjoint")
def _interpolated(workload: Workload) -> Prepared:
    return _prepare(workload, "interpolated", "interpolated_adjoint")


class _WithArguments(nn.Module):
    """A field that takes the further arguments which torchdyn hands to one."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field

    def forward(self, t: Tensor, y: Tensor, args: object = None) -> Tensor:
        # Some of its solvers make a vector of a time.
        rate: Tensor = self.field(t.reshape(()), y)
        return rate


@contextmanager
def _quietly() -> Iterator[None]:
    # It warns of tolerances with methods of given steps, and of parts of its own that are deprecated.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _prepare(workload: Workload, mode: str, sensitivity: str) -> Prepared:
    # Before the clock starts: seconds of importing are no part of a first run.
    importlib.import_module("torchdyn.core")
    if workload.method not in _METHODS:
        raise Unsupported(f"torchdyn has no {workload.method}")
    if workload.start.zeros:
        raise Unsupported("torchdyn has no tuple states")
    if workload.jumps:
        raise Unsupported("the field jumps")
    if workload.random:
        raise Unsupported("its rk4 is another one, which draws the field's numbers at other times")
    solve = constructed_once(partial(_make, sensitivity=sensitivity), _solve)
    return prepare(workload, mode, solve, settings=_quietly, count=count_calls)


def _make(field: nn.Module, y0: Tensor, rtol: float, atol: float, method: str, *, sensitivity: str) -> Any:
    from torchdyn.core import NeuralODE
    from torchdyn.numerics.solvers.ode import str_to_solver

    # It prints that a field without parameters has none.
    with redirect_stdout(io.StringIO()):
        return NeuralODE(
            _WithArguments(field),
            # By name a solver has coefficients that are rounded to float32. The adjoint's is the same.
            solver=str_to_solver(method, y0.dtype),
            rtol=rtol,
            atol=atol,
            rtol_adjoint=rtol,
            atol_adjoint=atol,
            sensitivity=sensitivity,
        )


def _solve(model: Any, y0: Tensor, times: Tensor, options: dict[str, Any]) -> Tensor:
    reached, states = model(y0, _grid(times, options.get("step_size")))
    # Some ways return every step that was taken, the given times among them.
    chosen: Tensor = states[(reached[:, None] - times).abs().argmin(0)]
    return chosen


def _grid(times: Tensor, step_size: float | None) -> Tensor:
    """The times to step through: torchdyn steps from each given time to the next."""
    if step_size is None:
        return times
    steps = round(float(times[1] - times[0]) / step_size)
    count = steps * (len(times) - 1) + 1
    return torch.linspace(float(times[0]), float(times[-1]), count, dtype=times.dtype, device=times.device)
