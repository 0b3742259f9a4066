"""Functions at numbers where they are special: in the compiled engine, in the interpreter and in torch.

A state must be finite, so that it holds infinity and NaN as a kind beside a number, as its rates do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from capture.agreement import must_capture
from handmade import euler_step

Function = Callable[[Tensor], Tensor]  # of points (N, width); one number for each

_TIMES = (0.0, 1.0)
_RELATIVE = {torch.float32: 3e-5, torch.float64: 1e-9}


def numbers(dtype: torch.dtype) -> list[float]:
    """Zeros, infinities, NaN, the smallest and the largest, ends of domains, thresholds, what overflows."""
    info = torch.finfo(dtype)
    thresholds = (0.5, 1.0, 2.0, 3.0, 6.0, 20.0, 0.7, 0.25, 1.5, 2.5, 5.0, 10.0, 40.0, 100.0, math.pi)
    edges = (1 + info.eps, 1 - info.eps, info.eps, 1e-3, 1e4, 88.5, 103.0, 709.5, 744.0)
    sizes = (
        info.max,
        info.max / 4,
        info.smallest_normal,
        _root(info.max) * 2,
        _root(info.smallest_normal) / 2,
    )
    return [math.nan, *_signed(0.0, math.inf, *sizes, *thresholds, *edges)]


def few(dtype: torch.dtype) -> list[float]:
    """Those of which all pairs are tried."""
    info = torch.finfo(dtype)
    sizes = (info.max, info.smallest_normal, _root(info.max) * 2, _root(info.smallest_normal) / 2)
    return [math.nan, *_signed(0.0, math.inf, 0.5, 1.0, 2.0, 100.0, *sizes), 0.25, 3.0]


def infinite_rows(dtype: torch.dtype) -> list[tuple[float, ...]]:
    """Triples with ties, zeros and infinities."""
    return _triples(0.0, -0.0, 1.0, -1.0, 0.5, math.inf, -math.inf)


def finite_rows(dtype: torch.dtype) -> list[tuple[float, ...]]:
    """Triples with ties and zeros."""
    return _triples(0.0, -0.0, 1.0, -1.0, 0.5, 3.0)


def sized_rows(dtype: torch.dtype) -> list[tuple[float, ...]]:
    """Triples whose squares overflow or vanish, too."""
    info = torch.finfo(dtype)
    large, small = _root(info.max) * 2, _root(info.smallest_normal) / 2
    return [*finite_rows(dtype), *_triples(0.0, large, -large), *_triples(0.0, small, -small)]


def _triples(*held: float) -> list[tuple[float, ...]]:
    return list(itertools.product(held, repeat=3))


def _root(number: float) -> float:
    return math.sqrt(number)


def _signed(*sizes: float) -> Iterator[float]:
    for size in sizes:
        yield size
        yield -size


def derivative(function: Function, argument: int) -> Function:
    """In one of its arguments, to be differentiated again."""

    def slope(x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.requires_grad_()
            (gradient,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
        return gradient[:, argument]

    return slope


def check(function: Function, generic: Tensor, points: Tensor, atol: float, second: bool) -> None:
    """Compares values, first derivatives, and second ones where the interpreter has them, with torch's."""
    dtype, width = points.dtype, points.shape[1]

    def field(t: Tensor, z: Tensor) -> Tensor:
        value, kind = _split(function(_joined(z[:, 2 : 2 + width], z[:, 2 + width :])))
        return torch.cat([value[:, None], kind[:, None], torch.zeros_like(z[:, 2:])], 1)

    t = torch.tensor(_TIMES, dtype=dtype)
    captured = must_capture(field, _state(generic))
    program, parameters = captured.program, captured.parameters()

    def torchs(state: Tensor) -> list[Tensor]:
        return _derivatives(lambda z: z + field(t[0], z), state, width, second)

    state = _state(points)
    wanted = torchs(state)
    solved = _derivatives(lambda z: euler_step(program, t, z, parameters), state, width, False)
    read = _derivatives(lambda z: z + program.interpret(t[0], z, parameters), state, width, second)
    for engine, derivatives in (("compiled", solved), ("interpreted", read)):
        for order, values in enumerate(derivatives):
            wrong = [i for i, same in enumerate(_same(values, wanted[order], atol)) if not same]
            # Torch's kernels treat the remainder of a vector by other code, with other rounding.
            single = {i: torchs(state[i : i + 1])[order] for i in wrong}
            wrong = [i for i in wrong if not _same(values[i : i + 1], single[i], atol)]
            assert not wrong, "\n".join(
                [
                    f"{engine}, derivative {order}, wrong at {len(wrong)} of {len(points)}",
                    *(
                        f"{points[i].tolist()}: {values[i].tolist()}, not {single[i].tolist()}"
                        for i in wrong[:5]
                    ),
                ]
            )


def _same(actual: Tensor, wanted: Tensor, atol: float) -> Tensor:
    return torch.isclose(actual, wanted, rtol=_RELATIVE[actual.dtype], atol=atol, equal_nan=True).all(-1)


def _split(x: Tensor) -> tuple[Tensor, Tensor]:
    infinite = torch.where(x == math.inf, 1.0, torch.where(x == -math.inf, 2.0, 0.0))
    kind = torch.where(x != x, 3.0, infinite).to(x.dtype)
    return torch.where(kind == 0.0, x, 0.0), kind


def _joined(value: Tensor, kind: Tensor) -> Tensor:
    infinite = torch.where(kind == 1.0, math.inf, torch.where(kind == 2.0, -math.inf, -0.0))
    return value + torch.where(kind == 3.0, math.nan, infinite).to(value.dtype)


def _state(points: Tensor) -> Tensor:
    value, kind = _split(points)
    return torch.cat([torch.zeros_like(points[:, :1]).expand(-1, 2), value, kind], 1)


def _derivatives(step: Function, state: Tensor, width: int, second: bool) -> list[Tensor]:
    """The value after a step from zero and its gradient in the points; the gradient of the sum of this."""
    z = state.detach().requires_grad_()
    after = step(z)
    (gradient,) = torch.autograd.grad(after[:, 0].sum(), z, create_graph=second, materialize_grads=True)
    parts = [_joined(after[:, :1], after[:, 1:2]), gradient[:, 2 : 2 + width]]
    if second:
        parts.append(
            torch.autograd.grad(parts[1].sum(), z, materialize_grads=True)[0][:, 2 : 2 + width]
            if parts[1].requires_grad
            else torch.zeros_like(parts[1])
        )
    return [tensor.detach() for tensor in parts]
