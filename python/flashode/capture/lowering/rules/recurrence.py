"""A layer of an LSTM, in one direction, as torch hands it to a library for single precision on processors."""

from __future__ import annotations

import numpy as np

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.context import Call, Lowering, Result, Rule, View
from flashode.capture.lowering.rules.products import product
from flashode.capture.refusal import Mixing, Unsupported

_LSTM = 2


def _layer(low: Lowering, call: Call) -> list[Result]:
    x: View = call["input"]
    if call["mode"] != _LSTM or call["batch_sizes"]:
        raise Unsupported(f"this use of aten.{call.name} is not supported")
    if x.axis != 1 and x.axis is not None:
        raise Mixing("a recurrent layer takes trajectories for steps or features")
    hidden, cell = (low.new(call[name].rows, call[name].axis) for name in ("hx_", "cx_"))
    outputs: list[Rows] = []
    steps = range(len(x.positions))
    axis = None if x.axis is None else 0
    for step in reversed(steps) if call["reverse"] else steps:
        given = x.showing(x.positions[step], axis)
        gates = low.add(
            _linear(low, call, given, "weight0", "weight2"), _linear(low, call, hidden, "weight1", "weight3")
        )
        enter, keep, new, leave = (low.new(part, gates.axis) for part in np.split(gates.rows, 4, -1))
        kept = low.mul(low.unary("sigmoid", keep), cell)
        cell = low.add(kept, low.mul(low.unary("sigmoid", enter), low.unary("tanh", new)))
        hidden = low.mul(low.unary("sigmoid", leave), low.unary("tanh", cell))
        outputs.append(hidden.rows)
    ordered = np.stack(outputs[::-1] if call["reverse"] else outputs)
    return [low.new(ordered, call.axis), hidden, cell, None]


def _linear(low: Lowering, call: Call, x: View, weight: str, bias: str) -> View:
    matrix, added = call[weight], call[bias]
    transposed = matrix.showing(matrix.positions.T, None)
    if not call["has_biases"]:
        return low.new(product(low, x, transposed), x.axis)
    if low.is_static(matrix) and low.is_static(added):
        return low.new(product(low, x, transposed, added), x.axis)
    return low.add(low.new(product(low, x, transposed), x.axis), added)


RECURRENCE: dict[str, Rule] = {"mkldnn_rnn_layer": _layer}
