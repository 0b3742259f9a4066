"""Making a capture: trace, lower, compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import torch
from torch import Tensor

from flashode.capture.cache import Entry, Key
from flashode.capture.calling.effects import Effects
from flashode.capture.lowering.lower import Lowered, lower
from flashode.capture.refusal import Failed, Refusal, Singular
from flashode.capture.tracing.carrying import guesses
from flashode.capture.tracing.pairing import pair
from flashode.capture.tracing.trace import trace
from flashode.capture.tracing.traced import Trace
from flashode.capture.verify import Point, generic, perturbed, verify, verify_values
from flashode.capture.watching.watched import Watched
from flashode.declined import Declined
from flashode.state import State, Structure, components

Field = Callable[[Any, Any], Any]
# At how many generic points a comparison has to tell something.
ENOUGH = 2


def make(
    func: Field, watched: Watched, t: Tensor, y: State, end: float | None = None, compare: bool = True
) -> Entry:
    """Captures a function, or records why it cannot be.

    Args:
        func: the user's function.
        watched: what its behaviour hangs on.
        t: time, 0-d.
        y: the state.
        end: the last time that it is wanted for, if that is known.
        compare: whether to compare it with the function.

    Raises:
        Singular: a matrix is, at these numbers.
    """
    effects = Effects(watched)
    key = Key.of(y)
    batch = key.structure.batch
    try:
        lowered = _lowered(func, watched, effects, t, y)
        if compare:
            near = cast(Tensor, perturbed(t)), perturbed(y)
            _compare(func, lowered, effects, watched.tensors, [(t, y), near], generic(t, y, end))
    except Singular:
        raise
    except Refusal as refusal:
        # Whatever a call changes must not make the refusal look outdated.
        check = watched.code.compile(dropped={*effects.changed, *watched.idle})
        declined = Declined(str(refusal), raised=isinstance(refusal, Failed))
        return Entry(key, check, declined, batched=batch is not None)
    counters = effects.counters or {}
    check = watched.code.compile(dropped=watched.idle, counters=counters)
    entry = Entry(key, check, lowered, lowered.batched and not lowered.carried, tuple(counters.items()))
    entry.compared = compare
    if compare and lowered.batched and batch is not None:
        entry.sizes[batch] = None
    return entry


def confirm(
    func: Field, watched: Watched, entry: Entry, t: Tensor, y: State, end: float | None = None
) -> Declined | None:
    """Sees whether a capture is its function's at a batch size that it has not met.

    Two batch sizes cannot show that a function does not branch on the batch size: it is traced at this one as
    well, and has to do the same. Numbers alone, compared where a solve starts, would not tell: there a
    difference may vanish.

    Returns:
        None if they agree, else the reason to decline this batch size.

    Raises:
        Singular: a matrix is, at these numbers.
    """
    lowered = entry.lowered
    assert isinstance(lowered, Lowered)
    size = Structure.of(y).batch
    assert size is not None
    try:
        effects = Effects(watched)
        traced = effects.undone(lambda: trace(func, t, perturbed(y), watched.slots))
        pair(lowered.graph, traced, (None, size))
        _compare(func, lowered, effects, watched.tensors, [(t, y)], generic(t, y, end))
        if (effects.counters or {}) != dict(entry.counters):
            raise Refusal("its counters grow unevenly, depending on the batch size")
    except Singular:
        raise
    except Refusal as refusal:
        return Declined(f"with a batch of {Structure.of(y).batch}: {refusal}")
    return None


def compare_values(func: Field, watched: Watched, entry: Entry, t: Tensor, y: State) -> Declined | None:
    """Compares a capture with its function at the first time and state, in values alone.

    Returns:
        None if they agree, else the reason to decline this call.
    """
    lowered = entry.lowered
    assert isinstance(lowered, Lowered)

    def program(t: Tensor, y: State) -> State:
        return evaluated(lowered, t, y, watched.tensors)

    try:
        Effects(watched).undone(lambda: verify_values(func, program, t, y))
    except Refusal as refusal:
        return Declined(str(refusal))
    return None


def _lowered(func: Field, watched: Watched, effects: Effects, t: Tensor, y: State) -> Lowered:
    """The lowered function; row-wise in the first dimension of the state if it can be."""
    tensors = watched.tensors
    like = components(y)[0]
    # At other values, so that a number read from them behind our back shows.
    later = cast(Tensor, perturbed(t))

    def traced(t: Tensor, y: State, carried: Mapping[int, Tensor]) -> Trace:
        return effects.undone(lambda: trace(func, t, y, watched.slots, carried))

    def row_wise(size: int, carried: Sequence[int] = ()) -> Lowered:
        other = size + 1 if size > 1 else 3
        rows = torch.arange(other, device=like.device) % size
        slices = {slot: _slices(tensors[slot], rows) for slot in carried}
        start = traced(t, y, {slot: tensors[slot] for slot in carried}) if carried else first
        second = traced(later, perturbed(_taken(y, rows)), slices)
        return lower(pair(start, second, (size, other)), like, tensors)

    first = traced(t, y, {})
    size = Structure.of(y).batch
    obstacle: Refusal | None = None
    if size is not None:
        try:
            return row_wise(size)
        except Refusal as refusal:
            obstacle = refusal
        # Such a tensor fits no other batch size than its own.
        for carried in guesses(tensors, size) if isinstance(obstacle, Failed) else ():
            with suppress(Refusal):
                return row_wise(size, carried)
    try:
        return lower(pair(first, traced(later, perturbed(y), {}), None), like, tensors)
    except Refusal as refusal:
        if obstacle is None or str(obstacle) == str(refusal):
            raise
        raise Refusal(f"{_elsewhere(obstacle)}; taken as one trajectory: {refusal}") from None


def _elsewhere(obstacle: Refusal) -> str:
    """An obstacle met at a batch size that the user did not give."""
    text = str(obstacle)
    return f"at another batch size {text.removeprefix('tracing ')}" if isinstance(obstacle, Failed) else text


def _slices(tensor: Tensor, rows: Tensor) -> Tensor:
    return tensor.detach()[rows].requires_grad_(tensor.requires_grad)


def _taken(y: State, rows: Tensor) -> State:
    return Structure.of(y).join([part[rows] for part in components(y)])


def _compare(
    func: Field,
    lowered: Lowered,
    effects: Effects,
    tensors: Sequence[Tensor],
    points: Sequence[Point],
    candidates: Iterable[Point],
) -> None:
    """Compares a field with its function.

    Args:
        func: the function.
        lowered: the field.
        effects: undoes what calls of the function change.
        tensors: the tensors that the function owns.
        points: where it has to be defined.
        candidates: where it may not be. They are tried until the comparisons at enough points have told
            something: where all is zero, it may be so of another function as well.
    """

    def program(t: Tensor, y: State) -> State:
        return evaluated(lowered, t, y, tensors)

    def told(point: Point) -> bool:
        return effects.undone(lambda: verify(func, program, *point, tensors))

    for point in points:
        told(point)
    enough = 0
    for point in candidates:
        # Outside of where it is defined it may raise.
        with suppress(Failed):
            enough += told(point)
        if enough == ENOUGH:
            break


def evaluated(lowered: Lowered, t: Tensor, y: State, tensors: Sequence[Tensor]) -> State:
    """The captured field, interpreted.

    Args:
        lowered: the Program and its prologue.
        t: time, 0-d.
        y: the state.
        tensors: the tensors that the function owns.
    """
    structure = Structure.of(y)
    batch = structure.batch if lowered.batched else None
    rows = structure.to_rows((*components(y), *lowered.carry(tensors)), batch or 1)
    rates = lowered.program.interpret(t, rows, lowered.prologue.run(tensors))
    return structure.join(structure.from_rows(rates))
