"""How a solve is differentiated: a type for each gradient mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from flashode import notices
from flashode.problem.callbacks import NO_CALLBACKS, Callbacks, find_callbacks
from flashode.problem.definition import Problem
from flashode.problem.integration import Integration, make_integration
from flashode.problem.normalise import find_method
from flashode.problem.settings import Integrator
from flashode.problem.tolerances import CheckedTolerance, Tolerance, make_tolerance
from flashode.wording import shown

AdjointNorm = Literal["joint", "seminorm"] | Callable[[Any], Any]


@dataclass(frozen=True)
class Discrete:
    """The exact reverse of the discrete solve."""

    # What of it is no tensor and no function.
    settings: ClassVar[None] = None


DISCRETE = Discrete()


@dataclass(frozen=True, eq=False)
class Continuous:
    """The adjoint equations, integrated backwards.

    The augmented state is ``(vjp_t, y, a, *vjp_parameters)``, flat. Its solver time runs against the
    problem's. Beside a real state the gradients in complex parameters are pairs of real numbers in it.

    Attributes:
        integration: How they are integrated, with tolerances of the augmented state and without a norm, the
            options' times in the augmented solver's time.
        parameters: Tensors that receive gradients; all require grad.
        norm: ``"joint"`` is max(abs vjp_t, norm y, norm a, largest RMS of a parameter); ``"seminorm"`` leaves
            the parameters out; a callable gets the unpacked tuple, in which a tuple state's components stand
            side by side.
        callbacks: The function's ``callback_*_adjoint``.
    """

    integration: Integration
    parameters: tuple[torch.Tensor, ...]
    norm: AdjointNorm = "joint"
    callbacks: Callbacks = NO_CALLBACKS

    @property
    def settings(self) -> tuple[Integrator, str]:
        """What of it is no tensor and no function."""
        return self.integration.integrator, self.norm if isinstance(self.norm, str) else "function"


Gradient = Discrete | Continuous

_PREFIX = "adjoint_"


def make_continuous(
    problem: Problem,
    *,
    method: str | None,
    options: Mapping[str, Any] | None,
    adjoint_rtol: Any,
    adjoint_atol: Any,
    adjoint_method: str | None,
    adjoint_options: Mapping[str, Any] | None,
    adjoint_params: Iterable[torch.Tensor] | None,
) -> Continuous:
    """Check the adjoint's arguments; what is not given is taken from the forward solve.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has an impossible value, if ``adjoint_params`` is missing for a function
            that is no Module, or if ``adjoint_options`` is missing where ``options`` belong to another
            method.
    """
    used = problem.method if adjoint_method is None else find_method("adjoint_method", adjoint_method)
    if used is not problem.method and options is not None and adjoint_options is None:
        raise ValueError(
            f"adjoint_options must be given, because adjoint_method {adjoint_method!r} differs from method "
            f"{method!r} and options were given, which may not fit it"
        )
    rest, norm = _split_norm(
        options if adjoint_options is None else adjoint_options, adjoint_options is not None
    )
    parameters, excluded = adjoint_parameters(problem.func, adjoint_params)
    if excluded and callable(norm):
        notices.warn(
            "some adjoint_params do not require grad: they are left out of the adjoint solve and the norm "
            "does not see them"
        )
    # Of inherited options the forward solve has warned already.
    own, direction = adjoint_options is not None, -problem.direction
    rtol = problem.rtol if adjoint_rtol is None else adjoint_rtol
    atol = problem.atol if adjoint_atol is None else adjoint_atol

    def check_tolerance(argument: str, value: Any, dtype: torch.dtype) -> CheckedTolerance:
        own_value = {"rtol": adjoint_rtol, "atol": adjoint_atol}[argument]
        return _tolerance(_PREFIX + argument, own_value, value, problem, parameters, dtype)

    integration = make_integration(
        used,
        rtol,
        atol,
        rest,
        direction,
        problem.y0,
        problem.structure,
        check_tolerance,
        _PREFIX,
        warn=own,
    )
    return Continuous(integration, parameters, norm, find_callbacks(problem.func, used, "_adjoint"))


def _split_norm(options: Mapping[str, Any] | None, own: bool) -> tuple[Mapping[str, Any] | None, AdjointNorm]:
    if not isinstance(options, Mapping):
        return options, "joint"
    rest = {name: value for name, value in options.items() if name != "norm"}
    norm = options.get("norm") if own else None
    if norm is None:
        return rest, "joint"
    if not callable(norm) and not (isinstance(norm, str) and norm == "seminorm"):
        raise ValueError(f"adjoint_options['norm'] must be 'seminorm' or a callable, got {shown(norm)}")
    return rest, norm


def adjoint_parameters(
    func: object, adjoint_params: Iterable[torch.Tensor] | None
) -> tuple[tuple[torch.Tensor, ...], bool]:
    """The parameters that require grad, and whether others were left out.

    Args:
        func: The user's function.
        adjoint_params: The argument of that name.

    Raises:
        TypeError: If these are no tensors.
        ValueError: If they are missing and the function is no Module.
    """
    if adjoint_params is None:
        if not isinstance(func, torch.nn.Module):
            raise ValueError(
                f"func must be a torch.nn.Module for its parameters to be found, got {type(func).__name__}; "
                "otherwise adjoint_params must be given: the tensors that receive gradients, () if there are "
                "none"
            )
        adjoint_params = find_parameters(func)
    elif isinstance(adjoint_params, torch.Tensor) or not isinstance(adjoint_params, Iterable):
        raise TypeError(f"adjoint_params must be an iterable of tensors, got {type(adjoint_params).__name__}")
    tensors = tuple(adjoint_params)
    for i, tensor in enumerate(tensors):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"adjoint_params[{i}] must be a tensor, got {type(tensor).__name__}")
    needed = tuple(tensor for tensor in tensors if tensor.requires_grad)
    return needed, len(needed) != len(tensors)


def find_parameters(module: torch.nn.Module) -> list[torch.Tensor]:
    """The parameters of a module; a replica made by DataParallel holds them as plain attributes."""
    if not getattr(module, "_is_replica", False):
        return list(module.parameters())
    attributes: dict[int, torch.Tensor] = {}
    for part in module.modules():
        for value in part.__dict__.values():
            if isinstance(value, torch.Tensor) and value.requires_grad:
                attributes.setdefault(id(value), value)
    return list(attributes.values())


def gradient_shapes(y0: torch.Tensor, parameters: tuple[torch.Tensor, ...]) -> list[torch.Size]:
    """The shapes that the gradients in the parameters have in the augmented state."""
    pairs = not y0.is_complex()
    return [torch.Size((*p.shape, 2)) if pairs and p.is_complex() else p.shape for p in parameters]


def _tolerance(
    name: str,
    own: Any,
    forward: Tolerance,
    problem: Problem,
    parameters: tuple[torch.Tensor, ...],
    dtype: torch.dtype,
) -> CheckedTolerance:
    """A tolerance of the augmented state.

    A tolerance given for the state's elements holds for both y and a; the strictest of it holds for
    vjp_t and for the parameters, which have no elements of the state to answer to.
    """
    y0 = problem.y0
    if own is not None:
        sizes = (torch.Size(()), y0.shape, y0.shape, *gradient_shapes(y0, parameters))
        if isinstance(own, (tuple, list)) and len(own) == len(sizes):
            return make_tolerance(name, own, y0, sizes, dtype)
        forward = make_tolerance(name, own, y0, problem.shapes, dtype).value
    if not isinstance(forward, torch.Tensor):
        return CheckedTolerance(forward, forward)
    state = forward.to(dtype).expand(y0.shape).reshape(-1)
    strictest = state.min() if state.numel() else state.new_zeros(())
    count = sum(shape.numel() for shape in gradient_shapes(y0, parameters))
    whole = torch.cat([strictest.reshape(1), state, state, strictest.expand(count)])
    return CheckedTolerance(whole, float(strictest))
