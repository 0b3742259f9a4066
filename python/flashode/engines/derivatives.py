"""Whether a field hides its derivative from the implicit methods that need it. Shared by the engines."""

from __future__ import annotations

import torch

from flashode.engines.jacobian import Jacobians, is_transformed, real
from flashode.problem import Problem

HIDDEN_DERIVATIVE = (
    "what func returns changes with y, but autograd sees no derivative of it in y, which implicit methods "
    "need: numpy, detach(), .data, .item() and no_grad hide it. Compute it from y by torch operations, or "
    "take an explicit method"
)
# The distance from a state to the derivative, relative to the state's size plus one.
_AWAY = 0.01


def hides_derivative(problem: Problem, t: float, y: torch.Tensor) -> bool:
    """Whether rates change with the state while autograd sees no derivative of them in it.

    For use where an implicit method failed: it evaluates the field three times, near the state and not at it,
    where derivatives may vanish, as that of y**2 does at zero. A field whose values differ from call to call
    is not judged.

    Args:
        problem: What is being solved.
        t: Solver time.
        y: State there.
    """
    if is_transformed():
        return False
    with torch.inference_mode(False), torch.enable_grad():
        time = torch.full((), t, dtype=problem.real_dtype, device=y.device)
        scale = 1 + y.detach().abs()
        y = (y.detach() + _AWAY * scale).requires_grad_()
        near = y.detach() + torch.finfo(problem.real_dtype).eps ** 0.5 * scale
        if problem.linearise is not None:
            f, jacobian = problem.linearise(time, y.detach())
        else:
            f = problem.field(time.clone(), y.clone())
            jacobian = Jacobians().of(f, y)
        # In the same mode, for the field may differentiate itself.
        again, moved = (
            problem.field(time.clone(), x.detach().requires_grad_().clone()).detach() for x in (y, near)
        )
    with torch.no_grad():
        noise, change = (real(x) - real(f) for x in (again, moved))
        if problem.coupled is not None:
            noise, change = noise[problem.coupled], change[problem.coupled]
        changes = torch.isfinite(change) & (change != 0) & (noise == 0)
        return bool((changes & ~jacobian.any(dim=1)).any())
