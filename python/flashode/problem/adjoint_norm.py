"""The norm that errors of the augmented state are measured in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from flashode.problem.definition import Problem, rms
from flashode.problem.gradient import Continuous

AugmentedNorm = Callable[[tuple[torch.Tensor, ...]], Any]


def adjoint_norm(problem: Problem, gradient: Continuous) -> AugmentedNorm:
    """The norm of ``(vjp_t, y, a, *vjp_parameters)``, in which y and a are as the problem's y0."""
    custom = gradient.norm

    def unpacked(state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (*state[:3], *map(as_gradient_in, state[3:], gradient.parameters))

    if callable(custom):

        def measured(state: tuple[torch.Tensor, ...]) -> Any:
            vjp_t, y, a, *parameters = unpacked(state)
            if problem.shapes is None:
                return custom((vjp_t, y, a, *parameters))
            return custom((vjp_t, *problem.unflatten(y), *problem.unflatten(a), *parameters))

        return measured

    def joint(state: tuple[torch.Tensor, ...]) -> torch.Tensor:
        vjp_t, y, a, *parameters = unpacked(state)
        norms = [vjp_t.abs(), problem.norm(y), problem.norm(a)]
        if custom == "joint":
            norms += [rms(p) for p in parameters]
        return torch.stack(norms).amax()

    return joint


def as_gradient_in(parameter_gradient: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """A part of the augmented state as the gradient that it is, which may be complex beside a real state."""
    if parameter.is_complex() and not parameter_gradient.is_complex():
        return torch.complex(*parameter_gradient.unbind(-1))
    return parameter_gradient
