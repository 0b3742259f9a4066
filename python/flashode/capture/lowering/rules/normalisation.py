"""Normalisations over features, and over the batch by its running statistics, with their gradients."""

from __future__ import annotations

from collections.abc import Callable

from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.reductions import keep_dims, mean, moments, shaped
from flashode.capture.refusal import EVALUATION, Mixing, Refusal


def _standardised(low: Lowering, x: View, dims: tuple[int, ...], eps: float) -> tuple[View, View, View]:
    """``x`` of mean zero and variance one, the mean, and the reciprocal deviation; dimensions are kept."""
    variance, center = (keep_dims(x, part, dims) for part in moments(low, x, dims, 0.0))
    scale = _reciprocal_root(low, variance, eps)
    return low.mul(low.sub(x, center), scale), center, scale


def _reciprocal_root(low: Lowering, variance: View, eps: float) -> View:
    return low.unary("reciprocal", low.unary("sqrt", low.scaled(variance, 1.0, eps)))


def _affine(low: Lowering, call: Call, x: View, facing: Callable[[View, int], View] | None = None) -> View:
    """``x`` times the call's weight, plus its bias, which ``facing`` brings into place."""
    weight, bias = (
        part if part is None or facing is None else facing(part, x.positions.ndim)
        for part in (call["weight"], call["bias"])
    )
    x = x if weight is None else low.mul(x, weight)
    return x if bias is None else low.add(x, bias)


def _last_dims(call: Call, x: View) -> tuple[int, ...]:
    dims = tuple(range(x.positions.ndim - len(call["normalized_shape"]), x.positions.ndim))
    if x.axis in dims:
        raise Mixing(f"{call.name} acts on the batch axis")
    return dims


def _layer_norm(low: Lowering, call: Call) -> list[View]:
    x: View = call["input"]
    standard, center, scale = _standardised(low, x, _last_dims(call, x), call.number("eps"))
    return [_affine(low, call, standard), shaped(call, center, 1), shaped(call, scale, 2)]


def _standard_gradient(
    low: Lowering, gradient: View, standard: View, scale: View, dims: tuple[int, ...]
) -> View:
    """The gradient in what was standardised over ``dims`` from the one in the result."""
    direct = low.sub(gradient, keep_dims(standard, mean(low, gradient, dims), dims))
    projection = keep_dims(standard, mean(low, low.mul(gradient, standard), dims), dims)
    return low.mul(scale, low.sub(direct, low.mul(standard, projection)))


def _over_others(low: Lowering, x: View, dims: tuple[int, ...]) -> View:
    """Sums over all dimensions but ``dims``, which stay: the gradient of a weight or bias."""
    return low.sum(x, tuple(dim for dim in range(x.positions.ndim) if dim not in dims))


def _layer_norm_backward(low: Lowering, call: Call) -> list[View]:
    x: View = call["input"]
    dims = _last_dims(call, x)
    gradient, x = low.broadcast(call["grad_out"], x)
    center, scale = call["mean"], call["rstd"]
    standard = low.mul(low.sub(x, center), scale)
    weighted = gradient if call["weight"] is None else low.mul(gradient, call["weight"])
    wanted = call["output_mask"]
    results = [_standard_gradient(low, weighted, standard, scale, dims)] if wanted[0] else []
    if x.axis is None:
        # Otherwise the gradients in weight and bias are sums over the batch.
        parts = low.mul(gradient, standard), gradient
        results += [
            _over_others(low, part, dims) for part, given in zip(parts, wanted[1:], strict=True) if given
        ]
    return results


def _group_norm(low: Lowering, call: Call) -> list[View]:
    x: View = call["input"]
    if x.axis not in (0, None):
        raise Mixing("native_group_norm acts on the batch axis")
    shape = x.positions.shape
    parted = x.showing(x.positions.reshape(shape[0], int(call.number("group")), -1), x.axis)
    standard, center, scale = _standardised(low, parted, (2,), call.number("eps"))
    standard = standard.showing(standard.positions.reshape(shape), x.axis)
    result = _affine(low, call, standard, _of_channels)
    return [result, shaped(call, center, 1), shaped(call, scale, 2)]


def _of_channels(x: View, ndim: int) -> View:
    """A vector that stands along the second dimension of ``ndim``."""
    return x.showing(x.positions.reshape(1, -1, *(1,) * (ndim - 2)), x.axis)


def _batch_norm(low: Lowering, call: Call) -> list[View]:
    x: View = call["input"]
    center, scale, _ = _statistics(low, call, x, call["training"])
    result = _affine(low, call, low.mul(low.sub(x, center), scale), _of_channels)
    if not call["training"]:
        return [result, low.empty(call, 1), low.empty(call, 2)]
    axis = None if x.axis is None else 0
    return [result, *(low.new(part.rows.reshape(-1), axis) for part in (center, scale))]


def _statistics(low: Lowering, call: Call, x: View, training: bool) -> tuple[View, View, tuple[int, ...]]:
    """Mean and reciprocal deviation of each channel, and the dimensions that they are taken over."""
    ndim = x.positions.ndim
    dims = tuple(dim for dim in range(ndim) if dim != 1)
    if not training:
        scale = _reciprocal_root(low, _of_channels(call["running_var"], ndim), call.number("eps"))
        return _of_channels(call["running_mean"], ndim), scale, dims
    if x.axis in dims:
        raise Mixing(f"{call.name} takes statistics of the batch")
    if call["running_mean"] is not None:
        raise Refusal(f"{call.name} updates running statistics", remedy=EVALUATION)
    _, center, scale = _standardised(low, x, dims, call.number("eps"))
    return center, scale, dims


def _batch_norm_backward(low: Lowering, call: Call) -> list[View]:
    if not call["output_mask"][0]:
        return []
    gradient, x = low.broadcast(call["grad_out"], call["input"])
    center, scale, dims = _statistics(low, call, x, call["train"])
    if call["weight"] is not None:
        gradient = low.mul(gradient, _of_channels(call["weight"], x.positions.ndim))
    if not call["train"]:
        return [low.mul(gradient, scale)]
    return [_standard_gradient(low, gradient, low.mul(low.sub(x, center), scale), scale, dims)]


NORMALISATION: dict[str, Rule] = {
    "native_layer_norm": _layer_norm,
    "native_layer_norm_backward": _layer_norm_backward,
    "native_group_norm": _group_norm,
    "native_batch_norm": _batch_norm,
    "native_batch_norm_backward": _batch_norm_backward,
}
