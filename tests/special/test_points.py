"""Every function that a Program knows, at numbers where it is special, is what it is in torch.

Values and first derivatives by the compiled engine, and second ones by the interpreter, by which a solve is
differentiated twice; of the functions, and of their derivatives, which fields may take inside. Each function
is tried in one of the two precisions, and few of the derivatives; all where FLASHODE_SWEEP is "all".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch

from sampling import WHOLE as ALL
from special.functions import BINARY, FINITE_ROWS, INFINITE_ROWS, ROWS, UNARY
from special.points import Function, check, derivative, few, finite_rows, infinite_rows, numbers, sized_rows

DTYPES = (torch.float64, torch.float32)

# Torch does not differentiate these twice.
ONCE = {"hardsigmoid"}
# Second derivatives that torch gives as NaN where the norm is zero, or that are all rounding.
ROUGH = {"norm 1", "norm 2", "norm 3", "deviation", "deviation of all", "layer_norm"}
# Sizes of numbers beyond which torch's kernels differ among themselves, its derivatives are NaN by overflow
# alone, or all is rounding: of the functions, and of their derivatives.
LIMITS = {
    ("fmod", 0): (1e-3, 1e3),
    ("remainder", 0): (1e-3, 1e3),
    ("xlogy", 0): (1e-3, 1e3),
    ("xlog1py", 0): (1e-3, 1e3),
    ("gelu", 1): (0.0, 1e4),
    ("hypot itself", 1): (0.1, math.inf),
    # Differences of terms near 1 / x**2, which cancel.
    ("quotient itself", 1): (1e-2, math.inf),
    ("sinc", 1): (1e-2, math.inf),
    ("deviation", 1): (1e-3, 1e3),
    ("deviation of all", 1): (1e-3, 1e3),
}


def _dtypes(name: str) -> tuple[torch.dtype, ...]:
    return DTYPES if ALL else (DTYPES[sum(map(ord, name)) % 2],)


def _cases(functions: dict[str, Function], orders: Sequence[int]) -> list[tuple[str, int, torch.dtype]]:
    """The function (0), and its derivatives in its arguments (1, 2)."""
    chosen = itertools.product(functions, orders)
    return [(n, o, d) for n, o in chosen for d in _dtypes(n) if ALL or not o or (len(n) + o) % 3 == 0]


def _points(name: str, order: int, listed: Sequence[Sequence[float]], dtype: torch.dtype) -> torch.Tensor:
    points = torch.tensor(listed, dtype=dtype)
    least, largest = LIMITS.get((name, order), (0.0, math.inf))
    size = points.abs()
    outside = (size > 0) & (size < math.inf) & ((size < least) | (size > largest))
    # Torch multiplies both halves of the unit's derivative by what may be no number in one of them.
    unknown = ~points.isfinite() | (size > 50)
    return points[~(outside | (unknown & (name == "glu"))).any(-1)]


def _generic(name: str, width: int, dtype: torch.dtype) -> torch.Tensor:
    points = 0.2 + 0.6 * torch.rand(4, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return (points + 1 if name == "acosh" else points).to(dtype)


def _noise(name: str, dtype: torch.dtype) -> float:
    """Of functions around one, near whose zeros torch cancels."""
    if name == "hardsigmoid":
        return 1e-8  # torch's slope has single precision
    return (64 if name in ("gelu tanh", "layer_norm") else 16) * torch.finfo(dtype).eps


@pytest.mark.parametrize(("name", "order", "dtype"), _cases(UNARY, (0, 1)), ids=str)
def test_of_one_number(name: str, order: int, dtype: torch.dtype) -> None:
    if order and name in ONCE:
        return
    points = _points(name, order, [(number,) for number in numbers(dtype)], dtype)
    _check(UNARY[name], name, order, points)


@pytest.mark.parametrize(("name", "order", "dtype"), _cases(BINARY, (0, 1, 2)), ids=str)
def test_of_two_numbers(name: str, order: int, dtype: torch.dtype) -> None:
    pairs = list(itertools.product(few(dtype), repeat=2))
    _check(BINARY[name], name, order, _points(name, order, pairs, dtype))


@pytest.mark.parametrize(("name", "order", "dtype"), _cases(ROWS, (0, 1)), ids=str)
def test_of_rows(name: str, order: int, dtype: torch.dtype) -> None:
    taken = infinite_rows if name in INFINITE_ROWS else finite_rows if name in FINITE_ROWS else sized_rows
    _check(ROWS[name], name, order, _points(name, order, taken(dtype), dtype))


def _check(function: Function, name: str, order: int, points: torch.Tensor) -> None:
    second = not order and name not in ONCE | ROUGH
    taken = derivative(function, order - 1) if order else function
    check(taken, _generic(name, points.shape[1], points.dtype), points, _noise(name, points.dtype), second)
