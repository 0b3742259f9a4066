"""flashode itself: as a user calls it, and its other engines on the CPU, with every gradient mode."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn

import flashode
from flashode.bench.contenders import (
    CONTINUOUS,
    DISCRETE,
    FORWARD,
    SEMINORM,
    Evaluations,
    Prepared,
    Unsupported,
    register,
)
from flashode.bench.contenders.calls import prepare
from flashode.bench.tasks.workloads import Workload
from flashode.engines import EngineDeclined

_compiled = partial(register, "flashode", packages=("flashode",))
_by_numba = partial(register, "flashode numba", packages=("flashode", "numba"))
_plain = partial(register, "flashode eager", packages=("flashode",))
_in_plain_torch = partial(flashode.use_engine, "eager")


@contextmanager
def _in_numba() -> Iterator[None]:
    try:
        with flashode.use_engine("numba"):
            yield
    except EngineDeclined as declined:
        raise Unsupported(str(declined)) from None


@contextmanager
def _as_called() -> Iterator[None]:
    # That the compiled engine declines some workloads is part of what is measured; records name the engine.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", flashode.FallbackWarning)
        yield


def _count(field: nn.Module, solve: Callable[[], object], reverse: Callable[[], object]) -> Evaluations:
    with flashode.record() as report:
        solve()
        reverse()
    (solves,) = report.solves
    return Evaluations(solves.evaluations, solves.backward_evaluations, solves.engine)


_discrete = partial(prepare, solve=flashode.odeint, count=_count)
_continuous = partial(prepare, solve=flashode.odeint_adjoint, count=_count)
_seminorm = partial(_continuous, adjoint_options={"norm": "seminorm"})


@_compiled(FORWARD, label="flashode")
def _forward(workload: Workload) -> Prepared:
    return _discrete(workload, FORWARD, settings=_as_called)


@_compiled(DISCRETE, label="flashode discrete adjoint")
def _discrete_adjoint(workload: Workload) -> Prepared:
    return _discrete(workload, DISCRETE, settings=_as_called)


@_compiled(CONTINUOUS, label="flashode continuous adjoint")
def _continuous_adjoint(workload: Workload) -> Prepared:
    return _continuous(workload, CONTINUOUS, settings=_as_called)


@_compiled(SEMINORM, label="flashode continuous adjoint, seminorm")
def _continuous_adjoint_seminorm(workload: Workload) -> Prepared:
    return _seminorm(workload, SEMINORM, settings=_as_called)


@_by_numba(FORWARD, label="flashode numba")
def _numba_forward(workload: Workload) -> Prepared:
    return _discrete(workload, FORWARD, settings=_in_numba)


@_by_numba(DISCRETE, label="flashode numba discrete adjoint")
def _numba_discrete_adjoint(workload: Workload) -> Prepared:
    return _discrete(workload, DISCRETE, settings=_in_numba)


@_by_numba(CONTINUOUS, label="flashode numba continuous adjoint")
def _numba_continuous_adjoint(workload: Workload) -> Prepared:
    return _continuous(workload, CONTINUOUS, settings=_in_numba)


@_plain(FORWARD, label="flashode eager")
def _eager_forward(workload: Workload) -> Prepared:
    return _discrete(workload, FORWARD, settings=_in_plain_torch)


@_plain(DISCRETE, label="flashode eager backprop")
def _backprop(workload: Workload) -> Prepared:
    return _discrete(workload, DISCRETE, settings=_in_plain_torch)


@_plain(CONTINUOUS, label="flashode eager continuous adjoint")
def _eager_adjoint(workload: Workload) -> Prepared:
    return _continuous(workload, CONTINUOUS, settings=_in_plain_torch)
