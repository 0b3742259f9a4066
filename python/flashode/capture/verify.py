"""The last word of a capture: the Program against the function itself, in values and in gradients.

A trace records values. Whatever changes gradients alone, and is not refused while tracing, such as an
``autograd.Function`` with a backward of its own, shows here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from flashode.capture.refusal import Failed, Refusal, Singular, described
from flashode.capture.tracing.custom_backward import custom_backwards
from flashode.state import State, Structure, components

# Torch's own rules are not all exact: in float64 its gradient of celu is wrong in the eighth digit.
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-7}
# How much a small element may be off, as a part of the largest in its tensor and of the largest of all.
_FLOOR = {torch.float32: 1e-5, torch.float64: 1e-9}
# The same away from where a solve starts, where all of a gradient may be smaller than torch's is wrong by.
_FLOOR_AWAY = {torch.float32: 1e-5, torch.float64: 1e-7}
_NOISE = {torch.float32: 2e-6, torch.float64: 1e-14}

# Where a field is compared, at no special place: times as parts of the interval that a solve is for, and how
# far from the initial state, in its own size, the states are.
_GENERIC = ((0.382, 1.0), (0.764, 1.0), (0.921, 8.0), (0.146, 8.0), (0.618, 64.0), (0.997, 0.1))

_SEED = 20180619

Point = tuple[Tensor, State]
T = TypeVar("T")


def verify(
    func: Callable[[Tensor, Any], Any],
    program: Callable[[Tensor, Any], Any],
    t: Tensor,
    y: State,
    tensors: Sequence[Tensor],
    away: bool = False,
) -> bool:
    """Compares a captured field with its function at one point.

    Args:
        func: the user's function.
        program: the same from the Program, reading the same tensors.
        t: time, 0-d.
        y: the state.
        tensors: the tensors that the function owns.
        away: whether the point is one of ``generic``.

    Returns:
        whether that tells something: where values and gradients are zero, or no numbers, another field's may
        be as well.

    Raises:
        Singular: a matrix is, at these numbers.
        Failed: the function raises an exception.
        Refusal: values or gradients differ.
    """
    # Those on the meta device have no numbers; what computed with them would raise.
    owned = [tensor for tensor in tensors if tensor.requires_grad and not tensor.is_meta]
    expected = _expected(lambda: _evaluated(func, t, y, owned, users=True))
    found = _captured(lambda: _evaluated(program, t, y, owned, users=False))
    # Noise in what cancels out is as large as rounding in the rest.
    noise = _NOISE[components(y)[0].dtype] * max(map(_scale, expected))
    count = len(components(y))
    what = [
        *["value"] * count,
        "gradient in t",
        *["gradient in y"] * count,
        *["gradient in a tensor that it owns"] * len(owned),
    ]
    floors = _FLOOR_AWAY if away else _FLOOR
    undefined = any(bool(value.isnan().any()) for value in expected[:count])
    for i, (label, a, b) in enumerate(zip(what, expected, found, strict=True)):
        if not _agree(a, b, noise, floors, beyond=undefined and i >= count):
            raise Refusal(
                f"the captured {label} differs from autograd's, so something in it is invisible to tracing"
            )
    return any(_scale(part) > 0 for part in expected)


def verify_values(
    func: Callable[[Tensor, Any], Any], program: Callable[[Tensor, Any], Any], t: Tensor, y: State
) -> None:
    """Compares the values of a captured field with its function's at one point; arguments as above.

    Raises:
        Singular: a matrix is, at these numbers.
        Failed: the function raises an exception.
        Refusal: they differ.
    """
    structure = Structure.of(y)

    def value() -> tuple[Tensor, ...]:
        with torch.enable_grad():
            return structure.fit(func(t, y), t.dtype)

    expected = _expected(value)
    found = _captured(lambda: structure.fit(program(t, y), t.dtype))
    noise = _NOISE[t.dtype] * max(map(_scale, expected))
    for a, b in zip(expected, found, strict=True):
        if not _agree(a, b, noise, _FLOOR):
            raise Refusal("the captured value differs from the function's at the first time and state")


def _expected(evaluate: Callable[[], T]) -> T:
    """What the user's function gives."""
    try:
        return evaluate()
    except Refusal:
        raise
    except Exception as error:
        kind = Singular if Singular.caused(error) else Failed
        raise kind(_raised(error)) from error


def _captured(evaluate: Callable[[], T]) -> T:
    """What its capture gives."""
    try:
        return evaluate()
    except Exception as error:
        kind = Singular if Singular.caused(error) else Refusal
        raise kind(_raised(error)) from error


def _raised(error: Exception) -> str:
    return f"comparing it with its capture raised {described(error)}"


def generic(t: Tensor, y: State, end: float | None) -> Iterator[Point]:
    """Times and states at which a difference shows that vanishes where a solve starts.

    Args:
        t: the first time, 0-d.
        y: the first state.
        end: the last time, None where that is not known.
    """
    parts = components(y)
    length = 1.0 if end is None or end == float(t) else end - float(t)
    size = max(1.0, *map(_scale, parts))
    for seed, (fraction, distance) in enumerate(_GENERIC):
        moved = [
            part + distance * size * noise
            for part, noise in zip(parts, _cotangents(parts, _SEED + 1 + seed), strict=True)
        ]
        yield t + fraction * length, Structure.of(y).join(moved)


def perturbed(y: State) -> State:
    """A state near ``y``, the same each time; differs where ``y`` holds the zeros that hide gradients."""
    parts = components(y)
    near = tuple(
        part + (0.01 * part.abs() + 0.01) * noise
        for part, noise in zip(parts, _cotangents(parts), strict=True)
    )
    return Structure.of(y).join(near)


def _cotangents(parts: Sequence[Tensor], seed: int = _SEED) -> list[Tensor]:
    # A generator of its own, so that the user's random numbers stay as they are.
    generator = torch.Generator("cpu").manual_seed(seed)
    return [
        torch.randn(part.shape, generator=generator, dtype=torch.float64, device="cpu").to(part)
        for part in parts
    ]


def _evaluated(
    field: Callable[[Tensor, Any], Any], t: Tensor, y: State, owned: Sequence[Tensor], users: bool
) -> list[Tensor]:
    """The value by component, and the gradients in t, in y by component and in the owned tensors."""
    structure = Structure.of(y)
    with torch.enable_grad():
        t = t.detach().clone().requires_grad_()
        parts = [part.detach().clone().requires_grad_() for part in components(y)]
        values = structure.fit(field(t, structure.join(parts)), parts[0].dtype)
        inputs = [t, *parts, *owned]
        connected = [value for value in values if value.requires_grad]
        if not connected:
            return [*values, *map(torch.zeros_like, inputs)]
        if users:
            for name in custom_backwards(connected):
                raise Refusal(f"it uses a custom autograd.Function ({name})")
        # Of a scalar, because grad_outputs would make torch import sympy. The graph is retained, because it
        # may reach into one that the user still needs.
        products = zip(values, _cotangents(values), strict=True)
        scalar = torch.stack([(value * cotangent).sum() for value, cotangent in products]).sum()
        gradients = torch.autograd.grad(scalar, inputs, retain_graph=True, materialize_grads=True)
    return [*(value.detach() for value in values), *gradients]


def _numbers(tensor: Tensor) -> Tensor:
    """What a tensor holds, in a layout and a dtype to compute in: a gradient has those of its tensor."""
    tensor = tensor.detach().to_dense()
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor


def _scale(tensor: Tensor) -> float:
    finite = torch.nan_to_num(_numbers(tensor).abs(), nan=0.0, posinf=0.0)
    return float(finite.max()) if tensor.numel() else 0.0


def _agree(
    expected: Tensor,
    found: Tensor,
    noise: float,
    floors: Mapping[torch.dtype, float],
    beyond: bool = False,
) -> bool:
    """Whether two tensors do; ``beyond`` its domain a function may have gradients that are no numbers."""
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return False
    kind = found.dtype.to_real() if found.is_complex() else found.dtype
    rounding = 8 * torch.finfo(kind).eps if kind not in _TOLERANCE else 0.0
    floor = noise + (rounding or floors[kind]) * _scale(expected)
    expected, found = _numbers(expected), _numbers(found)
    if beyond:
        # Those of logit; those of the logarithm that it is made of are some.
        found = torch.where(expected.isnan(), expected, found)
    return torch.allclose(found, expected, rtol=rounding or _TOLERANCE[kind], atol=floor, equal_nan=True)
