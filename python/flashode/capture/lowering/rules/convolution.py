"""Convolutions over the features of one trajectory, as products with windows."""

from __future__ import annotations

import math

import numpy as np

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.products import product
from flashode.capture.refusal import Unsupported


def _convolution(low: Lowering, call: Call) -> View:
    x, weight = call["input"], call["weight"]
    if x.axis not in (0, None) or not low.is_static(weight):
        raise Unsupported("convolution of this kind is not supported")
    if call["transposed"]:
        raise Unsupported("transposed convolution is not supported")
    windows = _windows(low, call, x.rows, weight.positions.shape[2:])
    groups = int(call.number("groups"))
    # (batch, places, groups * channels of a group * places of a window)
    batch, places = windows.shape[0], windows.shape[2 : 2 + (windows.ndim - 2) // 2]
    flat = np.moveaxis(windows.reshape(batch, windows.shape[1], math.prod(places), -1), 1, 2)
    parts = np.split(flat, groups, 2)
    matrices = np.split(weight.rows, groups, 0)
    products = [
        product(
            low,
            low.new(part.reshape(*part.shape[:2], -1), x.axis),
            low.new(matrix.reshape(len(matrix), -1).T, None),
        )
        for part, matrix in zip(parts, matrices, strict=True)
    ]
    channels = np.moveaxis(np.concatenate(products, -1), -1, 1)
    result = low.new(channels.reshape(call.shape), call.axis)
    bias: View | None = call["bias"]
    if bias is None:
        return result
    facing = bias.positions.reshape(-1, *(1 for _ in places))
    return low.add(result, bias.showing(facing, None))


def _windows(low: Lowering, call: Call, rows: Rows, kernel: tuple[int, ...]) -> Rows:
    """(batch, channels, *places, *kernel): what the kernel sees at each place."""
    padding = [(0, 0), (0, 0), *((int(p), int(p)) for p in call["padding"])]
    (zero,) = low.program.constant(np.zeros(1))
    padded = np.pad(rows, padding, constant_values=zero)
    dilation, stride = ([int(n) for n in call[name]] for name in ("dilation", "stride"))
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    axes = tuple(range(2, rows.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axes)
    steps = [slice(None, None, n) for n in (*stride, *dilation)]
    seen: Rows = windows[(slice(None), slice(None), *steps)]
    return seen


CONVOLUTION: dict[str, Rule] = {"convolution": _convolution}
