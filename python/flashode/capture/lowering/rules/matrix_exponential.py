"""The exponential of small matrices that depend on t or y, by scaling and squaring."""

from __future__ import annotations

import math

import numpy as np

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.linear_algebra import small
from flashode.capture.lowering.rules.products import product

# Twice that of other rules: torch's derivative is an exponential of a matrix twice as large.
_LARGEST = 16
# Of a matrix of norm one at most, the Taylor polynomial leaves out no more than 1 / 19! + 1 / 20! + …, less
# than 9e-18, a tenth of the rounding of a double. 19 terms are four polynomials in the fifth power.
_TERMS, _GROUP = 19, 5
# Norms up to 2^12 are scaled to one. Beyond, the result is no number.
_SQUARINGS = 12


def _exponential(low: Lowering, call: Call) -> View:
    x = small(call, call["self"], _LARGEST)
    matrices = x.rows.reshape(-1, *x.rows.shape[-2:])
    program = low.program

    def chosen(condition: Rows, a: Rows, b: Rows) -> Rows:
        return program.select(np.broadcast_to(condition[:, None, None], a.shape), a, b)

    def filled(number: float, shape: tuple[int, ...]) -> Rows:
        return program.constant(np.full(shape, number))

    norm = _norm(low, matrices)
    above = [program.binary("lt", filled(2.0**i, norm.shape), norm) for i in range(_SQUARINGS)]
    scale = filled(1.0, norm.shape)
    for condition in above:
        scale = program.select(condition, program.unary("affine", (0.5, -0.0), scale), scale)
    scaled = program.binary("mul", matrices, np.broadcast_to(scale[:, None, None], matrices.shape))
    result = _polynomial(low, scaled)
    for condition in above:
        result = chosen(condition, _times(low, result, result), result)
    covered = program.binary("le", norm, filled(2.0**_SQUARINGS, norm.shape))
    result = chosen(covered, result, filled(math.nan, matrices.shape))
    return low.new(result.reshape(x.rows.shape), x.axis)


def _norm(low: Lowering, matrices: Rows) -> Rows:
    """The largest sum of absolute values of a column, without a gradient."""
    sizes = low.program.unary("abs", (), low.program.unary("detach", (), matrices))
    sums = low.program.sum_last(np.swapaxes(sizes, -1, -2))
    largest = sums[:, 0]
    for column in range(1, sums.shape[1]):
        largest = low.program.binary("maximum", largest, sums[:, column])
    return largest


def _polynomial(low: Lowering, x: Rows) -> Rows:
    """The sum of the first terms x^k / k!, in groups of powers, by Horner's rule in the power of a group."""
    program = low.program
    powers = [np.broadcast_to(program.constant(np.eye(x.shape[-1])), x.shape), x]
    while len(powers) <= _GROUP:
        powers.append(_times(low, powers[-1], x))
    result: Rows | None = None
    for start in reversed(range(0, _TERMS, _GROUP)):
        group = None if result is None else _times(low, result, powers[_GROUP])
        for k in range(start, min(start + _GROUP, _TERMS)):
            term = program.unary("affine", (1.0 / math.factorial(k), -0.0), powers[k - start])
            group = term if group is None else program.binary("add", group, term)
        result = group
    assert result is not None
    return result


def _times(low: Lowering, a: Rows, b: Rows) -> Rows:
    return product(low, low.new(a, None), low.new(b, None))


MATRIX_EXPONENTIAL: dict[str, Rule] = {"linalg_matrix_exp": _exponential}
