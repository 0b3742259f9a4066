"""torchode: every trajectory with step sizes of its own, in PyTorch (Lienen and Günnemann, 2022).

Its solver is not put through torch.compile.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from flashode.bench.contenders import CONTINUOUS, DISCRETE, FORWARD, Prepared, Unsupported, register
from flashode.bench.contenders.calls import constructed_once, count_calls, prepare
from flashode.bench.tasks.workloads import Workload

_theirs = partial(register, "torchode", packages=("torchode",))
_METHODS = {"dopri5": "Dopri5", "tsit5": "Tsit5"}


@_theirs(FORWARD, label="torchode")
def _forward(workload: Workload) -> Prepared:
    return _prepare(workload, FORWARD)


@_theirs(DISCRETE, label="torchode backprop")
def _backprop(workload: Workload) -> Prepared:
    return _prepare(workload, DISCRETE)


@_theirs(CONTINUOUS, label="torchode joint backsolve")
def _backsolve(workload: Workload) -> Prepared:
    return _prepare(workload, CONTINUOUS)


class _Rows(nn.Module):
    """A field over states of one flat row for each trajectory, which is what torchode solves."""

    def __init__(self, field: nn.Module, shape: torch.Size) -> None:
        super().__init__()
        self.field, self.shape = field, shape

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        # Each trajectory has a time of its own.
        time = t.reshape((-1,) + (1,) * (len(self.shape) - 1)) if len(self.shape) > 1 else t.reshape(())
        rate: Tensor = self.field(time, y.reshape(self.shape))
        return rate.reshape(y.shape)


def _prepare(workload: Workload, mode: str) -> Prepared:
    # Before the clock starts: seconds of importing are no part of a first run.
    importlib.import_module("torchode")
    if workload.method not in _METHODS:
        raise Unsupported(f"torchode has no {workload.method}")
    if workload.start.zeros:
        raise Unsupported("torchode has no tuple states")
    if workload.jumps:
        raise Unsupported("the field jumps")
    solve = constructed_once(partial(_make, joint=mode == CONTINUOUS), _solve)
    return prepare(workload, mode, solve, count=count_calls)


def _make(field: nn.Module, y0: Tensor, rtol: float, atol: float, method: str, *, joint: bool) -> Any:
    import torchode

    term = torchode.ODETerm(_Rows(field, y0.shape))
    step = getattr(torchode, _METHODS[method])(term=term)
    control = torchode.IntegralController(atol=atol, rtol=rtol, term=term)
    if joint:
        return torchode.JointBacksolveAdjoint(term, step, control)
    return torchode.AutoDiffAdjoint(step, control)


def _solve(solver: Any, y0: Tensor, times: Tensor, options: dict[str, Any]) -> Tensor:
    import torchode

    start = y0.reshape(len(y0) if y0.ndim > 1 else 1, -1)
    problem = torchode.InitialValueProblem(y0=start, t_eval=times.expand(len(start), -1))
    solution = solver.solve(problem)
    if bool((solution.status != 0).any()):
        raise ArithmeticError(f"torchode ended with the status {solution.status.tolist()}")
    states: Tensor = solution.ys
    return states.transpose(0, 1).reshape(len(times), *y0.shape)
