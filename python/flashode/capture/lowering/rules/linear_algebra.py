"""Equations, inverses, determinants and factors of parameters, and of small computed matrices.

A matrix of parameters, of any size, is inverted by torch once for each solve. A small one that depends on t
or y is eliminated in the Program. Where torch would raise an exception, because a matrix is singular or not
positive, the derivative of the trajectory is no number.
"""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from flashode.capture.lowering.prologue import Function
from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.context import (
    Call,
    Lowering,
    Result,
    Rule,
    View,
    batch_axis,
    per_trajectory,
)
from flashode.capture.lowering.rules.elimination import (
    cholesky,
    determinant,
    solved,
    stacked,
    substituted,
    unstacked,
)
from flashode.capture.lowering.rules.products import product
from flashode.capture.refusal import Mixing, Unsupported

# The largest matrices that depend on t or y: the work for each trajectory grows with their third power.
LARGEST = 8


def small(call: Call, x: View, largest: int = LARGEST) -> View:
    """Matrices that depend on t or y, refused where they are large or hold several trajectories."""
    size = _apart(call, x).positions.shape[-1]
    if size > largest:
        name = call.name.strip("_").removesuffix("_ex").replace("linalg_", "linalg.")
        raise Unsupported(
            f"{name} of {size}x{size} matrices that depend on t or y is not supported, up to "
            f"{largest}x{largest} is",
            remedy="make it of smaller blocks; of func's own tensors matrices may be of any size",
        )
    return x


def _apart(call: Call, x: View) -> View:
    """Matrices, refused where their rows or columns are trajectories."""
    if x.axis is not None and x.axis >= x.positions.ndim - 2:
        raise Mixing(f"{call.name} acts on the batch axis")
    return x


def _result(low: Lowering, call: Call, rows: Rows, result: int = 0) -> View:
    shape = call.shapes[result]
    return low.new(rows.reshape(per_trajectory(shape)), batch_axis(shape), call.dtypes[result])


def _for_all(low: Lowering, x: View) -> View:
    """Matrices without a batch axis where they are parameters that are spread along it, as vmap does."""
    return x.showing(x.positions, None) if low.program.is_static(x.rows) else x


def _transposed(x: View) -> View:
    last = x.positions.ndim - 1
    axis = x.axis if x.axis is None else {last: last - 1, last - 1: last}.get(x.axis, x.axis)
    return x.showing(np.swapaxes(x.positions, -1, -2), axis)


def _prepared(low: Lowering, name: str, function: Function, *views: View) -> View:
    """A matrix that torch makes of others once for each solve, by a function that has this name alone."""
    registers = [low.register(x.rows, x.dtype) for x in views]
    register = low.prologue.apply(function, registers, views[0].positions.shape, name, name)
    return low.from_register(register, low.dtype)


class _Equations:
    """Matrices ``a`` and right-hand sides ``b`` of equations ``a x = b``, with equal leading dimensions."""

    def __init__(self, low: Lowering, call: Call, a: View, b: View) -> None:
        _apart(call, a)
        if b.axis is not None and b.axis >= b.positions.ndim - 2:
            # A column may belong to a trajectory, of equations that are the same for all.
            if b.axis == b.positions.ndim - 2 or a.axis is not None:
                raise Mixing(f"{call.name} acts on the batch axis")
        else:
            low.broadcast(*(x.showing(x.positions[..., 0, 0], x.axis) for x in (a, b)))
        self.low = low
        self.leading = np.broadcast_shapes(a.positions.shape[:-2], b.positions.shape[:-2])
        self.b = self.spread(b.rows)

    def spread(self, rows: Rows) -> Rows:
        return np.broadcast_to(rows, (*self.leading, *rows.shape[-2:]))

    def by_inverse(self, a: View, inverse: View) -> Rows:
        """The solutions, by a product with the inverse that is refined once.

        For some right-hand sides the error of such a product grows with the square of the condition number.
        After one refinement it is that of a solution by factors, as long as that square is well below the
        inverse of the machine epsilon. Autograd refines the transposed equations, those of the gradient, by
        the same products.
        """
        low, matrix, factor = self.low, self.spread(a.rows), self.spread(inverse.rows)

        def times(left: Rows, right: Rows) -> Rows:
            return product(low, low.new(left, None), low.new(right, None))

        first = times(factor, self.b)
        rest = low.program.binary("sub", self.b, times(matrix, first))
        return low.program.binary("add", first, times(factor, rest))

    def by_elimination(self, a: View) -> tuple[Rows, Rows]:
        """The solutions, and the pivots (n, …) of each matrix."""
        x, pivots = solved(self.low.program, stacked(self.spread(a.rows)), stacked(self.b))
        every = pivots.reshape(-1, *self.leading)
        # Of matrices that are shared by several right-hand sides, the first is as good as any.
        own = a.positions.shape[:-2]
        shared = (0,) * (len(self.leading) - len(own))
        index = (slice(None), *shared, *(slice(0, 1) if size == 1 else slice(None) for size in own))
        return unstacked(x, self.leading), every[index]


def _inverse(matrix: Tensor) -> Tensor:
    inverse: Tensor
    inverse, info = torch.linalg.inv_ex(matrix)
    # What is there where there is none is undefined.
    return inverse.masked_fill((info != 0)[..., None, None], math.nan)


def _singular(matrix: Tensor) -> Tensor:
    info: Tensor = torch.linalg.lu_factor_ex(matrix.detach()).info
    return info


def _solution(low: Lowering, call: Call, a: View, b: View) -> tuple[Rows, Rows]:
    """The solutions of ``a x = b``, and of each matrix the number of its first pivot of zero, or zero."""
    equations, a = _Equations(low, call, a, b), _for_all(low, a)
    if low.is_static(a):
        inverse = _prepared(low, "inv", _inverse, a)
        source = low.register(a.rows, a.dtype)
        info = low.prologue.apply(_singular, [source], a.positions.shape[:-2], "info", "info")
        return equations.by_inverse(a, inverse), low.from_register(info, torch.int32).rows
    x, pivots = equations.by_elimination(small(call, a))
    zero = low.program.constant(np.zeros(pivots.shape))
    return x, _first(low, low.program.binary("eq", pivots, zero))


def _first(low: Lowering, failed: Rows) -> Rows:
    """Of conditions (n, …) the number, from one, of the first that holds; zero where none does."""
    number = low.program.constant(np.zeros(failed.shape[1:]))
    for place in reversed(range(len(failed))):
        here = low.program.constant(np.full(number.shape, place + 1.0))
        number = low.program.select(failed[place], here, number)
    return number


def _info(low: Lowering, call: Call, rows: Rows, result: int) -> View:
    info = _result(low, call, rows, result)
    if call["check_errors"]:
        low.raises(info)
    return info


def _solve(low: Lowering, call: Call) -> list[Result]:
    a, b = call["A"], call["B"]
    if len(call.shapes[0]) == a.positions.ndim - 1:
        b = b.showing(b.positions[..., None], b.axis)
    if call["left"]:
        x, info = _solution(low, call, a, b)
    else:
        x, info = _solution(low, call, _transposed(a), _transposed(b))
        x = np.swapaxes(x, -1, -2)
    return [_result(low, call, x), None, None, _info(low, call, info, 3)]


def _identity(low: Lowering, a: View) -> View:
    return low.new(low.program.constant(np.eye(a.positions.shape[-1])), None)


def _inv(low: Lowering, call: Call) -> list[Result]:
    x, info = _solution(low, call, call["A"], _identity(low, call["A"]))
    return [_result(low, call, x), _info(low, call, info, 1)]


def _det(low: Lowering, call: Call) -> list[Result]:
    pivots, sign = determinant(low.program, stacked(small(call, call["A"]).rows))
    factors = [sign, *pivots]
    return [_result(low, call, reduce(lambda a, b: low.program.binary("mul", a, b), factors)), None, None]


def _slogdet(low: Lowering, call: Call) -> list[Result]:
    pivots, sign = determinant(low.program, stacked(small(call, call["A"]).rows))
    signs = [sign, *low.program.unary("sign", (), pivots)]
    logarithms = low.program.unary("log", (), low.program.unary("abs", (), pivots))
    return [
        _result(low, call, reduce(lambda a, b: low.program.binary("mul", a, b), signs)),
        _result(low, call, low.program.sum_last(np.moveaxis(logarithms, 0, -1)), 1),
        *(None, None),
    ]


def _cholesky(low: Lowering, call: Call) -> list[Result]:
    a = small(call, call["self"])
    matrix = _evenly(low, stacked((_transposed(a) if call["upper"] else a).rows))
    factor, squares = cholesky(low.program, matrix)
    positive = low.program.binary("lt", low.program.constant(np.zeros(squares.shape)), squares)
    failed = low.program.unary("affine", (-1.0, 1.0), positive)
    leading = a.positions.shape[:-2]
    rows = unstacked(factor, leading)
    return [
        _result(low, call, np.swapaxes(rows, -1, -2) if call["upper"] else rows),
        _info(low, call, _first(low, failed), 1),
    ]


def _evenly(low: Lowering, matrix: Rows) -> Rows:
    """The lower triangle's values, half of whose gradient goes to the elements above, as it does in torch."""
    if len(matrix) == 1:
        return matrix
    mirrored = matrix.transpose(2, 1, 0)
    row, column = np.tril_indices(len(matrix), -1)
    lower, upper = matrix[row, :, column], mirrored[row, :, column]
    program = low.program
    apart = program.binary("sub", upper, lower)
    nothing = program.binary("sub", apart, program.unary("detach", (), apart))
    zero = program.constant(np.zeros(nothing.shape))
    nothing = program.select(program.binary("eq", nothing, zero), nothing, zero)  # what is above may be NaN
    even = program.binary("add", lower, program.unary("affine", (0.5, -0.0), nothing))
    result = matrix.copy()
    result[row, :, column] = np.where(lower == upper, lower, even)
    return result


def _gram(factor: Tensor) -> Tensor:
    """The matrix of a lower factor; the gradient is that of the whole factor, as it is in torch."""
    whole, lower = factor @ factor.mT, factor.tril()
    return whole + (lower @ lower.mT - whole).detach()


def _matrix_of_factor(low: Lowering, call: Call, factor: View) -> View:
    _apart(call, factor)
    if low.is_static(factor):
        return _prepared(low, "gram", _gram, factor)
    small(call, factor)

    def gram(x: View) -> View:
        plain = low.new(x.rows, None)
        return low.new(product(low, plain, _transposed(plain)), factor.axis)

    inside = np.tri(factor.positions.shape[-1], dtype=bool)
    above = low.program.literal(factor.rows[..., ~inside])
    if above is not None and not above.any():
        return gram(factor)
    zero = low.program.constant(np.zeros(()))
    whole, lower = gram(factor), gram(low.new(np.where(inside, factor.rows, zero), factor.axis))
    return low.add(whole, low.without_gradient(low.sub(lower, whole)))


def _cholesky_solve(low: Lowering, call: Call) -> View:
    factor: View = call["input2"]
    a = _matrix_of_factor(low, call, _transposed(factor) if call["upper"] else factor)
    return _result(low, call, _solution(low, call, a, call["self"])[0])


def _cholesky_inverse(low: Lowering, call: Call) -> View:
    factor: View = call["self"]
    a = _matrix_of_factor(low, call, _transposed(factor) if call["upper"] else factor)
    return _result(low, call, _solution(low, call, a, _identity(low, a))[0])


def _solve_triangular(low: Lowering, call: Call) -> View:
    a, b, upper = call["self"], call["B"], bool(call["upper"])
    if not call["left"]:
        a, b, upper = _transposed(a), _transposed(b), not upper
    x = _triangular(low, call, a, b, upper)
    return _result(low, call, x if call["left"] else np.swapaxes(x, -1, -2))


def _triangular(low: Lowering, call: Call, a: View, b: View, upper: bool) -> Rows:
    equations, unit = _Equations(low, call, a, b), bool(call["unitriangular"])
    a = _for_all(low, a)
    if not low.is_static(a):
        matrices, sides = stacked(equations.spread(small(call, a).rows)), stacked(equations.b)
        if upper:
            return unstacked(substituted(low.program, matrices, sides, unit), equations.leading)
        turned = substituted(low.program, matrices[::-1, :, ::-1], sides[::-1], unit)
        return unstacked(turned[::-1], equations.leading)

    def triangle(matrix: Tensor) -> Tensor:
        half = matrix.triu(int(unit)) if upper else matrix.tril(-int(unit))
        return half + torch.eye(half.shape[-1], dtype=half.dtype, device=half.device) if unit else half

    def inverse(matrix: Tensor) -> Tensor:
        identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        inverted: Tensor = torch.linalg.solve_triangular(matrix, identity, upper=upper, unitriangular=unit)
        return inverted

    name = f"{'unit ' if unit else ''}{'triu' if upper else 'tril'}"
    halved = _prepared(low, name, triangle, a)
    return equations.by_inverse(halved, _prepared(low, f"inv {name}", inverse, a))


def _lu_solve(low: Lowering, call: Call) -> View:
    factors, pivots, b = call["LU"], call["pivots"], call["B"]
    if not low.is_static(factors):
        raise _advised(call)

    def whole(packed: Tensor, exchanged: Tensor) -> Tensor:
        permutation, lower, upper = torch.lu_unpack(packed, exchanged)
        return permutation @ lower @ upper

    a = _prepared(low, "lu", whole, factors, pivots)
    if call["adjoint"]:
        a = _transposed(a)
    if call["left"]:
        return _result(low, call, _solution(low, call, a, b)[0])
    x, _ = _solution(low, call, _transposed(a), _transposed(b))
    return _result(low, call, np.swapaxes(x, -1, -2))


def _check_errors(low: Lowering, call: Call) -> list[Result]:
    low.raises(call["info"])
    return []


_ADVICE = {
    "linalg_pinv": "torch.linalg.solve(a.mT @ a, a.mT), if the columns of a are independent",
    "linalg_lstsq": "torch.linalg.solve(a.mT @ a, a.mT @ b), if the columns of a are independent",
    **dict.fromkeys(
        ["linalg_lu_factor_ex", "linalg_lu", "linalg_lu_solve", "lu_unpack"],
        "torch.linalg.solve, inv or det, of matrices that depend on t or y",
    ),
    **dict.fromkeys(["cholesky", "triangular_solve"], "torch.linalg.cholesky or solve_triangular"),
}


def _advised(call: Call) -> Unsupported:
    return Unsupported(f"aten.{call.name} is not supported", remedy=f"write {_ADVICE[call.name]}")


def _refused(low: Lowering, call: Call) -> View:
    raise _advised(call)


LINEAR_ALGEBRA: dict[str, Rule] = {
    **dict.fromkeys(_ADVICE, _refused),
    "_linalg_solve_ex": _solve,
    "linalg_inv_ex": _inv,
    "_linalg_det": _det,
    "_linalg_slogdet": _slogdet,
    "linalg_cholesky_ex": _cholesky,
    "cholesky_solve": _cholesky_solve,
    "cholesky_inverse": _cholesky_inverse,
    "linalg_solve_triangular": _solve_triangular,
    "linalg_lu_solve": _lu_solve,
    "_linalg_check_errors": _check_errors,
}
