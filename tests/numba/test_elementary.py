"""Errors of the elementary functions, in units in the last place; and that loops of them are vector code."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import mpmath
import numba
import numpy as np
import pytest
import torch
from numba import types

from flashode.engines.compiled import disk_cache
from flashode.engines.numba.code_cache import CONTRACTED
from flashode.engines.numba.fields import double, single, unary
from flashode.engines.numba.fields.field_code import _function, field_code
from flashode.engines.numba.fields.normal_tail import TAIL_ORIGIN, tail_coefficients
from flashode.engines.numba.vectors import vector_bytes
from flashode.program import Program, Unary, Y

mpmath.mp.prec = 160
_HALF_POINTS = 400


def _softplus(x: Any) -> Any:
    return mpmath.log1p(mpmath.exp(x))


def _gate(x: Any) -> Any:
    argument = mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3)
    return 1 / (1 + mpmath.exp(-2 * argument))


# The exact function, the ends of where it is tried, and the largest error.
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], float, float, float]] = {
    "exp": (mpmath.exp, -708.0, 709.0, 1.0),
    "expm1": (mpmath.expm1, -50.0, 709.0, 1.0),
    "log": (mpmath.log, 1e-300, 1e300, 1.0),
    "log1p": (mpmath.log1p, -0.99, 50.0, 1.0),
    "tanh": (mpmath.tanh, -22.0, 22.0, 2.0),
    "sigmoid": (lambda x: 1 / (1 + mpmath.exp(-x)), -700.0, 40.0, 2.0),
    "softplus": (_softplus, -700.0, 50.0, 2.0),
    "tanh_softplus": (lambda x: mpmath.tanh(_softplus(x)), -300.0, 22.0, 2.5),
    "normal_cdf": (mpmath.ncdf, -37.0, 9.0, 3.0),
    "gelu": (lambda x: x * mpmath.ncdf(x), -37.0, 9.0, 3.0),
    "erf": (mpmath.erf, -6.0, 6.0, 2.0),
    "exp_minus_square": (lambda x: mpmath.exp(-x * x), -26.0, 26.0, 1.0),
    "exp_minus_half_square": (lambda x: mpmath.exp(-x * x / 2), -37.0, 37.0, 1.0),
    "gelu_tanh_gate": (_gate, -20.0, 9.0, 2.0),
    "sin_moderate": (mpmath.sin, -1e8, 1e8, 1.0),
    "cos_moderate": (mpmath.cos, -1e8, 1e8, 1.0),
}


def _points(low: float, high: float) -> list[float]:
    """Evenly spread numbers, and numbers of every size."""
    generator = np.random.default_rng(0)
    even = generator.uniform(low, high, _HALF_POINTS)
    signs = generator.choice([-1.0, 1.0], _HALF_POINTS)
    sizes = signs * 10.0 ** generator.uniform(-10.0, math.log10(max(abs(low), abs(high))), _HALF_POINTS)
    return [x for x in [*even.tolist(), *sizes.tolist()] if low <= x <= high]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors(name: str) -> None:
    exact, low, high, bound = FUNCTIONS[name]
    function = getattr(double, name)
    for x in _points(low, high):
        wanted = exact(mpmath.mpf(x))
        unit = math.ulp(float(wanted))
        error = abs((mpmath.mpf(function(x)) - wanted) / mpmath.mpf(unit))
        assert error <= bound, (x, function(x), float(wanted), float(error))


# Of single precision: the ends of where each is tried, and the largest error.
SINGLE: dict[str, tuple[float, float, float]] = {
    "exp": (-103.0, 88.7, 1.5),
    "expm1": (-20.0, 88.7, 2.0),
    "tanh": (-12.0, 12.0, 2.5),
    "sigmoid": (-87.0, 20.0, 2.5),
    "softplus": (-87.0, 30.0, 2.5),
}


@pytest.mark.parametrize("name", SINGLE)
def test_errors_of_single_precision(name: str) -> None:
    low, high, bound = SINGLE[name]
    exact, own = getattr(double, name), getattr(single, name)
    smallest = float(np.finfo(np.float32).smallest_subnormal)
    for x in np.array(_points(low, high), np.float32):
        wanted = exact(float(x))
        unit = max(float(np.spacing(np.float32(abs(wanted)))), smallest)
        assert abs(float(own(x)) - wanted) <= bound * unit, (x, own(x), wanted)


@pytest.mark.parametrize("name", SINGLE)
def test_special_numbers_of_single_precision(name: str) -> None:
    exact, own = getattr(double, name), getattr(single, name)
    for x in np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 300.0, -300.0], np.float32):
        with np.errstate(over="ignore"):
            wanted, given = np.float32(exact(float(x))), np.float32(own(x))
        np.testing.assert_array_equal(given, wanted)
        assert math.isnan(x) or math.copysign(1.0, given) == math.copysign(1.0, wanted), x


def test_next_to_multiples_of_a_quarter_turn() -> None:
    for n in (1, 2, 3, 7, 1000, 12345678, 60_000_001):
        x = float(n * mpmath.pi / 2)
        of_sin, of_cos = double.sin_moderate(x), double.cos_moderate(x)
        for own, exact in ((of_sin, mpmath.sin(x)), (of_cos, mpmath.cos(x))):
            assert abs(own - exact) <= math.ulp(float(exact)), x


def test_the_tail_of_the_normal_distribution() -> None:
    for a in (0.8, 1.0, 2.5, 7.0, 20.0, 38.0):
        t = (mpmath.mpf(a) - TAIL_ORIGIN) / (mpmath.mpf(a) + TAIL_ORIGIN)
        series = mpmath.fsum(c * t**k for k, c in enumerate(tail_coefficients()))
        exact = a * mpmath.exp(mpmath.mpf(a) ** 2 / 2) * mpmath.ncdf(-a)
        assert abs(series / exact - 1) < 2.0**-53


# What networks are made of; of single precision, some have functions of their own.
VECTOR_CODE = ("exp", "tanh", "sigmoid", "silu", "gelu", "gelu_tanh", "mish", "sin", "cos")
WITH_CONSTANTS = {"softplus": (1.0, 20.0), "elu": (1.0, 1.0, 1.0), "affine": (2.0, 0.5), "leaky_relu": (0.1,)}
_OF_EITHER_PRECISION = ("exp", "tanh", "sigmoid", "silu", *WITH_CONSTANTS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", VECTOR_CODE)
def test_loops_are_vector_code(name: str, dtype: torch.dtype) -> None:
    real = types.float32 if dtype == torch.float32 else types.float64
    function = unary.UNARY[name].value
    own = np.float32 if dtype == torch.float32 else np.float64

    def loop(x: Any, out: Any, size: Any) -> None:
        for i in range(size):
            out[i] = own(function(x[i]))

    pointer = types.CPointer(real)
    is_vector_code(loop, types.void(pointer, pointer, types.intp), name, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", WITH_CONSTANTS)
def test_loops_that_read_constants_are_vector_code(name: str, dtype: torch.dtype) -> None:
    field = field_code(Program((1, 8, 0, 8), (Unary(3, Y, name, WITH_CONSTANTS[name]),), 3), dtype).field
    text = field.definition.module
    python = _function(text, "field", disk_cache.key_of(text))
    is_vector_code(python, field.signature, name, dtype)


def is_vector_code(function: Callable[..., None], signature: Any, name: str, dtype: torch.dtype) -> None:
    """Products or quotients of several numbers at once, and no calls out of the loop."""
    code = numba.cfunc(signature, **CONTRACTED)(function).inspect_llvm()
    # With vectors of two numbers LLVM finds that some do not pay.
    if vector_bytes() > 16:
        own_precision = dtype == torch.float32 and name in _OF_EITHER_PRECISION
        kind = "float" if own_precision else "double"
        assert re.search(rf"f(mul|add|div) contract <\d+ x {kind}>", code), code
    assert not re.search(r"call (double|float) @(?!llvm)", code), code
