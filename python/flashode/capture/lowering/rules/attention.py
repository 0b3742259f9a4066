"""Scaled dot-product attention among the nodes of one trajectory."""

from __future__ import annotations

import math

import numpy as np

from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.products import product
from flashode.capture.lowering.rules.softmax import safe_softmax, softmax, softmax_gradient
from flashode.capture.refusal import EVALUATION, Mixing, Refusal


def _swapped(x: View) -> View:
    last = x.positions.ndim - 1
    axis = {last: last - 1, last - 1: last}.get(x.axis, x.axis) if x.axis is not None else None
    return x.showing(np.swapaxes(x.positions, -1, -2), axis)


def _matmul(low: Lowering, a: View, b: View) -> View:
    return low.new(product(low, a, b), a.axis)


def _weights(low: Lowering, call: Call) -> tuple[View, float]:
    """How much each query attends to each key, and the scale of their products."""
    query, key = call["query"], call["key"]
    if call.number("dropout_p"):
        raise Refusal("attention with dropout draws random numbers", remedy=EVALUATION)
    if query.axis is not None and query.axis >= query.positions.ndim - 2:
        raise Mixing("attention acts on the batch axis")
    scale = call.arguments.get("scale")
    factor = 1.0 / math.sqrt(query.positions.shape[-1]) if scale is None else call.number("scale")
    scores = low.scaled(_matmul(low, query, _swapped(key)), factor)
    last, mask = query.positions.ndim - 1, call.arguments.get("attn_mask")
    if call["is_causal"]:
        below = np.tril(np.ones(scores.positions.shape[-2:], bool))
        blocked = low.program.constant(np.array(-math.inf))
        scores = low.new(np.where(below, scores.rows, blocked), scores.axis)
    elif mask is not None:
        return safe_softmax(low, low.add(scores, mask), last), factor
    return softmax(low, scores, last), factor


def _flash(low: Lowering, call: Call) -> list[View]:
    weights, _ = _weights(low, call)
    return [_matmul(low, weights, call["value"])]


def _flash_backward(low: Lowering, call: Call) -> list[View]:
    weights, factor = _weights(low, call)
    gradient = call["grad_out"]
    in_weights = _matmul(low, gradient, _swapped(call["value"]))
    in_scores = low.scaled(softmax_gradient(low, in_weights, weights, weights.positions.ndim - 1), factor)
    return [
        _matmul(low, in_scores, call["key"]),
        _matmul(low, _swapped(in_scores), call["query"]),
        _matmul(low, _swapped(weights), gradient),
    ]


ATTENTION: dict[str, Rule] = {
    "_scaled_dot_product_flash_attention_for_cpu": _flash,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _flash_backward,
}
