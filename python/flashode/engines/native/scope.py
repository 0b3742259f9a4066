"""What the native engine takes, and whether it is faster than plain torch."""

from __future__ import annotations

import math
from collections.abc import Iterable

from flashode.engines.compiled.backend import Work
from flashode.engines.compiled.scope import Demand
from flashode.methods import Method, Tableau

# Factors of a matrix with this many rows take a few milliseconds a tile, whose lanes may mostly work in vain,
# and an eighth of a megabyte a trajectory. LAPACK, which works on blocks, is faster from here on.
_MOST_UNKNOWNS = 128


def refusal(work: Work, most_rows: int, most_elements: int) -> str | None:
    """Why the compiled module would refuse work, in words, or None.

    Args:
        work: The field and its states.
        most_rows: Of all values of an evaluation together.
        most_elements: Of all parameters together.
    """
    rows = sum(work.program.widths)
    if rows > most_rows:
        return f"an evaluation of one trajectory computes {rows:,} numbers, more than {most_rows:,}"
    elements = sum(math.prod(shape) for shape in work.program.parameter_shapes)
    if elements > most_elements:
        return f"its parameters have {elements:,} elements, more than {most_elements:,}"
    for method in () if work.of_event else work.methods:
        unknowns = _unknowns(method, work.rows)
        if unknowns > _MOST_UNKNOWNS:
            return (
                f"{method.name} solves {unknowns} equations at a time for each trajectory, more than "
                f"{_MOST_UNKNOWNS}"
            )
    return None


def _unknowns(method: Method, rows: int) -> int:
    """Equations that a method solves at a time for a state of so many rows."""
    if not isinstance(method, Tableau) or method.equations == "none":
        return 0
    coupled = any(a != 0 for i, entries in enumerate(method.a) for a in entries[i + 1 :])
    return rows * (method.stages if coupled else 1)


# Of a single trajectory, whose products of a matrix and a vector read each weight for one use. With more
# operations plain torch is as fast, and has all threads; with as many in products of two matrices, which a
# function of a whole batch consists of, it is faster.
_MOST_OPERATIONS_OF_ONE = 2_000_000


def features_in_lanes(batch: int, methods: Iterable[Method]) -> bool:
    """Whether the features of a single trajectory, not trajectories, fill the vectors' lanes.

    Args:
        batch: Trajectories.
        methods: Of the solve, and of its adjoint equations if there are any.
    """
    # Implicit methods are not compiled for that.
    return batch == 1 and not any(m.equations != "none" for m in methods)


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
# With few evaluations what a solve costs beside them counts: laying out the rows, and adding up the
# gradients in parameters, of each tile.
_MOST_ROWS_ONCE = 65_536
_MOST_GRADIENTS_ONCE = 100_000


def slower_than_torch(work: Work, demand: Demand) -> str | None:
    """Whether plain torch is faster, in words, or None."""
    program, operations, batch = work.program, work.cost, work.batch
    lanes = _TILE_BYTES // work.settings.dtype.itemsize
    if features_in_lanes(batch, work.methods):
        if operations > _MOST_OPERATIONS_OF_ONE:
            return (
                f"a function of {operations:,} operations of one trajectory, or of a batch whose "
                "trajectories depend on each other, is large enough for plain torch to be faster"
            )
        lanes = 1
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
