"""Solves whose results are compared: states, gradients and counts of one workload in one mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

import flashode
from flashode.bench.contenders import CONTINUOUS, FORWARD
from flashode.bench.tasks.workloads import WORKLOADS, Workload


@dataclass(frozen=True)
class Solved:
    """What one solve gives.

    Attributes:
        states: Of each part of the state, of shape (times, *part).
        gradients: Of the mean absolute state: in each part of y0, in the parameters, last in times.
        evaluations: Of the field, forward.
        backward_evaluations: In the reverse, if there is one.
    """

    states: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]
    evaluations: int
    backward_evaluations: int | None

    def equals(self, other: Solved) -> bool:
        """Whether all bits are the same."""
        pairs = zip((*self.states, *self.gradients), (*other.states, *other.gradients), strict=True)
        return all(torch.equal(one, its) for one, its in pairs)


def solved(workload: Workload, mode: str) -> Solved:
    """Solves a workload on its device, with the engine that is chosen."""
    field, y0, times = workload.make()
    train = mode != FORWARD
    parts = (y0,) if isinstance(y0, Tensor) else y0
    starts = tuple(part.requires_grad_(train) for part in parts)
    times.requires_grad_(train)
    start = starts[0] if isinstance(y0, Tensor) else starts
    solve = flashode.odeint_adjoint if mode == CONTINUOUS else flashode.odeint
    with flashode.record() as report, torch.set_grad_enabled(train):
        states = solve(
            field,
            start,
            times,
            rtol=workload.rtol,
            atol=workload.atol,
            method=workload.method,
            options=workload.options,
        )
        outputs = (states,) if isinstance(states, Tensor) else tuple(states)
        gradients: Sequence[Tensor] = ()
        if train:
            loss = torch.cat([part.flatten() for part in outputs]).abs().mean()
            gradients = torch.autograd.grad(
                loss, [*starts, *field.parameters(), times], materialize_grads=True
            )
    (entry,) = report.solves
    return Solved(
        tuple(part.detach() for part in outputs),
        tuple(gradients),
        entry.evaluations,
        entry.backward_evaluations,
    )


def sized(name: str, batch: int | None = None, **changes: object) -> Workload:
    """A workload by its name.

    Args:
        name: Of the workload.
        batch: Its trajectories; None for as many as it has.
        **changes: Other attributes.
    """
    workload = WORKLOADS[name]
    if batch is not None:
        start = replace(workload.start, shape=(batch, *workload.start.shape[1:]))
        workload = replace(workload, start=start)
    return replace(workload, **changes)  # type: ignore[arg-type]


def difference(got: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """The largest, each tensor in units of its own largest; NaN and another shape are infinitely far."""
    worst = 0.0
    for one, its in zip(got, right, strict=True):
        if one.shape != its.shape:
            return float("inf")
        apart = (one.to("cpu", torch.float64) - its.to("cpu", torch.float64)).abs().max()
        unit = max(float(its.abs().max()), torch.finfo(torch.float64).tiny)
        ratio = float(apart) / unit
        worst = max(worst, ratio if ratio == ratio else float("inf"))
    return worst
