"""What every lowering rule works with: lowered tensors and the arithmetic on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from flashode.capture.lowering.bounds import UNBOUNDED, Bounds, BoundsOfRows
from flashode.capture.lowering.prologue import PrologueBuilder
from flashode.capture.lowering.rows import ProgramBuilder, Rows, distinct, negative_zero
from flashode.capture.refusal import Mixing, Unsupported
from flashode.capture.tracing.traced import Batch, Shape
from flashode.program import Constant, Parameter


class Storage:
    """The memory behind one or several views; in-place operations replace its content."""

    def __init__(self, content: Rows) -> None:
        self.content = content  # flat
        self.shown: str | None = None  # the operation that showed it as memory of its own


@dataclass(frozen=True)
class View:
    """A lowered tensor, seen from one trajectory.

    Attributes:
        positions: which elements of the storage it shows, in the tensor's shape. Along the batch axis it
            holds the elements of one trajectory; trajectories follow one another along that axis.
        axis: the batch axis, or None for a tensor that is the same for all trajectories.
        outer: how many times the batch axis runs through all trajectories: more than once where an axis
            before the batch was merged with it. What acts on other axes leaves it as it is.
    """

    storage: Storage
    positions: Rows
    axis: int | None
    dtype: torch.dtype
    outer: int = 1

    @property
    def rows(self) -> Rows:
        """Which rows of the Program the elements are."""
        return self.storage.content[self.positions]

    @property
    def shape(self) -> Shape:
        """The tensor's shape, with the batch axis symbolic."""
        return tuple(Batch(n) if axis == self.axis else n for axis, n in enumerate(self.positions.shape))

    def showing(self, positions: Rows, axis: int | None) -> View:
        """Another view of the same memory."""
        return View(self.storage, positions, axis, self.dtype, self.outer)


@dataclass(frozen=True)
class Sparse:
    """A constant sparse matrix: the places of its elements, and their values, (elements,) each."""

    row: Rows
    column: Rows
    values: Rows
    size: tuple[int, int]

    @property
    def transposed(self) -> Sparse:
        """Its transpose."""
        return Sparse(self.column, self.row, self.values, self.size[::-1])


@dataclass(frozen=True)
class Call:
    """One operation to lower: its name, without the underscore of in-place forms, and arguments by name."""

    name: str
    arguments: dict[str, Any]
    shapes: tuple[Shape, ...]
    dtypes: tuple[torch.dtype, ...]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def number(self, name: str) -> float:
        """A numeric argument, which must not depend on the batch size."""
        value = self.arguments[name]
        if isinstance(value, Batch):
            raise Mixing(f"{self.name} uses the batch size as a number")
        if not isinstance(value, (bool, int, float)):
            given = "a tensor" if isinstance(value, View) else repr(value)
            raise Unsupported(f"{self.name} with {name}={given} is not supported")
        return float(value)

    def dim(self, x: View, name: str = "dim") -> int:
        """An argument that names a dimension of ``x``, which must not be the batch axis."""
        dim = int(self.number(name)) % max(x.positions.ndim, 1)
        if dim == x.axis:
            raise Mixing(f"{self.name} acts on the batch axis")
        return dim

    def dims(self, x: View, name: str = "dim") -> tuple[int, ...]:
        """An argument that names dimensions of ``x`` (none means all), not the batch axis among them."""
        argument = self.arguments.get(name)
        if argument is None or (isinstance(argument, list) and not argument):
            dims = tuple(range(x.positions.ndim))
        else:
            listed = argument if isinstance(argument, list) else [argument]
            dims = tuple(int(dim) % max(x.positions.ndim, 1) for dim in listed)
        if x.axis in dims:
            raise Mixing(f"{self.name} acts on the batch axis")
        return dims

    @property
    def shape(self) -> tuple[int, ...]:
        """The first result's shape, seen from one trajectory."""
        return per_trajectory(self.shapes[0])

    @property
    def axis(self) -> int | None:
        """The first result's batch axis; None where there is no result."""
        return batch_axis(self.shapes[0]) if self.shapes else None


# None in the place of a result that no Program has.
Result = View | Sparse | None
Rule = Callable[["Lowering", Call], "View | Sequence[Result]"]


def per_trajectory(shape: Shape) -> tuple[int, ...]:
    """The shape with ``Batch(m)`` read as ``m``."""
    return tuple(dim.multiple if isinstance(dim, Batch) else dim for dim in shape)


def batch_axis(shape: Shape) -> int | None:
    """Where the shape is a multiple of the batch size."""
    return next((axis for axis, dim in enumerate(shape) if isinstance(dim, Batch)), None)


def at(dim: int, index: Any) -> tuple[Any, ...]:
    """The numpy index of an index of one dimension."""
    return (*((slice(None),) * dim), index)


class Lowering:
    """Arithmetic on Views that emits Program operations."""

    def __init__(
        self, widths: tuple[int, int], dtype: torch.dtype, device: torch.device, slots: Sequence[Tensor]
    ) -> None:
        self.dtype = dtype
        self.device = device
        self.program = ProgramBuilder(*widths, dtype)
        self.prologue = PrologueBuilder(dtype, device, slots)
        self.registers: list[int] = []  # of each declared parameter
        self.required: list[Rows] = []  # what has to be true where the field is called
        self.assumptions: list[tuple[int, bool]] = []  # of values that decide on raising
        self.matrices: dict[int, Sparse] = {}  # the values of the trace that are sparse
        self._parameters: dict[int, int] = {}
        self.bounds_of_rows = BoundsOfRows(self.program, self._bounds_of_parameter)

    def new(self, rows: Rows, axis: int | None, dtype: torch.dtype | None = None) -> View:
        """A tensor with memory of its own."""
        positions = np.arange(rows.size).reshape(rows.shape)
        return View(Storage(rows.flatten()), positions, axis, dtype or self.dtype)

    def constant(self, value: float) -> View:
        """A literal 0-d tensor."""
        return self.new(self.program.constant(np.array(value)), None)

    def empty(self, call: Call, result: int) -> View:
        """A result without elements, which torch keeps in place of something for the gradient."""
        return self.new(np.empty(per_trajectory(call.shapes[result]), np.int64), None)

    def unary(self, fn: str, x: View, *constants: float) -> View:
        """An element-wise function of one tensor."""
        return self.new(self.program.unary(fn, constants, x.rows), x.axis)

    def scaled(self, x: View, scale: float, shift: float = -0.0) -> View:
        """``scale * x + shift``; to add 0.0 is to take the sign from a zero, to add -0.0 is nothing."""
        if scale != 1.0 or not negative_zero(shift):
            return self.unary("affine", x, scale, shift)
        return x if x.dtype.is_floating_point else self.new(x.rows, x.axis)

    def binary(self, fn: str, a: View, b: View, dtype: torch.dtype | None = None) -> View:
        """An element-wise function of two tensors, broadcast against each other."""
        a, b = self.broadcast(a, b)
        return self.new(self.program.binary(fn, a.rows, b.rows), a.axis, dtype)

    def broadcast(self, *views: View) -> list[View]:
        """All in their common shape, with its batch axis."""
        ndim = max(view.positions.ndim for view in views)
        shape = np.broadcast_shapes(*(view.positions.shape for view in views))
        axes = {view.axis + ndim - view.positions.ndim for view in views if view.axis is not None}
        if len(axes) > 1:
            raise Mixing("it joins a batch axis with another axis")
        axis = axes.pop() if axes else None
        return [self._aligned(view, shape, axis) for view in views]

    def select(self, condition: View, a: View, b: View, dtype: torch.dtype | None = None) -> View:
        """``a`` where the condition is not zero, else ``b``."""
        condition, a, b = self.broadcast(condition, a, b)
        return self.new(self.program.select(condition.rows, a.rows, b.rows), a.axis, dtype)

    def compared(self, fn: str, a: View, b: View | float) -> View:
        """A comparison (``lt le eq ne``) as a tensor of booleans."""
        other = b if isinstance(b, View) else self.constant(b)
        return self.binary(fn, a, other, torch.bool)

    def inverted(self, x: View) -> View:
        """Where booleans do not hold."""
        return self.new(self.scaled(x, -1.0, 1.0).rows, x.axis, torch.bool)

    def both(self, a: View, b: View) -> View:
        """Where booleans hold together."""
        return self.binary("minimum", a, b, torch.bool)

    def either(self, a: View, b: View) -> View:
        """Where at least one of two booleans holds."""
        return self.binary("maximum", a, b, torch.bool)

    def without_gradient(self, x: View) -> View:
        """The same values, through which no gradient flows."""
        return x if self.program.literal(x.rows) is not None else self.unary("detach", x)

    def add(self, a: View, b: View) -> View:
        """``a + b``; a literal joins as the shift of an affine function."""
        for x, other in ((a, b), (b, a)):
            if (number := self.number(other)) is not None:
                return self.spread(self.scaled(x, 1.0, number), other)
        return self.binary("add", a, b)

    def mul(self, a: View, b: View) -> View:
        """``a * b``; a literal joins as the scale of an affine function."""
        for x, other in ((a, b), (b, a)):
            if (number := self.number(other)) is not None:
                return self.spread(self.scaled(x, number), other)
        return self.binary("mul", a, b)

    def sub(self, a: View, b: View) -> View:
        """``a - b``."""
        if (number := self.number(b)) is not None:
            return self.spread(self.scaled(a, 1.0, -number), b)
        if (number := self.number(a)) is not None:
            return self.spread(self.scaled(b, -1.0, number), a)
        return self.binary("sub", a, b)

    def div(self, a: View, b: View) -> View:
        """``a / b``."""
        number = self.number(b)
        if number is not None and math.frexp(abs(number))[0] == 0.5 and abs(math.log2(abs(number))) < 100:
            # The one kind of number whose inverse is exact.
            return self.spread(self.scaled(a, 1.0 / number), b)
        return self.binary("div", a, b)

    def averaged(self, x: View, count: float) -> View:
        """``x / count``."""
        return self.div(x, self.constant(count))

    def spread(self, x: View, other: View) -> View:
        """``x`` in the common shape of ``x`` and ``other``."""
        return self.broadcast(x, other)[0]

    def number(self, x: View) -> float | None:
        """The number that all elements of ``x`` are, if they are one literal; nothing is none."""
        if self.program.is_nothing(x.rows).any():
            return None
        literal = self.program.literal(distinct(x.rows))
        if literal is None or len(set(literal.tolist())) != 1:
            return None
        return float(literal[0])

    def known(self, x: View) -> npt.NDArray[Any] | None:
        """The content of a tensor of integers or booleans: literals, or what the field's own tensors hold.

        The capture then presumes that they go on holding it. None if it is neither.
        """
        if x.dtype.is_floating_point or self.program.is_own(x.rows).any():
            return None
        kind = bool if x.dtype == torch.bool else np.int64
        literal = self.program.literal(x.rows)
        if literal is None and self.program.is_static(x.rows):
            content = self.prologue.content(self.register(x.rows, x.dtype))
            literal = None if content is None else content.cpu().numpy()
        return None if literal is None else literal.astype(kind)

    def bounds(self, x: View) -> Bounds:
        """Between which numbers the elements of ``x`` lie."""
        return Bounds(0.0, 1.0) if x.dtype == torch.bool else self.bounds_of_rows.of(x.rows)

    def _bounds_of_parameter(self, index: int) -> Bounds:
        """Those of integers, which the capture then presumes to stay as they are."""
        content = self.prologue.content(self.registers[index])
        if content is None or content.dtype.is_floating_point or not content.numel():
            return UNBOUNDED
        return Bounds(float(content.min()), float(content.max()))

    def require(self, condition: View) -> None:
        """Leaves the field without a value where a condition does not hold: the function is called there."""
        self.required.append(condition.rows.ravel())

    def sum(self, x: View, dims: Sequence[int]) -> View:
        """Sums over ``dims``, which disappear."""
        grouped, axis = self.grouped(x, dims)
        return self.new(self.program.sum_last(grouped), axis)

    def grouped(self, x: View, dims: Sequence[int]) -> tuple[Rows, int | None]:
        """The rows with ``dims`` merged into a last dimension, and where the batch axis is then."""
        if x.axis in dims:
            raise Mixing("it sums over the batch")
        others = [dim for dim in range(x.positions.ndim) if dim not in dims]
        moved = x.rows.transpose([*others, *dims])
        axis = None if x.axis is None else others.index(x.axis)
        return moved.reshape(*(x.positions.shape[dim] for dim in others), -1), axis

    def raises(self, condition: View) -> None:
        """Takes note that the function raises an exception where elements are not zero."""
        rows = condition.rows.ravel()
        zero = np.broadcast_to(self.program.constant(np.zeros(())), rows.shape)
        self.required.append(self.program.binary("eq", rows, zero))

    def is_static(self, x: View) -> bool:
        """Whether ``x`` depends on neither ``t`` nor ``y`` nor the batch size."""
        return x.axis is None and self.program.is_static(x.rows)

    def parameter(self, register: int) -> int:
        """The Program's index of a prologue register, declared on first use."""
        if register not in self._parameters:
            self._parameters[register] = self.program.new_parameter(self.prologue.shape(register))
            self.registers.append(register)
        return self._parameters[register]

    def from_register(self, register: int, dtype: torch.dtype) -> View:
        """A prologue register as a tensor."""
        shape = self.prologue.shape(register)
        if 0 in shape:
            return self.new(np.empty(shape, np.int64), None, dtype)
        return self.new(self.program.parameter(self.parameter(register)), None, dtype)

    def register(self, rows: Rows, dtype: torch.dtype) -> int:
        """A prologue register that holds static ``rows`` in their shape."""
        owner = self.program.owner(rows)
        if isinstance(owner, Parameter):
            source = self.registers[owner.parameter]
            everything = self.program.value(owner.out)
            if np.array_equal(rows.ravel(), everything):
                return self.prologue.reshaped(source, rows.shape)
            if rows.ndim == 2 and np.array_equal(rows.T.ravel(), everything):
                return self.prologue.transposed(self.prologue.reshaped(source, rows.T.shape))
        literal = self.program.literal(rows)
        if literal is not None:
            tensor = torch.tensor(literal, dtype=dtype, device=self.device)
            return self.prologue.literal((dtype, literal.shape, literal.tobytes()), tensor)
        return self._assembled(rows, dtype)

    def _assembled(self, rows: Rows, dtype: torch.dtype) -> int:
        distinct, inverse = np.unique(rows, return_inverse=True)
        sources: list[int] = []
        index = np.empty(len(distinct), np.int64)
        end = position = 0
        while position < len(distinct):
            op = self.program.owner(distinct[position : position + 1])
            assert isinstance(op, (Parameter, Constant))
            held = self.program.value(op.out)
            count = int(np.searchsorted(distinct, held[-1], "right")) - position
            index[position : position + count] = end + distinct[position : position + count] - held[0]
            if isinstance(op, Parameter):
                sources.append(self.registers[op.parameter])
            else:
                tensor = torch.tensor(op.values, dtype=dtype, device=self.device)
                sources.append(self.prologue.literal((dtype, op.values), tensor))
            end += len(held)
            position += count
        return self.prologue.assembled(sources, index[inverse.ravel()].tolist(), rows.shape)

    @staticmethod
    def _aligned(x: View, shape: tuple[int, ...], axis: int | None) -> View:
        if x.axis is None and axis is not None:
            facing = axis - (len(shape) - x.positions.ndim)
            if facing >= 0 and x.positions.shape[facing] != 1:
                raise Mixing("it joins a batch axis with a tensor of a fixed batch size")
        return x.showing(np.broadcast_to(x.positions, shape), axis)
