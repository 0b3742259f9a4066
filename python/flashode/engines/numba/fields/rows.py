"""What moves rows of a tile or adds them up, compiled once for all sizes.

A value that all trajectories share has one number a row, as a tile of one trajectory has.
"""

from __future__ import annotations

import math

import numpy as np

from flashode.engines.numba.fields.double import TRIGONOMETRIC_LIMIT, cos_moderate, sin_moderate
from flashode.engines.numba.fields.kernels import DOUBLES, NUMBERS, SIZE, TABLE, kernel
from flashode.engines.numba.machine_code import absolute, inlined, jitted, part, rounded_as
from flashode.engines.numba.vectors import horizontal_sum, length_of, load, plus, zeros_like


@kernel(NUMBERS, SIZE)
def clear(out, size):
    """out = 0"""
    for i in range(size):
        out[i] = 0.0


@kernel(NUMBERS, NUMBERS, SIZE)
def copy(x, out, size):
    """out = x"""
    for i in range(size):
        out[i] = x[i]


@kernel(NUMBERS, NUMBERS, SIZE)
def add(x, out, size):
    """out += x"""
    for i in range(size):
        out[i] += x[i]


@kernel(NUMBERS, NUMBERS, SIZE, SIZE)
def to_lanes(x, out, width, lanes):
    """The number of each row, for all lanes."""
    for r in range(width):
        number = x[r]
        for lane in range(lanes):
            out[r * lanes + lane] = number


@jitted
def _lane_sum(x, lanes):
    """The sum of a row."""
    whole = lanes - lanes % length_of(x)
    s = zeros_like(x)
    for j in range(0, whole, length_of(x)):
        s = plus(load(x, j, None), s)
    if whole < lanes:
        s = plus(load(x, whole, lanes - whole), s)
    return horizontal_sum(s)


@kernel(NUMBERS, NUMBERS, SIZE, SIZE)
def add_lanes(x, out, width, lanes):
    """out += x, summed over lanes."""
    for r in range(width):
        out[r] += _lane_sum(part(x, r * lanes), lanes)


@kernel(NUMBERS, DOUBLES, SIZE, SIZE, SIZE)
def add_to_doubles(x, out, width, repeats, lanes):
    """out += x, summed over groups of rows and over lanes."""
    for k in range(repeats):
        group = part(x, k * width * lanes)
        if lanes == 1:
            for r in range(width):
                out[r] += np.float64(group[r])
        else:
            for r in range(width):
                out[r] += np.float64(_lane_sum(part(group, r * lanes), lanes))


# Rows that tables name: row `to[i]` is made of row `from[i]`.


@kernel(NUMBERS, NUMBERS, TABLE, TABLE, SIZE, SIZE)
def gather(x, out, source, place, count, lanes):
    """out[place] = x[source]"""
    for i in range(count):
        a, b = part(x, np.intp(source[i]) * lanes), part(out, np.intp(place[i]) * lanes)
        for lane in range(lanes):
            b[lane] = a[lane]


@kernel(NUMBERS, NUMBERS, TABLE, TABLE, SIZE, SIZE)
def gather_shared(x, out, source, place, count, lanes):
    """The same, of a value that trajectories share."""
    for i in range(count):
        number, b = x[np.intp(source[i])], part(out, np.intp(place[i]) * lanes)
        for lane in range(lanes):
            b[lane] = number


@kernel(NUMBERS, NUMBERS, TABLE, TABLE, SIZE, SIZE)
def scatter_add(x, out, source, place, count, lanes):
    """out[place] += x[source]"""
    for i in range(count):
        a, b = part(x, np.intp(source[i]) * lanes), part(out, np.intp(place[i]) * lanes)
        for lane in range(lanes):
            b[lane] += a[lane]


@kernel(NUMBERS, NUMBERS, TABLE, TABLE, SIZE, SIZE)
def scatter_add_lanes(x, out, source, place, count, lanes):
    """The same, summed over lanes, for a value that trajectories share."""
    for i in range(count):
        out[np.intp(place[i])] += _lane_sum(part(x, np.intp(source[i]) * lanes), lanes)


# sin and cos of any number.


@inlined
def _all_moderate(x, size):
    beyond = False
    for i in range(size):
        beyond |= absolute(np.float64(x[i])) > TRIGONOMETRIC_LIMIT
    return not beyond


@kernel(NUMBERS, NUMBERS, SIZE)
def sin(x, out, size):
    """out = sin(x)"""
    if _all_moderate(x, size):
        for i in range(size):
            out[i] = rounded_as(sin_moderate(x[i]), x[i])
    else:
        for i in range(size):
            out[i] = rounded_as(math.sin(np.float64(x[i])), x[i])


@kernel(NUMBERS, NUMBERS, SIZE)
def cos(x, out, size):
    """out = cos(x)"""
    if _all_moderate(x, size):
        for i in range(size):
            out[i] = rounded_as(cos_moderate(x[i]), x[i])
    else:
        for i in range(size):
            out[i] = rounded_as(math.cos(np.float64(x[i])), x[i])
