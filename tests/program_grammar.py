"""Random Programs: every operation and every function, kept to where they are smooth enough to compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from flashode.program import (
    BINARY,
    UNARY,
    Binary,
    Bucketize,
    C,
    Constant,
    Dense,
    DenseDynamic,
    Gather,
    Lookup,
    Op,
    Parameter,
    Program,
    SegmentSum,
    Select,
    Unary,
    Y,
)

# A number from a least to a greatest one.
Draw = Callable[[int, int], int]

# What brings any number into the domain of a function, as unary operations. Others take any number.
_POSITIVE = (("power", (2.0,)), ("affine", (1.0, 0.5)))
_INSIDE = (("tanh", ()), ("affine", (0.9, 0.0)))
_DOMAINS: dict[str, tuple[tuple[str, tuple[float, ...]], ...]] = {
    # The slope of sinc cancels towards zero, in torch too.
    **dict.fromkeys(("reciprocal", "sqrt", "rsqrt", "log", "log1p", "sinc"), _POSITIVE),
    **dict.fromkeys(("asin", "acos", "atanh", "exp", "expm1", "tan", "sinh", "cosh"), _INSIDE),
    "logit": (("tanh", ()), ("affine", (0.4, 0.5))),
    "acosh": (*_POSITIVE, ("affine", (1.0, 1.0))),
}
# Literals for the functions that take some: several sets for each.
_CONSTANTS: dict[str, tuple[tuple[float, ...], ...]] = {
    "affine": ((0.5, 0.1), (-1.0, 1.0), (0.0, 0.2)),
    "power": ((2.0,), (3.0,), (1.0,), (0.0,)),
    "leaky_relu": ((0.1,),),
    "elu": ((1.0, 1.0, 1.0), (0.7, 1.1, 0.5)),
    "softplus": ((1.0, 20.0), (2.0, 3.0)),
    "hardtanh": ((-1.0, 1.0), (0.0, 0.5)),
    "logit": ((0.2,), (-1.0,)),
    "clamp": ((-0.5, 0.9), (-math.inf, 0.3), (0.1, math.inf)),
}
# Torch's own gradient of it is off in the eighth digit: it multiplies by a sixth in single precision.
_UNARY = tuple(fn for fn in UNARY if fn != "hardsigmoid")
# The second operand is kept positive.
_SECOND_POSITIVE = frozenset(
    ["div", "atan2", "fmod", "remainder", "hypot", "xlogy", "xlog1py", "floor_divide", "trunc_divide"]
)
_WIDEST = 24


class Builder:
    """Appends operations; ``values`` with a bounded range are all there are.

    Those added before ``share`` read neither y nor c.
    """

    def __init__(self, draw: Draw, width: int, context_width: int) -> None:
        self.draw = draw
        self.widths = [1, width, context_width]
        self.shared: int | None = None
        self.ops: list[Op] = []
        self.shapes: list[tuple[int, ...]] = []

    def choose(self, items: Iterable[Any]) -> Any:
        some = list(items)
        return some[self.draw(0, len(some) - 1)]

    def value(self) -> int:
        hidden = (Y, C) if self.shared is None else ()
        readable = [v for v, width in enumerate(self.widths) if width and v not in hidden]
        return int(self.choose(reversed(readable)))

    def share(self) -> None:
        """What follows is each trajectory's own."""
        self.shared = len(self.ops)

    def add(self, make: Callable[..., Op], width: int, *arguments: Any) -> int:
        out = len(self.widths)
        self.ops.append(make(out, *arguments))
        self.widths.append(width)
        return out

    def parameter(self, *shape: int) -> int:
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def unary(self, x: int, fn: str, *constants: float) -> int:
        return self.add(Unary, self.widths[x], x, fn, constants)

    def bounded(self, x: int) -> int:
        return self.unary(x, "tanh")

    def resized(self, x: int, width: int) -> int:
        """Rows of a value, as many as asked for."""
        if self.widths[x] == width:
            return x
        start = self.draw(0, self.widths[x] - 1)
        return self.add(Gather, width, (x,), tuple((start + i) % self.widths[x] for i in range(width)))

    def positive(self, x: int) -> int:
        for fn, constants in _POSITIVE:
            x = self.unary(x, fn, *constants)
        return x


def _unary(b: Builder) -> None:
    fn = b.choose(_UNARY)
    x = b.value()
    for step, constants in _DOMAINS.get(fn, ()):
        x = b.unary(x, step, *constants)
    x = b.unary(x, fn, *b.choose(_CONSTANTS.get(fn, ((),))))
    b.bounded(x)


def _binary(b: Builder) -> None:
    fn, x = b.choose(BINARY), b.value()
    y = b.resized(b.value(), b.widths[x])
    if fn == "power":
        x, y = b.positive(x), b.bounded(y)
    elif fn in _SECOND_POSITIVE:
        y = b.positive(y)
    b.bounded(b.add(Binary, b.widths[x], x, y, fn))


def _select(b: Builder) -> None:
    x = b.value()
    width = b.widths[x]
    condition = b.add(Binary, width, x, b.resized(b.value(), width), b.choose(("lt", "le", "eq", "ne")))
    b.add(Select, width, condition, x, b.resized(b.value(), width))


def _dense(b: Builder) -> None:
    x, width = b.value(), b.draw(1, 9)
    repeats = b.choose(n for n in range(1, 5) if b.widths[x] % n == 0)
    weight = b.parameter(width, b.widths[x] // repeats)
    bias = b.parameter(width) if b.draw(0, 1) else None
    b.bounded(b.add(Dense, width * repeats, x, weight, bias, repeats))


def _dense_dynamic(b: Builder) -> None:
    x, out_features = b.value(), b.draw(1, 3)
    blocks = b.choose(n for n in range(1, 4) if b.widths[x] % n == 0)
    repeats = b.choose(n for n in range(1, 4) if b.widths[x] % (blocks * n) == 0)
    in_features = b.widths[x] // (blocks * repeats)
    weight = b.resized(b.value(), blocks * out_features * in_features)
    b.bounded(b.add(DenseDynamic, blocks * repeats * out_features, x, weight, blocks, repeats))


def _gather(b: Builder) -> None:
    inputs = tuple(b.value() for _ in range(b.draw(1, 3)))
    available = sum(b.widths[value] for value in inputs)
    index = tuple(b.draw(0, available - 1) for _ in range(b.draw(1, _WIDEST)))
    b.add(Gather, len(index), inputs, index)


def _segment_sum(b: Builder) -> None:
    x, width = b.value(), b.draw(1, 6)
    segment = tuple(b.draw(0, width - 1) for _ in range(b.widths[x]))
    b.bounded(b.add(SegmentSum, width, x, segment))


def _numbers(b: Builder, count: int) -> tuple[int | None, int | None]:
    """A value, or else a parameter, of so many numbers."""
    return (b.resized(b.value(), count), None) if b.draw(0, 1) else (None, b.parameter(count))


def _bucketize(b: Builder) -> None:
    x = b.value()
    groups = b.choose(n for n in range(1, 4) if b.widths[x] % n == 0)
    numbers = _numbers(b, groups * b.draw(1, 6))
    b.bounded(b.add(Bucketize, b.widths[x], x, *numbers, groups, bool(b.draw(0, 1))))


def _lookup(b: Builder) -> None:
    count, stride = b.draw(1, 6), b.draw(1, 4)
    index = b.unary(b.bounded(b.value()), "affine", 0.6 * count, 0.5 * count)
    index = b.unary(b.unary(index, "floor"), "clamp", 0.0, count - 1.0)
    spare, per_row = b.draw(0, 5), b.draw(1, 3)
    starts = tuple(b.draw(0, spare) for _ in range(b.widths[index] * per_row))
    numbers = _numbers(b, stride * (count - 1) + spare + 1)
    b.add(Lookup, len(starts), index, *numbers, starts, stride, count)


def _parameter(b: Builder) -> None:
    width = b.draw(1, 6)
    b.add(Parameter, width, b.parameter(width))


def _constant(b: Builder) -> None:
    b.add(Constant, 3, (0.5, -1.25, 0.0))


_RULES = (
    _unary,
    _binary,
    _select,
    _dense,
    _dense_dynamic,
    _gather,
    _segment_sum,
    _bucketize,
    _lookup,
    _parameter,
    _constant,
    # Most functions are of these kinds.
    _unary,
    _binary,
)


def random_program(draw: Draw) -> Program:
    """A Program of up to a few dozen operations.

    Args:
        draw: Where it is taken from, such as ``random.Random(0).randint``.
    """
    width = draw(1, 6)
    b = Builder(draw, width, (0, 0, 1, 3)[draw(0, 3)])
    for _ in range(draw(0, 4)):
        b.choose(_RULES)(b)
    b.share()
    for _ in range(draw(1, 8)):
        b.choose(_RULES)(b)
    output = b.resized(len(b.widths) - 1, width)
    return Program(tuple(b.widths), tuple(b.ops), output, tuple(b.shapes), b.shared or 0)
