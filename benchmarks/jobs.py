"""What is done with a workload: solve it, or solve it and differentiate; and how right the answer is."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
import torchdiffeq
from torch import Tensor

from benchmarks.workloads import State, Workload

Job = Callable[[], "Answer"]

# Solving under no_grad; odeint and backward; odeint_adjoint and backward.
MODES = ("forward", "train", "adjoint")

# How much closer to the exact answer the reference is asked to be than the solvers that are timed.
TIGHTER = 1e-2
# Solvers that keep the same tolerance still differ by an accident of where steps fall and of how sums round.
FACTOR = 10.0
ROUNDINGS = 10.0


@dataclass(frozen=True)
class Answer:
    """What a job computed: the solution, and for training the gradients of the parameters in order."""

    states: Tensor
    gradients: tuple[Tensor, ...] = ()

    def error(self, reference: "Answer") -> float:
        """The largest difference from a reference, each tensor measured by its own largest entry."""
        pairs = zip((self.states, *self.gradients), (reference.states, *reference.gradients), strict=True)
        return max(float((got.double() - right).abs().max() / right.abs().max()) for got, right in pairs)


def make_job(
    workload: Workload,
    mode: str,
    library: ModuleType,
    *,
    dtype: torch.dtype = torch.float32,
    tighter: float = 1.0,
) -> Job:
    """The job of a workload with torchdiffeq or flashode, on a field of its own.

    Args:
        workload: What to solve.
        mode: One of `MODES`.
        library: The module whose `odeint` or `odeint_adjoint` is called.
        dtype: Of the field, the state and the times.
        tighter: What the workload's tolerances are multiplied by.
    """
    solve = library.odeint_adjoint if mode == "adjoint" else library.odeint
    field, y0 = workload.make()
    field, times = field.to(dtype), workload.times.to(dtype)
    start = y0.to(dtype) if isinstance(y0, Tensor) else tuple(part.to(dtype) for part in y0)
    parameters = tuple(field.parameters())

    def run() -> Tensor:
        states: State = solve(
            field,
            start,
            times,
            rtol=workload.rtol * tighter,
            atol=workload.atol * tighter,
            method=workload.method,
            options=workload.options,
        )
        return states if isinstance(states, Tensor) else torch.cat(states, -1)

    def forward() -> Answer:
        with torch.no_grad():
            return Answer(run())

    def train() -> Answer:
        for parameter in parameters:
            parameter.grad = None
        states = run()
        states.abs().mean().backward()  # type: ignore[no-untyped-call]
        return Answer(states.detach(), tuple(p.grad for p in parameters if p.grad is not None))

    return forward if mode == "forward" else train


def check(workload: Workload, mode: str, theirs: Answer, ours: Answer) -> tuple[float, float]:
    """The relative errors of torchdiffeq's and of our answer against a tighter solve in float64.

    Where the field draws numbers there is no such solve: ours is compared with torchdiffeq's, which had the
    same ones.

    Raises:
        ValueError: If ours is over ten times what torchdiffeq's error, the tolerance or rounding explains.
    """
    if workload.random:
        reference = theirs
    else:
        reference = make_job(workload, mode, torchdiffeq, dtype=torch.float64, tighter=TIGHTER)()
    their_error, our_error = theirs.error(reference), ours.error(reference)
    rounding = ROUNDINGS * torch.finfo(torch.float32).eps
    if not our_error <= FACTOR * max(their_error, workload.rtol, rounding):
        raise ValueError(
            f"{workload.name}, {mode}: our relative error is {our_error:.1e}, torchdiffeq's {their_error:.1e}"
        )
    return their_error, our_error
