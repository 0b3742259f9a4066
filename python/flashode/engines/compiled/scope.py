"""Which problems the native engine takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from flashode.declined import Reason
from flashode.methods import Method, SciPy, Tableau
from flashode.problem import (
    AdaptiveOptions,
    Adjoint,
    FixedOptions,
    Options,
    Problem,
)
from flashode.program import Binary, Program, Unary

# The state's dtype, and what the compiled module calls it.
PRECISIONS = {torch.float32: "float32", torch.float64: "float64"}


def obstacles(problem: Problem) -> Iterator[Reason]:
    """What keeps the native engine from this problem; the field itself is not looked at."""
    y0, options = problem.y0, problem.options
    if y0.dtype not in PRECISIONS:
        what = f"its state is {y0.dtype}, not float32 or float64"
        yield Reason(what, "give y0.float() or y0.double()")
    if y0.device.type != "cpu":
        yield Reason(f"its state is on {y0.device}, not on the CPU", "give y0.cpu()")
    if y0.numel() == 0:
        yield Reason("its state is empty", "give it at least one number")
    if problem.callbacks:
        remedy = "ask for the times to look at (t, or odeint_dense) in place of callbacks"
        yield Reason("the function has callbacks", remedy)
    sized = isinstance(options, FixedOptions) and isinstance(options.step_size, Tensor)
    if sized and problem.event is not None:
        what = "the option step_size requires grad, and steps are taken until an event"
        yield Reason(what, "give it as a number")
    yield from _options_obstacles("option", options)


def foreign(method: Method) -> str | None:
    """Why a method is not the native engine's at all, or None."""
    if isinstance(method, SciPy):
        return "SciPy runs its solvers itself"
    return None if isinstance(method, Tableau) else "its method is no Runge-Kutta method"


def _options_obstacles(name: str, options: Options) -> Iterator[Reason]:
    if isinstance(options, AdaptiveOptions) and options.dtype != torch.float64:
        yield Reason(f"the {name} dtype is {options.dtype}, not torch.float64", "leave dtype out")


def adjoint_obstacles(problem: Problem, adjoint: Adjoint) -> Iterator[Reason]:
    """What keeps the native engine from solving these adjoint equations."""
    if adjoint.callbacks:
        remedy = "remove them, or differentiate by odeint, which calls nothing in reverse"
        yield Reason("the function has adjoint callbacks", remedy)
    if not isinstance(adjoint.norm, str):
        yield Reason("the adjoint option norm is a function", "leave it out, or give 'seminorm'")
    if problem.options.norm is not None and adjoint.method.adaptive:
        what = "the option norm is a function, which the adjoint equations are measured in as well"
        yield Reason(what, "leave the norm out, or differentiate by odeint")
    if isinstance(adjoint.rtol, Tensor) or isinstance(adjoint.atol, Tensor):
        what = "adjoint_rtol or adjoint_atol differ between elements"
        yield Reason(what, "give adjoint_rtol and adjoint_atol as numbers")
    if isinstance(adjoint.options, FixedOptions) and adjoint.options.grid_constructor is not None:
        what = "the adjoint option grid_constructor is a function, which is given the adjoint state"
        yield Reason(what, "give step_size in adjoint_options")
    yield from _options_obstacles("adjoint option", adjoint.options)


# Factors of a matrix with this many rows take a few milliseconds a tile, whose lanes may mostly work in vain,
# and an eighth of a megabyte a trajectory. LAPACK, which works on blocks, is faster from here on.
_MOST_UNKNOWNS = 128


def too_many_unknowns(method: Method, rows: int) -> str | None:
    """Why an implicit method is left to plain torch, in words, or None.

    Args:
        method: Of the solve, or of its adjoint equations.
        rows: Numbers in the state of one trajectory.
    """
    if not isinstance(method, Tableau) or not method.implicit:
        return None
    coupled = any(a != 0 for i, entries in enumerate(method.a) for a in entries[i + 1 :])
    unknowns = rows * (method.stages if coupled else 1)
    if unknowns <= _MOST_UNKNOWNS:
        return None
    return (
        f"{method.name} solves {unknowns} equations at a time for each trajectory, more than {_MOST_UNKNOWNS}"
    )


_ARITHMETIC = (
    {"add", "sub", "mul", "div", "maximum", "minimum", "lt", "le", "eq", "ne"}
    | {"neg", "abs", "sign", "reciprocal", "sqrt", "floor", "ceil", "round", "trunc", "detach", "affine"}
    | {"relu", "leaky_relu", "hardtanh", "clamp", "hardsigmoid", "hardswish"}
)
# Any other function costs about as much as this many multiply-adds.
_FUNCTION_COST = 10


def cost(program: Program) -> int:
    """Arithmetic operations of one evaluation of one trajectory, functions weighted by what they cost."""
    rows = sum(
        program.widths[op.out]
        for op in program.ops
        if isinstance(op, (Unary, Binary)) and op.fn not in _ARITHMETIC
    )
    return program.flops() + _FUNCTION_COST * rows


# A step of less work is done by the time that another thread has begun: some microseconds.
_LEAST_SHARED_OPERATIONS = 200_000


def useful_threads(operations: int) -> int:
    """How many threads a solve is to take, given the operations of one evaluation of its whole batch."""
    return torch.get_num_threads() if operations >= _LEAST_SHARED_OPERATIONS else 1


class Demand(NamedTuple):
    """What a solve asks of a field, as far as it decides which engine is faster.

    Attributes:
        few: Whether that are few evaluations, as far as is known.
        gradients: Whether a reverse pass may follow.
    """

    few: bool
    gradients: bool

    @staticmethod
    def of(problem: Problem, adjoint: Adjoint | None, tensors: Iterable[Tensor]) -> Demand:
        """What a problem asks of a field that reads these tensors."""
        learned = any(x.requires_grad for x in (problem.y0, problem.t, *tensors))
        reverse = adjoint is not None or learned
        return Demand(_evaluations(problem) <= _FEW_EVALUATIONS, torch.is_grad_enabled() and reverse)


# What nobody asks less of a field than.
LEAST_DEMAND = Demand(few=True, gradients=True)


def _evaluations(problem: Problem) -> float:
    """Of one solve; infinite where nobody knows."""
    options, method = problem.options, problem.method
    if not isinstance(options, FixedOptions) or not isinstance(method, Tableau) or problem.event is not None:
        return math.inf
    if options.on_outputs:
        steps = len(problem.times) - 1
    elif options.step_size is not None:
        step = options.step_size.detach() if isinstance(options.step_size, Tensor) else options.step_size
        steps = math.ceil((problem.times[-1] - problem.times[0]) / float(step))
    else:
        return math.inf
    return steps * method.stages


# Of a trajectory by itself, whose products of a matrix and a vector read each weight for one use. With more
# operations plain torch is as fast, and has all threads; with as many in products of two matrices, which a
# function of a whole batch consists of, it is faster.
_MOST_OPERATIONS_ALONE = 2_000_000


def alone(batch: int, methods: Iterable[Method]) -> bool:
    """Whether the features of a single trajectory, not trajectories, fill the vectors' lanes.

    Args:
        batch: Trajectories.
        methods: Of the solve, and of its adjoint equations if there are any.
    """
    # Implicit methods are not compiled for that.
    return batch == 1 and not any(isinstance(m, Tableau) and m.implicit for m in methods)


def too_much_alone(operations: int) -> str | None:
    """Whether a single trajectory is so large that plain torch is faster, in words, or None."""
    if operations <= _MOST_OPERATIONS_ALONE:
        return None
    return (
        f"a function of {operations:,} operations of one trajectory, or of a batch whose trajectories depend "
        f"on each other, is large enough for plain torch to be faster"
    )


def too_large(program: Program, most_rows: int, most_elements: int) -> str | None:
    """Why the compiled module would refuse the Program, in words, or None.

    Args:
        program: A captured field.
        most_rows: Of all values together.
        most_elements: Of all parameters together.
    """
    rows = sum(program.widths)
    if rows > most_rows:
        return f"an evaluation of one trajectory computes {rows:,} numbers, more than {most_rows:,}"
    elements = sum(math.prod(shape) for shape in program.parameter_shapes)
    if elements > most_elements:
        return f"its parameters have {elements:,} elements, more than {most_elements:,}"
    return None


# What `python -m benchmarks.engines` shows. A tile is 64 bytes of trajectories wide, and a lane without one
# works in vain: with as many operations in vain, plain torch is faster in spite of what it dispatches, and in
# reverse earlier.
_TILE_BYTES = 64
_LEAST_BUSY_LANES = 0.8
_MOST_IDLE_OPERATIONS = 16_000_000
_MOST_IDLE_OPERATIONS_IN_REVERSE = 4_000_000
# Rows of all values, more where lanes are idle: they leave the cache before they are used again, above all
# where gathers move them.
_MOST_ROWS_IN_REVERSE = 16_384
# With so few evaluations what a solve costs beside them counts: laying out the rows, and adding up the
# gradients in parameters, for each tile apart.
_FEW_EVALUATIONS = 4
_MOST_ROWS_ONCE = 65_536
_MOST_GRADIENTS_ONCE = 100_000


def slower_than_torch(
    program: Program, operations: int, batch: int, lanes: int, demand: Demand
) -> str | None:
    """Whether plain torch is faster than tiles, in words, or None.

    Args:
        program: The field.
        operations: Of one evaluation of one trajectory.
        batch: Trajectories.
        lanes: Of a tile.
        demand: What the solve asks of it.
    """
    tiles = -(-batch // lanes)
    idle = tiles * lanes - batch
    busy = batch / (tiles * lanes)
    rows = sum(program.widths) / busy
    most_idle = _MOST_IDLE_OPERATIONS_IN_REVERSE if demand.gradients else _MOST_IDLE_OPERATIONS
    if busy < _LEAST_BUSY_LANES and idle * operations > most_idle:
        some = "one trajectory is" if batch == 1 else f"{batch} trajectories are"
        return (
            f"{some} too few for a function of {operations:,} operations: most of the engine's lanes would "
            "be idle, and plain torch is faster"
        )
    if (demand.gradients and rows > _MOST_ROWS_IN_REVERSE) or (demand.few and rows > _MOST_ROWS_ONCE):
        return (
            f"an evaluation of one trajectory makes {sum(program.widths):,} numbers, which leave the cache "
            "before they are used again: plain torch is faster"
        )
    gradients = tiles * sum(math.prod(shape) for shape in program.parameter_shapes)
    if demand.gradients and demand.few and gradients > _MOST_GRADIENTS_ONCE:
        return (
            "so few evaluations do not make up for what the gradients in so many parameters cost beside "
            "them: plain torch is faster"
        )
    return None


def lanes_of(element_size: int) -> int:
    """Trajectories in a tile."""
    return _TILE_BYTES // element_size
