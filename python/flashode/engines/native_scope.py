"""Which problems the native engine takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

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


# A tile is 64 bytes of trajectories wide, and a lane without one works in vain. Where a good part does, and
# beyond so many operations in vain, an evaluation costs more than the few dozen microseconds that plain torch
# needs to dispatch it.
_LEAST_BUSY_LANES = 0.8
_MOST_IDLE_OPERATIONS = 1_000_000
_TILE_BYTES = 64
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


def too_few_trajectories(operations: int, batch: int, element_size: int) -> str | None:
    """Whether so many lanes would be idle that plain torch is faster, in words, or None."""
    idle = -batch % (_TILE_BYTES // element_size)
    busy = batch / (batch + idle)
    if busy >= _LEAST_BUSY_LANES or idle * operations <= _MOST_IDLE_OPERATIONS:
        return None
    return (
        f"{'one trajectory is' if batch == 1 else f'{batch} trajectories are'} too few for a function of "
        f"{operations:,} operations: most of the engine's lanes would be idle, and plain torch is faster"
    )
