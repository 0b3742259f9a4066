"""Searches among knots, and rows of tables at computed indices, compiled once for all sizes.

Knots and tables have a number for each lane, or one for all of them: parameters and what trajectories share.
"""

from __future__ import annotations

import math

import numpy as np

from flashode.engines.numba.fields.kernels import DOUBLES, NUMBERS, SIZE, TABLE, kernel
from flashode.engines.numba.machine_code import inlined


@inlined
def _knots_before(knots, begin, apart, count, x, right):
    """Torch's search: how many knots are less than x, with `right` or equal."""
    first, last = 0, count
    while first < last:
        middle = first + (last - first) // 2
        knot = knots[begin + middle * apart]
        if (right != 0 and knot > x) or (right == 0 and knot >= x):
            last = middle
        else:
            first = middle + 1
    return first


@kernel(NUMBERS, NUMBERS, NUMBERS, SIZE, SIZE, SIZE, SIZE, SIZE)
def bucketize(x, knots, out, width, groups, count, right, lanes):
    """How many of a group's knots are less than x."""
    size = width // groups
    for r in range(width):
        begin = r // size * count * lanes
        for lane in range(lanes):
            i = r * lanes + lane
            out[i] = _knots_before(knots, begin + lane, lanes, count, x[i], right)


@kernel(NUMBERS, NUMBERS, NUMBERS, SIZE, SIZE, SIZE, SIZE, SIZE)
def bucketize_shared(x, knots, out, width, groups, count, right, lanes):
    """The same among knots that all lanes share."""
    size = width // groups
    for r in range(width):
        begin = r // size * count
        for i in range(r * lanes, (r + 1) * lanes):
            out[i] = _knots_before(knots, begin, 1, count, x[i], right)


@inlined
def _row_named(index, count):
    """The row of so many that a number names; negative where it names none."""
    return np.intp(index) if index >= 0.0 and index < count else np.intp(-1)


# Of each number of the result `starts` has where it is in the first row of the table.


@kernel(NUMBERS, NUMBERS, NUMBERS, TABLE, SIZE, SIZE, SIZE, SIZE, SIZE)
def lookup(index, table, out, starts, width, of_row, stride, count, lanes):
    """out = table[starts + stride * index], NaN where there is no such row."""
    for e in range(width):
        start, of_index = np.intp(starts[e]), e // of_row * lanes
        for lane in range(lanes):
            row = _row_named(index[of_index + lane], count)
            if row < 0:
                out[e * lanes + lane] = math.nan
            else:
                out[e * lanes + lane] = table[(start + stride * row) * lanes + lane]


@kernel(NUMBERS, NUMBERS, NUMBERS, TABLE, SIZE, SIZE, SIZE, SIZE, SIZE)
def lookup_shared(index, table, out, starts, width, of_row, stride, count, lanes):
    """The same of a table that all lanes share."""
    for e in range(width):
        start, of_index = np.intp(starts[e]), e // of_row * lanes
        for lane in range(lanes):
            row = _row_named(index[of_index + lane], count)
            out[e * lanes + lane] = math.nan if row < 0 else table[start + stride * row]


@inlined
def _add_to_rows(index, grad, out, starts, width, of_row, stride, count, lanes, own):
    """out[starts + stride * index] += grad; each lane has its own, or all lanes one together."""
    for e in range(width):
        start, of_index = np.intp(starts[e]), e // of_row * lanes
        for lane in range(lanes):
            row = _row_named(index[of_index + lane], count)
            if row >= 0:
                place = start + stride * row
                out[place * lanes + lane if own else place] += np.float64(grad[e * lanes + lane])


@kernel(NUMBERS, NUMBERS, NUMBERS, TABLE, SIZE, SIZE, SIZE, SIZE, SIZE)
def lookup_vjp(index, grad, out, starts, width, of_row, stride, count, lanes):
    """out[starts + stride * index] += grad"""
    _add_to_rows(index, grad, out, starts, width, of_row, stride, count, lanes, True)


@kernel(NUMBERS, NUMBERS, NUMBERS, TABLE, SIZE, SIZE, SIZE, SIZE, SIZE)
def lookup_vjp_shared(index, grad, out, starts, width, of_row, stride, count, lanes):
    """The same, summed over lanes, for a table that they share."""
    _add_to_rows(index, grad, out, starts, width, of_row, stride, count, lanes, False)


@kernel(NUMBERS, NUMBERS, DOUBLES, TABLE, SIZE, SIZE, SIZE, SIZE, SIZE)
def lookup_vjp_parameter(index, grad, out, starts, width, of_row, stride, count, lanes):
    """The same for a parameter."""
    _add_to_rows(index, grad, out, starts, width, of_row, stride, count, lanes, False)
