"""Products of matrices and the rows of a tile, compiled once for all sizes.

Row r of lane l of a value is at ``[r * lanes + l]``. Trajectories are in the lanes of vectors; where there is
one trajectory, features are.
"""

from __future__ import annotations

from flashode.engines.numba.fields.kernels import DOUBLES, NUMBERS, SIZE, kernel
from flashode.engines.numba.machine_code import inlined, jitted, numbers_at, part
from flashode.engines.numba.vectors import (
    add_to,
    horizontal_sum,
    length_of,
    load,
    multiply_add,
    plus,
    spread,
    store,
    zeros_like,
)


@inlined
def _eight_rows(a, a_row, a_step, b, b_row, c, c_row, inner, j, count, add):
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zeros_like(b)
    for k in range(inner):
        x = load(b, k * b_row + j, count)
        w = part(a, k * a_step)
        s0 = multiply_add(spread(w[0]), x, s0)
        s1 = multiply_add(spread(w[a_row]), x, s1)
        s2 = multiply_add(spread(w[2 * a_row]), x, s2)
        s3 = multiply_add(spread(w[3 * a_row]), x, s3)
        s4 = multiply_add(spread(w[4 * a_row]), x, s4)
        s5 = multiply_add(spread(w[5 * a_row]), x, s5)
        s6 = multiply_add(spread(w[6 * a_row]), x, s6)
        s7 = multiply_add(spread(w[7 * a_row]), x, s7)
    _give(c, j, s0, count, add)
    _give(c, c_row + j, s1, count, add)
    _give(c, 2 * c_row + j, s2, count, add)
    _give(c, 3 * c_row + j, s3, count, add)
    _give(c, 4 * c_row + j, s4, count, add)
    _give(c, 5 * c_row + j, s5, count, add)
    _give(c, 6 * c_row + j, s6, count, add)
    _give(c, 7 * c_row + j, s7, count, add)


@inlined
def _one_row(a, a_step, b, b_row, c, inner, j, count, add):
    s0 = s1 = zeros_like(b)
    for k in range(0, inner - 1, 2):
        s0 = multiply_add(spread(a[k * a_step]), load(b, k * b_row + j, count), s0)
        s1 = multiply_add(spread(a[(k + 1) * a_step]), load(b, (k + 1) * b_row + j, count), s1)
    if inner % 2:
        k = inner - 1
        s0 = multiply_add(spread(a[k * a_step]), load(b, k * b_row + j, count), s0)
    _give(c, j, plus(s0, s1), count, add)


@inlined
def _give(c, at, value, count, add):
    if add:
        add_to(c, at, value, count)
    else:
        store(c, at, value, count)


@inlined
def _columns(a, a_row, a_step, b, b_row, c, c_row, rows, inner, j, count, add):
    """The columns of a vector."""
    i = 0
    while i + 8 <= rows:
        _eight_rows(
            part(a, i * a_row), a_row, a_step, b, b_row, part(c, i * c_row), c_row, inner, j, count, add
        )
        i += 8
    while i < rows:
        _one_row(part(a, i * a_row), a_step, b, b_row, part(c, i * c_row), inner, j, count, add)
        i += 1


@jitted
def _product(a, a_row, a_step, b, b_row, c, c_row, rows, inner, columns, add):
    """c = a @ b, or c += a @ b, where c may be of double precision and a is read by its strides."""
    whole = columns - columns % length_of(b)
    for j in range(0, whole, length_of(b)):
        _columns(a, a_row, a_step, b, b_row, c, c_row, rows, inner, j, None, add)
    if whole < columns:
        _columns(a, a_row, a_step, b, b_row, c, c_row, rows, inner, whole, columns - whole, add)


# A layer: groups of rows times weights (features_out, features_in).


@kernel(NUMBERS, NUMBERS, SIZE, NUMBERS, SIZE, SIZE, SIZE, SIZE)
def dense(x, weight, bias, out, lanes, features_in, features_out, repeats):
    """out = weight @ x + bias, which is at an address, or zero; for each group."""
    if lanes == 1:
        for r in range(repeats):
            _products_with_rows(
                part(x, r * features_in), weight, part(out, r * features_out), features_in, features_out
            )
            if bias != 0:
                more = numbers_at(bias, x)
                for o in range(features_out):
                    out[r * features_out + o] += more[o]
        return
    for r in range(repeats):
        to = part(out, r * features_out * lanes)
        if bias != 0:
            more = numbers_at(bias, x)
            for o in range(features_out):
                number = more[o]
                for lane in range(lanes):
                    to[o * lanes + lane] = number
        group = part(x, r * features_in * lanes)
        sizes = features_out, features_in
        _product(weight, features_in, 1, group, lanes, to, lanes, *sizes, lanes, bias != 0)


@inlined
def _products_with_rows(x, weight, out, features_in, features_out):
    """out[o] = weight[o] @ x, four at a time: sums of vectors wait for each other."""
    length = length_of(x)
    whole = features_in - features_in % length
    rest = features_in - whole
    last = load(x, whole, rest)
    o = 0
    while o + 4 <= features_out:
        w = part(weight, o * features_in)
        s0 = s1 = s2 = s3 = zeros_like(x)
        for i in range(0, whole, length):
            y = load(x, i, None)
            s0 = multiply_add(load(w, i, None), y, s0)
            s1 = multiply_add(load(w, features_in + i, None), y, s1)
            s2 = multiply_add(load(w, 2 * features_in + i, None), y, s2)
            s3 = multiply_add(load(w, 3 * features_in + i, None), y, s3)
        if rest > 0:
            s0 = multiply_add(load(w, whole, rest), last, s0)
            s1 = multiply_add(load(w, features_in + whole, rest), last, s1)
            s2 = multiply_add(load(w, 2 * features_in + whole, rest), last, s2)
            s3 = multiply_add(load(w, 3 * features_in + whole, rest), last, s3)
        out[o] = horizontal_sum(s0)
        out[o + 1] = horizontal_sum(s1)
        out[o + 2] = horizontal_sum(s2)
        out[o + 3] = horizontal_sum(s3)
        o += 4
    while o < features_out:
        w = part(weight, o * features_in)
        s = zeros_like(x)
        for i in range(0, whole, length):
            s = multiply_add(load(w, i, None), load(x, i, None), s)
        out[o] = horizontal_sum(multiply_add(load(w, whole, rest), last, s))
        o += 1


@kernel(NUMBERS, NUMBERS, NUMBERS, SIZE, SIZE, SIZE, SIZE, SIZE)
def dense_vjp_input(weight, grad, to, lanes, features_in, features_out, repeats, add):
    """to = weight.T @ grad, or it is added; for each group."""
    if lanes == 1:
        sizes = repeats, features_out, features_in
        _product(grad, features_out, 1, weight, features_in, to, features_in, *sizes, add != 0)
        return
    for r in range(repeats):
        group, out = part(grad, r * features_out * lanes), part(to, r * features_in * lanes)
        sizes = features_in, features_out, lanes
        _product(weight, 1, features_in, group, lanes, out, lanes, *sizes, add != 0)


@kernel(NUMBERS, NUMBERS, DOUBLES, NUMBERS, SIZE, SIZE, SIZE, SIZE)
def dense_vjp_weight(x, grad, to, scratch, lanes, features_in, features_out, repeats):
    """to += grad @ x.T, summed over groups and lanes. Scratch: features_in * lanes numbers."""
    if lanes == 1:
        sizes = features_out, repeats, features_in
        _product(grad, 1, features_out, x, features_in, to, features_in, *sizes, True)
        return
    for r in range(repeats):
        group = part(x, r * features_in * lanes)
        for i in range(features_in):
            for lane in range(lanes):
                scratch[lane * features_in + i] = group[i * lanes + lane]
        gradient = part(grad, r * features_out * lanes)
        sizes = features_out, lanes, features_in
        _product(gradient, lanes, 1, scratch, features_in, to, features_in, *sizes, True)


# Matrices that are computed: each trajectory has its own.


@inlined
def _sum_of_products(a, a_step, b, b_step, c, inner, j, count, add):
    """c += Σ a[k] * b[k], of vectors of lanes."""
    s0 = s1 = zeros_like(a)
    for k in range(0, inner - 1, 2):
        s0 = multiply_add(load(a, k * a_step + j, count), load(b, k * b_step + j, count), s0)
        s1 = multiply_add(load(a, (k + 1) * a_step + j, count), load(b, (k + 1) * b_step + j, count), s1)
    if inner % 2:
        k = inner - 1
        s0 = multiply_add(load(a, k * a_step + j, count), load(b, k * b_step + j, count), s0)
    _give(c, j, plus(s0, s1), count, add)


@jitted
def _lane_products(a, a_step, b, b_step, c, inner, lanes, add):
    whole = lanes - lanes % length_of(a)
    for j in range(0, whole, length_of(a)):
        _sum_of_products(a, a_step, b, b_step, c, inner, j, None, add)
    if whole < lanes:
        _sum_of_products(a, a_step, b, b_step, c, inner, whole, lanes - whole, add)


@kernel(NUMBERS, NUMBERS, NUMBERS, SIZE, SIZE, SIZE, SIZE, SIZE)
def dense_dynamic(x, weight, out, lanes, features_in, features_out, blocks, repeats):
    """out[b, r] = weight[b] @ x[b, r]"""
    for b in range(blocks):
        w = part(weight, b * features_out * features_in * lanes)
        for r in range(b * repeats, (b + 1) * repeats):
            group, to = part(x, r * features_in * lanes), part(out, r * features_out * lanes)
            if lanes == 1:
                _products_with_rows(group, w, to, features_in, features_out)
            else:
                for o in range(features_out):
                    row = part(w, o * features_in * lanes)
                    _lane_products(row, lanes, group, lanes, part(to, o * lanes), features_in, lanes, False)


@kernel(NUMBERS, NUMBERS, NUMBERS, SIZE, SIZE, SIZE, SIZE, SIZE, SIZE)
def dense_dynamic_vjp_input(weight, grad, to, lanes, features_in, features_out, blocks, repeats, add):
    """to[b, r] = weight[b].T @ grad[b, r], or it is added."""
    for b in range(blocks):
        w = part(weight, b * features_out * features_in * lanes)
        if lanes == 1:
            group, out = part(grad, b * repeats * features_out), part(to, b * repeats * features_in)
            sizes = repeats, features_out, features_in
            _product(group, features_out, 1, w, features_in, out, features_in, *sizes, add != 0)
        else:
            for r in range(b * repeats, (b + 1) * repeats):
                group = part(grad, r * features_out * lanes)
                for i in range(features_in):
                    column, out = part(w, i * lanes), part(to, (r * features_in + i) * lanes)
                    step = features_in * lanes
                    _lane_products(column, step, group, lanes, out, features_out, lanes, add != 0)


@kernel(NUMBERS, NUMBERS, NUMBERS, SIZE, SIZE, SIZE, SIZE, SIZE, SIZE)
def dense_dynamic_vjp_weight(x, grad, to, lanes, features_in, features_out, blocks, repeats, add):
    """to[b] = Σ grad[b, r] @ x[b, r].T over r, or it is added."""
    for b in range(blocks):
        group, gradient = (
            part(x, b * repeats * features_in * lanes),
            part(grad, b * repeats * features_out * lanes),
        )
        out = part(to, b * features_out * features_in * lanes)
        if lanes == 1:
            sizes = features_out, repeats, features_in
            _product(gradient, 1, features_out, group, features_in, out, features_in, *sizes, add != 0)
        else:
            for o in range(features_out):
                for i in range(features_in):
                    g, g_step = part(gradient, o * lanes), features_out * lanes
                    x_row, x_step = part(group, i * lanes), features_in * lanes
                    place = part(out, (o * features_in + i) * lanes)
                    _lane_products(g, g_step, x_row, x_step, place, repeats, lanes, add != 0)
