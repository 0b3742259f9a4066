"""The reference answers: solves in float64 with tolerances far tighter than any that is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

import flashode
from flashode.bench.tasks.answers import Answer
from flashode.bench.tasks.workloads import State, Workload

# Below what a solver of the contenders' precision and usual tolerances can show: two orders for float32, and
# for float64, whose sums over a trajectory round to some 1e-13, as tight as that allows.
TOLERANCES: Mapping[str, float] = {"float32": 1e-9, "float64": 1e-12}
# Backpropagation keeps every activation: this many trajectories fit in memory with room to spare.
TOGETHER = 4096
# Solvers of one tolerance still differ by where their steps fall and by how their sums round.
FACTOR = 10.0
ROUNDINGS = 10.0
# Where errors are what is measured: they grow along a trajectory, on some problems by much.
FAR = 1e3
# Between steps of dopri8, h ~ rtol^(1/8), a polynomial of degree four is off by h^5, more than the steps are.
INTERPOLATED = 5 / 8


def reference(workload: Workload, *, gradients: bool, tolerance: float | None = None) -> Answer | None:
    """The answer of dopri8 in the plain-PyTorch engine, its gradients by autograd; None for a random field.

    No kernel that is measured takes part. With gradients batches are solved in parts: autograd's memory grows
    with them.
    """
    if workload.random:
        return None
    tight = tolerance or TOLERANCES[workload.precision]
    field, y0, times = workload.make(torch.float64)
    jumps = torch.tensor(workload.jumps, dtype=torch.float64, device=times.device)
    # Steps end at every output time: between steps dopri8 is interpolated, far less exactly than it steps.
    options = {"step_t": times[~torch.isin(times, jumps)], "jump_t": jumps}
    parts: Sequence[State] = [y0]
    if gradients and isinstance(y0, Tensor) and y0.ndim > 1:
        parts = torch.split(y0, TOGETHER)
    states = []
    for part in parts:
        with flashode.use_engine("eager"), torch.set_grad_enabled(gradients):
            solved = flashode.odeint(
                field, part, times, rtol=tight, atol=tight, method="dopri8", options=options
            )
            joined = solved if isinstance(solved, Tensor) else torch.cat(solved, -1)
            if gradients:
                # The means over the parts, weighted by the parts' sizes, sum up to the mean over all.
                share = _size(part) / _size(y0)
                (share * joined.abs().mean()).backward()  # type: ignore[no-untyped-call]
        states.append(joined.detach())
    whole = torch.cat(states, 1) if len(states) > 1 else states[0]
    parameter_gradients = [parameter.grad for parameter in field.parameters() if parameter.grad is not None]
    return Answer.of_tensors(whole, parameter_gradients)


def _size(state: State) -> int:
    return state.numel() if isinstance(state, Tensor) else sum(part.numel() for part in state)


def shortcoming(workload: Workload, answer: Answer, standard: Answer, truth: Answer) -> str | None:
    """What is wrong with an answer, or None.

    Args:
        workload: What was solved.
        answer: What came out.
        standard: What a trusted solver of the same tolerance makes of it, which shows what error is usual.
        truth: See `reference`.
    """
    rounding = ROUNDINGS * torch.finfo(workload.dtype).eps
    asked = workload.rtol if workload.adaptive else 0.0
    for name, error, usual in (
        ("states", answer.error(truth), standard.error(truth)),
        ("gradients", answer.gradient_error(truth), standard.gradient_error(truth)),
    ):
        if error is None or usual is None:
            continue
        allowed = FACTOR * max(usual, asked, rounding)
        if not error <= allowed:
            return f"wrong answer: relative error of the {name} {error:.1e}, allowed {allowed:.1e}"
    return None


def excess(workload: Workload, answer: Answer, truth: Answer) -> str | None:
    """What is wrong with an answer whose error is what is measured, or None: only an error beyond measure."""
    error, allowed = answer.error(truth), FAR * workload.rtol**INTERPOLATED
    if error <= allowed:
        return None
    return f"wrong answer: relative error of the states {error:.1e}, allowed {allowed:.1e}"
