"""What is done with a workload: solve it, or solve it and differentiate; and whether two solvers agree."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.workloads import Workload

Solve = Callable[..., Tensor]
Job = Callable[[], "Answer"]

# Two solvers may each be off by the tolerance in any step, and float32 keeps seven digits of what they share.
TOLERANCES_APART = 10.0
ROUNDINGS_APART = 100.0


@dataclass(frozen=True)
class Answer:
    """What a job computed: the solution, and for training the gradients of the parameters in order."""

    states: Tensor
    gradients: tuple[Tensor, ...] = ()


def make_job(workload: Workload, mode: str, solve: Solve) -> Job:
    """The job `mode` ("forward" or "train") of a workload with a solver, on a field of its own."""
    field, y0 = workload.make()
    parameters = tuple(field.parameters())

    def run() -> Tensor:
        return solve(
            field,
            y0,
            workload.times,
            rtol=workload.rtol,
            atol=workload.atol,
            method=workload.method,
            options=workload.options,
        )

    def forward() -> Answer:
        with torch.no_grad():
            return Answer(run())

    def train() -> Answer:
        for parameter in parameters:
            parameter.grad = None
        states = run()
        states.abs().mean().backward()  # type: ignore[no-untyped-call]
        return Answer(states.detach(), tuple(p.grad for p in parameters if p.grad is not None))

    return {"forward": forward, "train": train}[mode]


def check_agreement(workload: Workload, expected: Answer, got: Answer) -> float:
    """The largest difference of the two solutions, in units of what the tolerance allows: 1 is the limit.

    Raises:
        ValueError: If the solutions or the gradients differ by more than the tolerance and rounding explain.
    """
    worst = _apart(workload, expected.states, got.states)
    if len(expected.gradients) != len(got.gradients):
        raise ValueError(f"{workload.name}: {len(expected.gradients)} gradients against {len(got.gradients)}")
    for one, other in zip(expected.gradients, got.gradients, strict=True):
        worst = max(worst, _apart(workload, one, other))
    if not worst <= 1.0:
        raise ValueError(
            f"{workload.name}: the answers differ by {worst:.1f} times what the tolerance allows"
        )
    return worst


def _apart(workload: Workload, expected: Tensor, got: Tensor) -> float:
    scale = expected.double().abs().max()
    rounding = ROUNDINGS_APART * torch.finfo(expected.dtype).eps * scale
    allowed = TOLERANCES_APART * (workload.atol + workload.rtol * scale) + rounding
    return float((expected.double() - got.double()).abs().max() / allowed)
