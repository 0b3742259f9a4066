"""Softmax and what belongs to it, over features."""

from __future__ import annotations

import math
from collections.abc import Callable

from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.reductions import extreme, keep_dims, shaped


def _shift(low: Lowering, x: View, dims: tuple[int, ...]) -> View:
    """What is taken off before exponentiation, so that nothing overflows: it cancels, gradient and all."""
    return keep_dims(x, extreme(low, x, dims, "maximum"), dims)


def softmax(low: Lowering, x: View, dim: int) -> View:
    """Softmax along a dimension."""
    raised = low.unary("exp", low.sub(x, _shift(low, x, (dim,))))
    return low.div(raised, keep_dims(x, low.sum(raised, (dim,)), (dim,)))


def safe_softmax(low: Lowering, x: View, dim: int) -> View:
    """Softmax that is zero, not undefined, where all along the dimension is minus infinity."""
    blocked, zero = low.compared("eq", _shift(low, x, (dim,)), -math.inf), low.constant(0.0)
    return low.select(blocked, zero, softmax(low, low.select(blocked, zero, x), dim))


def _log_softmax(low: Lowering, x: View, dim: int) -> View:
    dims = (dim,)
    lowered = low.sub(x, _shift(low, x, dims))
    total = low.sum(low.unary("exp", lowered), dims)
    return low.sub(lowered, keep_dims(x, low.unary("log", total), dims))


def _logsumexp(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    dims = call.dims(x)
    largest = extreme(low, x, dims, "maximum")
    infinite = low.compared("eq", low.unary("abs", largest), math.inf)
    largest = low.select(infinite, low.constant(0.0), largest)
    total = low.sum(low.unary("exp", low.sub(x, keep_dims(x, largest, dims))), dims)
    return shaped(call, low.add(low.unary("log", total), largest))


def softmax_gradient(low: Lowering, gradient: View, output: View, dim: int) -> View:
    """The gradient in softmax's argument from the one in its result."""
    weighted = low.mul(gradient, output)
    return low.sub(weighted, low.mul(output, keep_dims(output, low.sum(weighted, (dim,)), (dim,))))


def _log_softmax_gradient(low: Lowering, gradient: View, output: View, dim: int) -> View:
    gradient, output = low.broadcast(gradient, output)
    total = keep_dims(output, low.sum(gradient, (dim,)), (dim,))
    return low.sub(gradient, low.mul(low.unary("exp", output), total))


def _along(function: Callable[..., View], *names: str) -> Rule:
    """The rule for a function of tensors and a dimension, which the last of them has."""
    return lambda low, call: function(low, *(call[name] for name in names), call.dim(call[names[-1]]))


SOFTMAX: dict[str, Rule] = {
    "_softmax": _along(softmax, "self"),
    "_safe_softmax": _along(safe_softmax, "self"),
    "_log_softmax": _along(_log_softmax, "self"),
    "logsumexp": _logsumexp,
    "_softmax_backward_data": _along(softmax_gradient, "grad_output", "output"),
    "_log_softmax_backward_data": _along(_log_softmax_gradient, "grad_output", "output"),
}
