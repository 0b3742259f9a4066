"""What fields are made of, one function at a time, with parameters at which torch takes other ways."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from special.points import Function

inf, nan = math.inf, math.nan
_ENDS = (0.0, -0.0, 1.0, -1.0, 2.0, inf, -inf)


def _of_one(function: object) -> Function:
    return lambda x: function(x[:, 0])  # type: ignore[operator,no-any-return]


def _of_two(function: object) -> Function:
    return lambda x: function(x[:, 0], x[:, 1])  # type: ignore[operator,no-any-return]


def _of_three(function: object) -> Function:
    return lambda x: function(x[:, 0], x[:, 1], x[:, 2])  # type: ignore[operator,no-any-return]


def _raised_to(exponent: float, x: Tensor) -> Tensor:
    return x**exponent


def _power_of(base: float, x: Tensor) -> Tensor:
    return torch.pow(base, x)


def _of_itself(name: str, x: Tensor) -> Tensor:
    out: Tensor = getattr(torch, name)(x, x)
    return out


def _along(name: str, x: Tensor) -> Tensor:
    out: Tensor = getattr(torch, name)(x, -1)
    return out


def _with_number(name: str, number: float, x: Tensor) -> Tensor:
    out: Tensor = getattr(torch, name)(x, torch.tensor(number, dtype=x.dtype))
    return out


def _number_with(name: str, number: float, x: Tensor) -> Tensor:
    out: Tensor = getattr(torch, name)(torch.tensor(number, dtype=x.dtype), x)
    return out


_TORCH = (
    "neg abs sign reciprocal sqrt rsqrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh "
    "cosh tanh asinh acosh atanh erf sinc logit sigmoid square floor ceil round trunc frac nan_to_num deg2rad"
)
_ACTIVATIONS = (
    "relu relu6 leaky_relu elu selu celu gelu silu mish softplus softsign logsigmoid tanhshrink hardtanh "
    "hardsigmoid hardswish hardshrink softshrink"
)
_EXPONENTS = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 1.5, -1.5, 2.5, 1 / 3, inf, -inf, nan)
_NUMBERS = (0.0, 1.0, inf)
_PAIRS = "maximum minimum fmax fmin atan2 hypot logaddexp logaddexp2 fmod remainder xlogy"

UNARY: dict[str, Function] = {
    **{name: _of_one(getattr(torch, name)) for name in _TORCH.split()},
    **{name: _of_one(getattr(F, name)) for name in _ACTIVATIONS.split()},
    "gelu tanh": _of_one(partial(F.gelu, approximate="tanh")),
    "logit eps": _of_one(partial(torch.logit, eps=0.25)),
    "elu 0.7": _of_one(partial(F.elu, alpha=0.7)),
    "elu -1": _of_one(partial(F.elu, alpha=-1.0)),
    "celu 0.5": _of_one(partial(F.celu, alpha=0.5)),
    "leaky_relu 0": _of_one(partial(F.leaky_relu, negative_slope=0.0)),
    "leaky_relu 2": _of_one(partial(F.leaky_relu, negative_slope=2.0)),
    "softplus 2": _of_one(partial(F.softplus, beta=2.0, threshold=6.0)),
    "softplus -1": _of_one(partial(F.softplus, beta=-1.0)),
    "hardtanh 0.5": _of_one(partial(F.hardtanh, min_val=-0.5, max_val=0.7)),
    "threshold": _of_one(partial(F.threshold, threshold=0.5, value=20.0)),
    "hardshrink 0.7": _of_one(partial(F.hardshrink, lambd=0.7)),
    "softshrink 0": _of_one(partial(F.softshrink, lambd=0.0)),
    "clamp": _of_one(partial(torch.clamp, min=-0.5, max=0.7)),
    "clamp crossed": _of_one(partial(torch.clamp, min=1.0, max=-1.0)),
    "clamp to nan": _of_one(partial(torch.clamp, min=nan)),
    "clip to nan": _of_one(partial(torch.clip, max=nan)),
    "clamp to infinity": _of_one(partial(torch.clamp, min=inf)),
    "round to decimals": _of_one(partial(torch.round, decimals=1)),
    "nan_to_num to numbers": _of_one(partial(torch.nan_to_num, nan=1.0, posinf=2.0, neginf=-3.0)),
    "xlog1py itself": _of_one(lambda x: torch.special.xlog1py(x, x)),
    **{f"{name} itself": _of_one(partial(_of_itself, name)) for name in _PAIRS.split()},
    "power itself": _of_one(lambda x: x**x),
    "quotient itself": _of_one(lambda x: x / x),
    "divided by zero": _of_one(lambda x: x / 0.0),
    "times zero": _of_one(lambda x: x * 0.0),
    **{f"power {e!r}": _of_one(partial(_raised_to, e)) for e in _EXPONENTS},
    **{f"power of {b!r}": _of_one(partial(_power_of, b)) for b in (*_ENDS, 0.5, nan)},
    **{f"{n} and {b!r}": _of_one(partial(_with_number, n, b)) for n in _PAIRS.split() for b in _NUMBERS},
    **{f"{b!r} and {n}": _of_one(partial(_number_with, n, b)) for n in _PAIRS.split() for b in _NUMBERS},
    "xlogy of numbers": _of_one(lambda x: torch.xlogy(x, 2.0) + torch.xlogy(0.0, x)),
}

BINARY: dict[str, Function] = {
    **{name: _of_two(getattr(torch, name)) for name in _PAIRS.split()},
    **{name: _of_two(getattr(torch, name)) for name in ("add", "sub", "mul", "div", "pow")},
    "xlog1py": _of_two(torch.special.xlog1py),
    "floor division": _of_two(partial(torch.div, rounding_mode="floor")),
    "truncated division": _of_two(partial(torch.div, rounding_mode="trunc")),
    "clamp to a tensor": _of_two(lambda x, b: torch.clamp(x, min=b)),
    "clip to a tensor": _of_two(lambda x, b: torch.clip(x, max=b)),
    "clamp_min": _of_two(torch.clamp_min),
    "clamp to tensors": _of_two(lambda x, b: torch.clamp(x, min=b, max=b + 1)),
    "clamp to the root": _of_two(lambda x, b: torch.clamp(x, min=torch.sqrt(b))),
    "prelu": _of_two(torch.ops.aten._prelu_kernel),
    "where": _of_two(lambda x, b: torch.where(x > 0, x, b)),
    **{f"lerp {w}": _of_two(partial(torch.lerp, weight=w)) for w in (0.0, 0.3, 0.5, 0.7, 1.0)},
    "lerp": _of_two(lambda x, w: torch.lerp(x, 2.0 - x, w)),
    "addcmul": _of_two(lambda x, b: torch.addcmul(x, x, b, value=0.5)),
    "glu": lambda x: F.glu(x, -1)[:, 0],
    "huber": _of_two(partial(F.huber_loss, reduction="none", delta=0.5)),
    "smooth l1": _of_two(partial(F.smooth_l1_loss, reduction="none", beta=0.5)),
    "smooth l1 of 2": _of_two(partial(F.smooth_l1_loss, reduction="none", beta=2.0)),
    "smooth l1 of 0": _of_two(partial(F.smooth_l1_loss, reduction="none", beta=0.0)),
    "mse": _of_two(partial(F.mse_loss, reduction="none")),
    "l1": _of_two(partial(F.l1_loss, reduction="none")),
    "kl": _of_two(partial(F.kl_div, reduction="none")),
}

# Of rows, by which rows torch does more with than make NaN of their infinities, or lose their sizes.
INFINITE_ROWS: dict[str, Function] = {
    **{name: partial(_along, name) for name in ("sum", "mean", "amax", "amin")},
    "softmax": lambda x: torch.softmax(x, -1)[:, 0],
    "log_softmax": lambda x: torch.log_softmax(x, -1)[:, 0],
    "cumsum": lambda x: x.cumsum(-1)[:, 2],
    "norm 1": lambda x: torch.linalg.vector_norm(x, 1.0, -1),
    "norm inf": lambda x: torch.linalg.vector_norm(x, inf, -1),
    "norm -inf": lambda x: torch.linalg.vector_norm(x, -inf, -1),
}
FINITE_ROWS: dict[str, Function] = {
    "prod": lambda x: x.prod(-1),
    "logsumexp": lambda x: x.logsumexp(-1),
    "variance": lambda x: x.var(-1),
    "norm 3": lambda x: torch.linalg.vector_norm(x, 3.0, -1),
    "layer_norm": lambda x: F.layer_norm(x, (3,))[:, 0],
    "rms_norm": lambda x: F.rms_norm(x, (3,))[:, 0],
}
SIZED_ROWS: dict[str, Function] = {
    "deviation": lambda x: x.std(-1),
    "deviation of all": lambda x: torch.std_mean(x, -1, unbiased=False)[0],
    "norm 2": lambda x: torch.linalg.vector_norm(x, 2.0, -1),
}
ROWS: dict[str, Function] = {**INFINITE_ROWS, **FINITE_ROWS, **SIZED_ROWS}
