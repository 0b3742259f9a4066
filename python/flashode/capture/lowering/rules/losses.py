"""Losses between tensors, which fields use as potentials."""

from __future__ import annotations

import math
from collections.abc import Callable

from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.refusal import Mixing

Term = Callable[[Lowering, Call, View], View]
_MEAN, _SUM = 1, 2


def _loss(term: Term) -> Rule:
    """A rule for the sum, the mean, or all of a function of differences."""

    def rule(low: Lowering, call: Call) -> View:
        terms = term(low, call, low.sub(call["self"], call["target"]))
        reduction = call.number("reduction")
        if reduction not in (_MEAN, _SUM):
            return terms
        total = low.sum(terms, range(terms.positions.ndim))
        return low.averaged(total, terms.positions.size) if reduction == _MEAN else total

    return rule


def _gradient(slope: Term) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        difference = low.sub(call["self"], call["target"])
        result = low.mul(call["grad_output"], slope(low, call, difference))
        if call.number("reduction") != _MEAN:
            return result
        if result.axis is not None:
            raise Mixing(f"{call.name} takes the mean over the batch")
        return low.averaged(result, math.prod(result.positions.shape))

    return rule


def _pieces(low: Lowering, x: View, reach: float) -> tuple[View, View, View]:
    """Whether a distance is ``reach`` or more, half its square, and what it is beyond half of ``reach``."""
    distance = low.unary("abs", x)
    far = low.compared("le", low.constant(reach), distance)
    # A square that is not looked at must not be infinite either.
    square = low.unary("power", low.select(far, low.constant(0.0), x), 2.0)
    return far, low.scaled(square, 0.5), low.scaled(distance, 1.0, -0.5 * reach)


def _huber(low: Lowering, call: Call, x: View) -> View:
    delta = call.number("delta")
    far, square, beyond = _pieces(low, x, delta)
    return low.select(far, low.scaled(beyond, delta), square)


def _huber_slope(low: Lowering, call: Call, x: View) -> View:
    delta = call.number("delta")
    return low.unary("hardtanh", x, -delta, delta)


def _smooth_l1(low: Lowering, call: Call, x: View) -> View:
    beta = call.number("beta")
    if beta == 0.0:
        return low.unary("abs", x)
    far, square, beyond = _pieces(low, x, beta)
    return low.select(far, beyond, low.averaged(square, beta))


def _smooth_l1_slope(low: Lowering, call: Call, x: View) -> View:
    beta = call.number("beta")
    if beta == 0.0:
        return low.unary("sign", x)
    return low.unary("hardtanh", low.scaled(x, 1.0 / beta), -1.0, 1.0)


LOSSES: dict[str, Rule] = {
    "mse_loss": _loss(lambda low, call, x: low.unary("power", x, 2.0)),
    "mse_loss_backward": _gradient(lambda low, call, x: low.scaled(x, 2.0)),
    "huber_loss": _loss(_huber),
    "huber_loss_backward": _gradient(_huber_slope),
    "smooth_l1_loss": _loss(_smooth_l1),
    "smooth_l1_loss_backward": _gradient(_smooth_l1_slope),
}
