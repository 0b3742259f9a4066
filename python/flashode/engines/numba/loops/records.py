"""What host and loops share, as records in memory: a loop is handed one pointer, not a hundred numbers.

Memory of numbers in the state's precision has its address here; ``one`` has their type.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

# As many as numerics/tableau.hpp has room for; no explicit method in use has more.
MAX_STAGES = 16
MAX_DEGREE = 4

# The interpolants by number.
LINEAR, CUBIC, QUARTIC = range(3)
INTERPOLANTS = {"linear": LINEAR, "cubic": CUBIC, "quartic": QUARTIC}


class Status(IntEnum):
    """How a solve ended; an interrupted one goes on."""

    done = 0
    nonfinite_field = 1
    nonfinite_state = 2
    nonfinite_event = 3
    underflow = 4
    too_many_steps = 5
    interrupted = 6


# Loops know them as plain numbers.
DONE = Status.done.value
NONFINITE_FIELD = Status.nonfinite_field.value
NONFINITE_STATE = Status.nonfinite_state.value
NONFINITE_EVENT = Status.nonfinite_event.value
UNDERFLOW = Status.underflow.value
TOO_MANY_STEPS = Status.too_many_steps.value
INTERRUPTED = Status.interrupted.value

# What a solve steps towards.
TIMES, EVERY_STEP, EVENT = range(3)

# More steps than there is memory for.
UNLIMITED = 2**62

_INT, _FLOAT, _FLAG = np.int64, np.float64, np.bool_
_Fields = list[tuple[str, Any] | tuple[str, Any, tuple[int, ...]]]


def _record(fields: _Fields) -> np.dtype[Any]:
    return np.dtype(fields, align=True)


# The times of a step. `end` is kept: start + (end - start) need not be end.
STEP = _record(
    [
        ("start", _FLOAT),
        ("dt", _FLOAT),
        ("end", _FLOAT),
        ("stopped", _FLAG),  # shortened to end on a prescribed time
        ("fresh", _FLAG),  # its first stage was evaluated just after its start
    ]
)

# Where a solve stands; each worker has its own account.
PROGRESS = _record(
    [
        # How it ended, and what it cost.
        ("status", _INT),
        ("failed_t", _FLOAT),
        ("failed_dt", _FLOAT),
        ("times_reached", _INT),
        ("evaluations", _INT),
        ("accepted", _INT),
        ("rejected", _INT),
        ("event_t", _FLOAT),
        # Where it is between two steps.
        ("t", _FLOAT),
        ("dt", _FLOAT),  # of the step to be tried
        ("norm", _FLOAT),  # of the error of the one tried last,
        ("tried", _FLOAT),  # which was of this size
        ("attempts", _INT),  # towards the next output time
        ("half", _INT),  # of the rows: which hold the state, 0 or 1
        ("round", _INT),  # how often workers have met
        ("budget", _INT),  # attempts until it pauses
        ("kept", _INT),  # steps that were
        ("room", _INT),  # steps that there is memory for
        ("node", _FLOAT),  # the time of the last one
        ("undefined", _FLOAT),  # where the event's value was NaN
        ("fresh", _FLAG),  # the field has been evaluated just after t
        ("begun", _FLAG),
        ("asked", _FLAG),  # the event's signs at the start are known
        ("at_start", _FLAG),  # the event is there
        ("slopes_finite", _FLAG),  # of the step tried last
        ("nan_met", _FLAG),  # an error, or a slope that a step was to start with, was NaN
    ]
)

# A method and the settings of its steps, named as in flashode.methods and the options.
METHOD: _Fields = [
    ("stages", _INT),
    ("order", _INT),
    ("adaptive", _FLAG),  # an error chooses the steps
    ("carried", _FLAG),  # the last stage is the first of the next step
    ("fsal", _FLAG),  # and is evaluated at the solution
    ("perturb", _FLAG),  # steps on a grid look just inside themselves at both ends
    ("interpolant", _INT),
    ("degree", _INT),
    ("weights", _FLOAT, (5, MAX_DEGREE + 1)),  # polynomials: of y0, y1, y_mid, f0, f1
    ("c_stages", _FLOAT, (MAX_STAGES,)),
    ("rtol", _FLOAT),
    ("atol", _FLOAT),
    ("first_step", _FLOAT),  # 0: automatic
    ("share", _FLOAT),
    ("least_norm", _FLOAT),
    ("least_step", _FLOAT),
    ("flat", _FLOAT),
    ("flat_growth", _FLOAT),
    ("most_growth", _FLOAT),
    ("min_step", _FLOAT),
    ("max_step", _FLOAT),
    ("safety", _FLOAT),
    ("ifactor", _FLOAT),
    ("dfactor", _FLOAT),
    ("max_num_steps", _INT),
    ("step_t", _INT),  # addresses, and how many there are
    ("step_t_count", _INT),
    ("jump_t", _INT),
    ("jump_t_count", _INT),
]
_TABLEAU = [
    ("a", (MAX_STAGES, MAX_STAGES)),
    ("b", (MAX_STAGES,)),
    ("b_error", (MAX_STAGES,)),
    ("b_mid", (MAX_STAGES,)),
]

# A batch of trajectories, in tiles, and the memory that it is integrated in. A tile has `lanes`
# trajectories, the last one the rest. What is kept of it is (rows, trajectories of the tile), one tile
# after the other: rows of the state, and of adjoint equations those of the adjoint state and of the
# gradient in c after them. A record for each worker.
_SYSTEM: _Fields = [
    *METHOD,
    ("itemsize", _INT),
    ("largest", _FLOAT),  # number of the precision
    ("overflow", _FLOAT),  # larger than this a state leaves the numbers, where steps are chosen
    # The field: addresses of machine code, 0 for none, and of those of its parameters and its numbers.
    ("code", _INT),
    ("shared_code", _INT),
    ("vjp_code", _INT),  # of adjoint equations
    ("parameters", _INT),
    ("direction", _FLOAT),  # solver time is this times the function's
    # The batch.
    ("batch", _INT),
    ("lanes", _INT),
    ("tiles", _INT),
    ("width", _INT),  # rows of the state,
    ("context_width", _INT),  # of c,
    ("rows", _INT),  # and all that are integrated
    ("segments", _INT),  # ranges of rows, each of which counts by itself in error norms: (count, 2)
    ("segment_count", _INT),
    ("parts", _INT),  # rows of each part of the state's memory, (batch, rows) blocks one after the other
    ("part_count", _INT),
    ("c", _INT),  # by tiles
    ("rtols", _INT),  # by tiles, or 0 for one for all
    ("atols", _INT),
    # What all workers share, by tiles.
    ("y", _INT),  # states at both ends of a step
    ("f", _INT),  # slopes there
    ("middle", _INT),
    # The worker's own.
    ("first", _INT),  # of its tiles
    ("last", _INT),  # the first after them
    ("k", _INT),  # stages of a tile
    ("argument", _INT),  # three times the rows of a tile
    ("work", _INT),  # of the field
    ("uniform", _INT),  # values, of each stage
    ("uniform_size", _INT),
    ("squares", _INT),  # one double a lane
    # Where workers meet.
    ("sums", _INT),  # doubles, (2, tiles, sum_count)
    ("sum_count", _INT),
    ("workers", _INT),
    ("arrivals", _INT),
    # The part of an augmented state that no tile has: dL/dt, and dL/dtheta after it. All doubles.
    ("group_tiles", _INT),  # tiles of a group; each group has gradients in parameters of its own
    ("groups", _INT),
    ("sets", _INT),  # of rates
    ("places", _INT),  # addresses of those, (groups, sets, parameters)
    ("parameter_count", _INT),
    ("gathered", _INT),  # what the groups have of each rate, (groups, sets, size)
    ("rate", _INT),  # (sets, size)
    ("quadrature", _INT),  # the states at both ends, in the middle, the error, what the last interval left
    ("quadrature_size", _INT),
    ("quadrature_first", _INT),  # of the numbers that the worker adds up
    ("quadrature_last", _INT),
    ("starts", _INT),  # where the sources of each number begin; 0 where each is its own
    ("sources", _INT),
    ("ranges", _INT),  # of numbers that count in error norms
    ("range_count", _INT),
]

# What a solve steps towards, and what it keeps. A record for each worker.
GOAL = _record(
    [
        ("kind", _INT),
        ("times", _INT),  # of outputs; of the others the first and the last, or the first alone
        ("time_count", _INT),
        ("states", _INT),  # the outputs, one after the other
        ("size", _INT),  # numbers of a state
        ("y0", _INT),  # the state at the start
        ("grid", _INT),  # times that a fixed-step method steps on
        ("grid_count", _INT),
        ("step_size", _FLOAT),  # of equal steps, in place of a grid; 0 for none
        ("leads", _FLAG),  # this worker writes what is of no trajectory
        ("records", _FLAG),  # a reverse may follow
        ("steps", _INT),  # those that stand
        ("step_of_time", _INT),  # which of them each output lies in; 0 for none
        ("checkpoints", _INT),  # of each step from first_kept on
        ("first_kept", _INT),
        ("node_times", _INT),
        ("node_states", _INT),
        # An event function, as the field of one trajectory: the state of all, and zeros after it.
        ("event_code", _INT),
        ("event_shared_code", _INT),
        ("event_parameters", _INT),
        ("event_uniform", _INT),
        ("event_direction", _FLOAT),
        ("event_tolerance", _FLOAT),
        ("event_width", _INT),
        ("event_state", _INT),
        ("event_value", _INT),
        ("event_signs", _INT),
        ("event_work", _INT),
        # Of adjoint equations: what the intervals before have left, by tiles, and the state that this one
        # leads to.
        ("adjoint", _INT),
        ("stored", _INT),
        ("misses", _INT),  # by how much y misses that at most, of each tile: of two intervals, (2, tiles)
        ("interval", _INT),  # which of the two this one is
        ("sizes", _INT),  # the largest element of the states, of each tile
    ]
)


# The exact reverse of a recorded solve; a record for each worker.
REVERSE = _record(
    [
        ("vjp_code", _INT),
        ("wants_times", _FLAG),
        ("times", _INT),  # of the outputs
        ("time_count", _INT),
        ("grad_states", _INT),  # the gradient in them
        ("size", _INT),  # numbers of a state
        # The steps, which of them each output lies in, and whether the outputs are nodes that move with them.
        ("steps", _INT),
        ("step_count", _INT),
        ("step_of_time", _INT),
        ("nodes", _FLAG),
        ("moving", _INT),  # the first step that a prescribed time has shortened: all before it move
        # Checkpoints: of each chunk its first step and its address.
        ("chunk_firsts", _INT),
        ("chunks", _INT),
        ("chunk_count", _INT),
        ("checkpoint_size", _INT),
        # Written.
        ("grad_y0", _INT),
        ("grad_c", _INT),
        ("places", _INT),  # addresses of gradients in parameters, (groups, parameters)
        ("time_sums", _INT),  # (groups, times)
        ("grid_sums", _INT),  # (groups, points)
        ("points", _INT),
        # The worker's own: rows of gradients, see reverse_step.py, and the gradient in c.
        ("scratch", _INT),
        ("context", _INT),
        # Where it stands: at this tile, on the way back from its last step.
        ("tile", _INT),
        ("index", _INT),
        ("begin", _INT),  # the first output in the step at hand,
        ("end", _INT),  # and the first after them
        ("started", _FLAG),
        ("budget", _INT),  # steps until it pauses
    ]
)


# The adjoint equations, interval after interval; a record for each worker.
ADJOINT = _record(
    [
        ("times", _INT),  # solver times of the outputs
        ("time_count", _INT),
        ("ends", _INT),  # the worker's own: those of the interval at hand, in reversed time
        ("grids", _INT),  # of a fixed-step method: address and count of each interval's, or 0
        ("states", _INT),  # the solution
        ("grad_states", _INT),  # and the gradient in it
        # Written.
        ("grad_y0", _INT),
        ("grad_c", _INT),
        ("grad_times", _INT),  # 0 where it is not wanted
        # Where it stands: in the interval that leads back from this output time; -1 before all.
        ("j", _INT),
        # Of the intervals that are done.
        ("status", _INT),
        ("failed_t", _FLOAT),
        ("failed_dt", _FLOAT),
        ("evaluations", _INT),
        ("accepted", _INT),
        ("rejected", _INT),
        ("nan_met", _FLAG),
        ("miss", _FLOAT),  # by how much y, integrated back, misses a stored state at most,
        ("miss_t", _FLOAT),  # and where
    ]
)


@cache
def system_record(real: str) -> np.dtype[Any]:
    """The record of a system whose state is ``"float32"`` or ``"float64"``."""
    number = np.dtype(real)
    tableau = [(name, number, shape) for name, shape in _TABLEAU]
    return _record([("one", number), *tableau, *_SYSTEM])


def one(dtype: np.dtype[Any]) -> npt.NDArray[np.void]:
    """A record, all zeros."""
    return np.zeros(1, dtype)
