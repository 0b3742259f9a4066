"""Elimination in small matrices without branches: a choice among rows is a ``Select`` of their elements.

Stacks of matrices are references to rows of a Program in the order (rows, matrices, columns): a step is a few
wide operations, whatever the number of matrices.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from flashode.capture.lowering.rows import ProgramBuilder, Rows


def stacked(matrices: Rows) -> Rows:
    """Matrices (…, rows, columns) as (rows, matrices, columns)."""
    return np.moveaxis(matrices.reshape(-1, *matrices.shape[-2:]), 1, 0)


def unstacked(stack: Rows, leading: tuple[int, ...]) -> Rows:
    """The inverse of ``stacked``."""
    return np.moveaxis(stack, 0, 1).reshape(*leading, stack.shape[0], stack.shape[2])


def solved(program: ProgramBuilder, a: Rows, b: Rows) -> tuple[Rows, Rows]:
    """The solutions of ``a x = b`` by elimination with partial pivoting, and the pivots (n, matrices).

    Of equal candidates the first is the pivot, as in LAPACK. A pivot of zero divides all the same.
    """
    size = len(a)
    work = np.concatenate([a, b], 2)
    for k in range(size):
        if k < size - 1:
            candidates = work[k:, :, k:]
            _first_is_largest(program, program.unary("abs", (), candidates[:, :, 0]), candidates)
            ratio = _divided(program, work[k + 1 :, :, k], work[k, :, k])
            work[k + 1 :, :, k + 1 :] = _reduced(
                program, work[k + 1 :, :, k + 1 :], ratio, work[k, :, k + 1 :]
            )
    pivots = np.stack([work[k, :, k] for k in range(size)])
    return substituted(program, work[:, :, :size], work[:, :, size:]), pivots


def substituted(program: ProgramBuilder, upper: Rows, b: Rows, unit: bool = False) -> Rows:
    """The solutions of ``upper x = b``; nothing below the diagonal is read, nor is a diagonal of ones."""
    b = b.copy()
    for k in reversed(range(len(b))):
        if not unit:
            b[k] = _divided(program, b[k], upper[k, :, k : k + 1])
        if k:
            b[:k] = _reduced(program, b[:k], upper[:k, :, k], b[k])
    return b


def determinant(program: ProgramBuilder, a: Rows) -> tuple[Rows, Rows]:
    """The factors of determinants: pivots (n, matrices) of complete pivoting, and a sign (matrices,).

    So a pivot is zero only where all that is left is zero: nothing is divided by zero, and the derivative of
    the product of the pivots is that of the determinant at a singular matrix too. By partial pivoting it is
    not.
    """
    work, size, swaps = a.copy(), len(a), []
    for k in range(size - 1):
        left = work[k:, :, k:]
        keys = program.unary("abs", (), left)
        largest = reduce(lambda x, y: program.binary("maximum", x, y), np.moveaxis(keys, 2, 0))
        swaps += _first_is_largest(program, largest, left)
        swaps += _first_is_largest(program, program.unary("abs", (), left[0].T), np.moveaxis(left, 2, 0))
        pivot = work[k, :, k]
        zero = program.constant(np.zeros(pivot.shape))
        one = program.constant(np.ones(pivot.shape))
        divisor = program.select(program.binary("eq", pivot, zero), one, pivot)
        ratio = _divided(program, work[k + 1 :, :, k], divisor)
        work[k + 1 :, :, k + 1 :] = _reduced(program, work[k + 1 :, :, k + 1 :], ratio, work[k, :, k + 1 :])
    signs = [program.unary("affine", (-2.0, 1.0), swap) for swap in swaps]
    one = program.constant(np.ones(a.shape[1]))
    sign = reduce(lambda x, y: program.binary("mul", x, y), signs, one)
    return np.stack([work[k, :, k] for k in range(size)]), sign


def cholesky(program: ProgramBuilder, a: Rows) -> tuple[Rows, Rows]:
    """The lower factors of symmetric matrices, by their lower triangles, and the squares of diagonals.

    Where one of the latter is not positive, neither is the matrix.
    """
    work, size = a.copy(), len(a)
    factor = program.constant(np.zeros(a.shape))
    for k in range(size):
        factor[k, :, k] = program.unary("sqrt", (), work[k, :, k])
        if k == size - 1:
            break
        factor[k + 1 :, :, k] = _divided(program, work[k + 1 :, :, k], factor[k, :, k])
        for row in range(k + 1, size):
            columns = slice(k + 1, row + 1)
            facing = np.moveaxis(factor[columns, :, k], 0, 1)
            work[row, :, columns] = _reduced(program, work[row, :, columns], factor[row, :, k], facing)
    return factor, np.stack([work[k, :, k] for k in range(size)])


def _first_is_largest(program: ProgramBuilder, keys: Rows, items: Rows) -> list[Rows]:
    """Exchanges items along the first axis, in place, until the one of the largest key is first.

    A tournament: each comparison exchanges two places. Returns where they were exchanged, (matrices,) each.
    """
    keys, step, swaps = keys.copy(), 1, []
    while step < len(keys):
        first = np.arange(0, len(keys) - step, 2 * step)
        second = first + step
        swap = program.binary("lt", keys[first], keys[second])
        swaps += list(swap)
        keys[first] = program.select(swap, keys[second], keys[first])
        held, other = items[first], items[second]
        exchanged = np.broadcast_to(swap[..., None], held.shape)
        items[first], items[second] = (
            program.select(exchanged, other, held),
            program.select(exchanged, held, other),
        )
        step *= 2
    return swaps


def _divided(program: ProgramBuilder, a: Rows, b: Rows) -> Rows:
    return program.binary("div", a, np.broadcast_to(b, a.shape))


def _reduced(program: ProgramBuilder, a: Rows, ratio: Rows, row: Rows) -> Rows:
    """``a`` less multiples of a row: ``ratio`` has all axes of ``a`` but the last one."""
    multiples = np.broadcast_arrays(ratio[..., None], row, a)[:2]
    return program.binary("sub", a, program.binary("mul", *multiples))
