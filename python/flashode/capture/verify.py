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
from flashode.capture.tracing.schemas import custom_backwards
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
    """Compares a captured field with its function at one point, in values and gradients.

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
        Refusal: they differ; Failed or Singular where the function raises an exception.
    """
    # Those on the meta device have no numbers; what computed with them would raise.
    owned = [tensor for tensor in tensors if tensor.requires_grad and not tensor.is_meta]
    in_time = True
    try:
        expected = _result(Failed, lambda: _evaluated(func, t, y, owned, in_time, users=True))
    except Failed:
        # A tensor whose gradients are recorded cannot fill another one, as t may.
        in_time = False
        expected = _result(Failed, lambda: _evaluated(func, t, y, owned, in_time, users=True))
    captured = _result(Refusal, lambda: _evaluated(program, t, y, owned, in_time, users=False))
    count = len(components(y))
    what = [
        *["value"] * count,
        *["gradient in t"] * in_time,
        *["gradient in y"] * count,
        *["gradient in a tensor that it owns"] * len(owned),
    ]
    where = _first_difference(expected, captured, count, _FLOOR_AWAY if away else _FLOOR)
    if where is not None:
        raise Refusal(
            f"the captured {what[where]} differs from autograd's, so something in it is invisible to tracing"
        )
    return any(_scale(part) > 0 for part in expected)


def verify_values(
    func: Callable[[Tensor, Any], Any], program: Callable[[Tensor, Any], Any], t: Tensor, y: State
) -> None:
    """Compares the values alone, as above."""
    structure = Structure.of(y)

    def values(field: Callable[[Tensor, Any], Any]) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            return structure.fit(field(t, y), t.dtype)

    expected = _result(Failed, lambda: values(func))
    captured = _result(Refusal, lambda: values(program))
    if _first_difference(expected, captured, len(expected), _FLOOR) is not None:
        raise Refusal("the captured value differs from the function's at the first time and state")


def _result(kind: type[Refusal], evaluate: Callable[[], T]) -> T:
    """The result of a call; an exception becomes a refusal of that kind, or ``Singular``."""
    try:
        return evaluate()
    except Refusal:
        raise
    except Exception as error:
        kind = Singular if Singular.caused(error) else kind
        raise kind(f"comparing it with its capture raised {described(error)}") from error


def _first_difference(
    expected: Sequence[Tensor], captured: Sequence[Tensor], values: int, floors: Mapping[torch.dtype, float]
) -> int | None:
    """The first place where two results differ, of which the first so many are values."""
    # Noise in what cancels out is as large as rounding in the rest.
    noise = _NOISE[expected[0].dtype] * max(map(_scale, expected))
    undefined = any(bool(value.isnan().any()) for value in expected[:values])
    for place, (a, b) in enumerate(zip(expected, captured, strict=True)):
        if not _agree(a, b, noise, floors, beyond=undefined and place >= values):
            return place
    return None


def generic(t: Tensor, y: State, end: float | None) -> Iterator[Point]:
    """Times and states away from the start of a solve, where a difference may vanish."""
    parts = components(y)
    length = 1.0 if end is None or end == float(t) else end - float(t)
    size = max(1.0, *map(_scale, parts))
    for seed, (fraction, distance) in enumerate(_GENERIC, _SEED + 1):
        moved = [p + distance * size * noise for p, noise in _with_noise(parts, seed)]
        yield t + fraction * length, Structure.of(y).join(moved)


def perturbed(y: State) -> State:
    """A state near ``y``, the same each time; differs where ``y`` holds the zeros that hide gradients."""
    near = [part + (0.01 * part.abs() + 0.01) * noise for part, noise in _with_noise(components(y))]
    return Structure.of(y).join(near)


def _with_noise(parts: Sequence[Tensor], seed: int = _SEED) -> Iterator[tuple[Tensor, Tensor]]:
    """Tensors, each with random numbers of its kind."""
    # A generator of its own, so that the user's random numbers stay as they are.
    generator = torch.Generator("cpu").manual_seed(seed)
    for part in parts:
        noise = torch.randn(part.shape, generator=generator, dtype=torch.float64, device="cpu")
        yield part, noise.to(part)


def _evaluated(
    field: Callable[[Tensor, Any], Any],
    t: Tensor,
    y: State,
    owned: Sequence[Tensor],
    in_time: bool,
    users: bool,
) -> list[Tensor]:
    """The value by component, and the gradients in t, in y by component and in the owned tensors."""
    structure = Structure.of(y)
    with torch.enable_grad():
        t = t.detach().clone().requires_grad_(in_time)
        parts = [part.detach().clone().requires_grad_() for part in components(y)]
        values = structure.fit(field(t, structure.join(parts)), parts[0].dtype)
        inputs = [*[t] * in_time, *parts, *owned]
        connected = [value for value in values if value.requires_grad]
        if not connected:
            return [*values, *map(torch.zeros_like, inputs)]
        if users:
            for name in custom_backwards(connected):
                raise Refusal(f"it uses a custom autograd.Function ({name})")
        # Of a scalar, because grad_outputs would make torch import sympy. The graph is retained, because it
        # may reach into one that the user still needs.
        products = [(value * cotangent).sum() for value, cotangent in _with_noise(values)]
        scalar = torch.stack(products).sum()
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
    captured: Tensor,
    noise: float,
    floors: Mapping[torch.dtype, float],
    beyond: bool = False,
) -> bool:
    """Whether two tensors do; ``beyond`` its domain a function may have gradients that are no numbers."""
    if expected.shape != captured.shape or expected.dtype != captured.dtype:
        return False
    kind = captured.dtype.to_real() if captured.is_complex() else captured.dtype
    rounding = 8 * torch.finfo(kind).eps if kind not in _TOLERANCE else 0.0
    floor = noise + (rounding or floors[kind]) * _scale(expected)
    expected, captured = _numbers(expected), _numbers(captured)
    if beyond:
        # Those of logit; those of the logarithm that it is made of are some.
        captured = torch.where(expected.isnan(), expected, captured)
    return torch.allclose(captured, expected, rtol=rounding or _TOLERANCE[kind], atol=floor, equal_nan=True)
