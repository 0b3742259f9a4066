"""Every element-wise function a Program may use, with its meaning in plain torch.

The torch implementation is the definition: values and gradients, kinks included, are torch's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class UnaryFunction:
    """An element-wise function of one row, and the names of the literal numbers that it takes."""

    constants: tuple[str, ...]
    evaluate: Callable[..., Tensor]


def _plain(evaluate: Callable[..., Tensor]) -> UnaryFunction:
    return UnaryFunction((), evaluate)


def _affine(x: Tensor, scale: float, shift: float) -> Tensor:
    return x * scale + shift


def _elu(x: Tensor, alpha: float, scale: float, input_scale: float) -> Tensor:
    return torch.ops.aten.elu.default(x, alpha, scale, input_scale)  # type: ignore[no-any-return]


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _logit(x: Tensor, eps: float) -> Tensor:
    return torch.logit(x, None if eps < 0.0 else eps)


def _quotient(rounding: str) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda a, b: torch.div(a, b, rounding_mode=rounding)


def _comparison(compare: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """One where it holds, zero elsewhere."""
    return lambda a, b: compare(a, b).to(a.dtype)


UNARY: dict[str, UnaryFunction] = {
    "neg": _plain(torch.neg),
    "abs": _plain(torch.abs),
    "sign": _plain(torch.sign),
    "reciprocal": _plain(torch.reciprocal),
    "sqrt": _plain(torch.sqrt),
    "rsqrt": _plain(torch.rsqrt),
    "exp": _plain(torch.exp),
    "exp2": _plain(torch.exp2),
    "expm1": _plain(torch.expm1),
    "log": _plain(torch.log),
    "log2": _plain(torch.log2),
    "log10": _plain(torch.log10),
    "log1p": _plain(torch.log1p),
    "sin": _plain(torch.sin),
    "cos": _plain(torch.cos),
    "tan": _plain(torch.tan),
    "tanh": _plain(torch.tanh),
    "sigmoid": _plain(torch.sigmoid),
    "relu": _plain(torch.relu),
    "erf": _plain(torch.erf),
    "asin": _plain(torch.asin),
    "acos": _plain(torch.acos),
    "atan": _plain(torch.atan),
    "sinh": _plain(torch.sinh),
    "cosh": _plain(torch.cosh),
    "asinh": _plain(torch.asinh),
    "acosh": _plain(torch.acosh),
    "atanh": _plain(torch.atanh),
    "sinc": _plain(torch.sinc),
    # Negative for none.
    "logit": UnaryFunction(("eps",), _logit),
    "floor": _plain(torch.floor),
    "ceil": _plain(torch.ceil),
    "round": _plain(torch.round),
    "trunc": _plain(torch.trunc),
    # The value without its gradient.
    "detach": _plain(Tensor.detach),
    "affine": UnaryFunction(("scale", "shift"), _affine),
    "power": UnaryFunction(("exponent",), torch.pow),
    "leaky_relu": UnaryFunction(("slope",), F.leaky_relu),
    "elu": UnaryFunction(("alpha", "scale", "input_scale"), _elu),
    "softplus": UnaryFunction(("beta", "threshold"), F.softplus),
    "gelu": _plain(F.gelu),
    "gelu_tanh": _plain(_gelu_tanh),
    "silu": _plain(F.silu),
    "mish": _plain(F.mish),
    # The same values, but not the same gradient on the boundary: hardtanh's is zero there, clamp's is one.
    "hardtanh": UnaryFunction(("min", "max"), F.hardtanh),
    "clamp": UnaryFunction(("min", "max"), torch.clamp),
    "hardsigmoid": _plain(F.hardsigmoid),
    "hardswish": _plain(F.hardswish),
    "logsigmoid": _plain(F.logsigmoid),
}

BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "power": torch.pow,
    "atan2": torch.atan2,
    "hypot": torch.hypot,
    "logaddexp": torch.logaddexp,
    "logaddexp2": torch.logaddexp2,
    "xlogy": torch.xlogy,
    "xlog1py": torch.special.xlog1py,
    "prelu": torch.ops.aten._prelu_kernel.default,
    "floor_divide": _quotient("floor"),
    "trunc_divide": _quotient("trunc"),
    "fmod": torch.fmod,
    "remainder": torch.remainder,
    "lt": _comparison(torch.lt),
    "le": _comparison(torch.le),
    "eq": _comparison(torch.eq),
    "ne": _comparison(torch.ne),
}

# The functions whose results have no edge to their arguments in autograd's graph. (Those of sign and the
# roundings have one, with a gradient of zero.)
SEVERING = frozenset({"detach", "lt", "le", "eq", "ne"})

# The functions whose slope csrc/numerics makes of their value alone: their argument need not be kept for it.
SLOPE_BY_VALUE = frozenset({"exp", "exp2", "relu", "rsqrt", "sigmoid", "sqrt", "tan", "tanh"})

# The functions that take an instruction or a few; all others are elementary functions, which take many.
ARITHMETIC = (
    frozenset({"add", "sub", "mul", "div", "maximum", "minimum", "lt", "le", "eq", "ne"})
    | {"neg", "abs", "sign", "reciprocal", "sqrt", "floor", "ceil", "round", "trunc", "detach", "affine"}
    | {"relu", "leaky_relu", "hardtanh", "clamp", "hardsigmoid", "hardswish"}
)
