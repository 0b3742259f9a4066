"""torchdiffeq, which flashode stands in for (Chen et al., NeurIPS 2018)."""

from __future__ import annotations

from functools import partial
from typing import Any

from flashode.bench.contenders import CONTINUOUS, DISCRETE, FORWARD, SEMINORM, Prepared, register
from flashode.bench.contenders.calls import count_calls, prepare
from flashode.bench.tasks.workloads import Workload

_theirs = partial(register, "torchdiffeq", packages=("torchdiffeq",))


def _call(workload: Workload, mode: str, function: str, **arguments: Any) -> Prepared:
    import torchdiffeq

    solve = getattr(torchdiffeq, function)
    return prepare(workload, mode, solve, count=count_calls, **arguments)


@_theirs(FORWARD, label="torchdiffeq")
def _forward(workload: Workload) -> Prepared:
    return _call(workload, FORWARD, "odeint")


@_theirs(DISCRETE, label="torchdiffeq backprop")
def _backprop(workload: Workload) -> Prepared:
    return _call(workload, DISCRETE, "odeint")


@_theirs(CONTINUOUS, label="torchdiffeq adjoint")
def _adjoint(workload: Workload) -> Prepared:
    return _call(workload, CONTINUOUS, "odeint_adjoint")


@_theirs(SEMINORM, label="torchdiffeq adjoint, seminorm")
def _adjoint_seminorm(workload: Workload) -> Prepared:
    return _call(workload, SEMINORM, "odeint_adjoint", adjoint_options={"norm": "seminorm"})
