"""Making a capture: trace, lower, compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from flashode.capture.cache import Entry, Key
from flashode.capture.calling.effects import Effects
from flashode.capture.changing import origin
from flashode.capture.guards.watched import Watched
from flashode.capture.lowering.lower import Lowered, lower
from flashode.capture.refusal import Failed, Mixing, Refusal, Singular
from flashode.capture.tracing.carrying import guesses
from flashode.capture.tracing.pairing import pair
from flashode.capture.tracing.trace import trace
from flashode.capture.tracing.traced import Trace
from flashode.capture.verify import Point, generic, perturbed, verify, verify_values
from flashode.declined import Declined, Reason
from flashode.memory import has_memory
from flashode.state import State, Structure, components

Field = Callable[[Any, Any], Any]
# At how many generic points a comparison has to tell something.
ENOUGH = 2

_SIZES = "write y.shape[0] or -1 in the place of a fixed batch size"


class Start(NamedTuple):
    """Where a solve starts, and what for.

    Attributes:
        t: the user's first time, 0-d, in the state's dtype.
        y: the state there.
        end: the last time that the field is wanted for, if that is known.
    """

    t: Tensor
    y: State
    end: float | None = None

    def copied(self) -> Start:
        """The same as tensors that are no inference tensors, which autograd would not take."""
        y = [part.detach().clone() for part in components(self.y)]
        return Start(self.t.detach().clone(), Structure.of(self.y).join(y), self.end)

    def generic_points(self) -> Iterator[Point]:
        """Other times and states to compare a field at."""
        return generic(self.t, self.y, self.end)


def make(func: Field, watched: Watched, key: Key, start: Start, compare: bool = True) -> Entry:
    """Captures a function, or records why it cannot be.

    Args:
        func: the user's function.
        watched: what its behaviour hangs on.
        key: of the solve.
        start: where it starts.
        compare: whether to compare the capture with the function.

    Raises:
        Singular: a matrix is, at these numbers.
        Refusal: a tensor has no memory at this moment.
    """
    effects = Effects(watched)
    if not all(map(has_memory, watched.tensors)):
        # Not to be remembered: frameworks that free weights bring them back.
        lost = "a tensor that it may read has lost its memory"
        raise Refusal(lost, remedy="give it back before the solve, by untyped_storage().resize_()")
    facts: dict[str, Any] = {
        "skeleton": watched.code.skeleton,
        "numbers": watched.numbers,
        "names": watched.tensor_names,
        "origin": origin(func),
    }
    t, y = start.t, start.y
    try:
        lowered = _lowered(func, watched, effects, t, y)
        if compare:
            near = cast(Tensor, perturbed(t)), perturbed(y)
            _compare(func, lowered, effects, watched.tensors, [(t, y), near], start.generic_points())
    except Singular:
        raise
    except Refusal as refusal:
        # Whatever a call changes must not make the refusal look outdated.
        check = watched.code.compile(dropped={*effects.changed, *watched.idle})
        return Entry(key, check, refusal.declined(), batched=True, **facts)
    counters = effects.counters or {}
    check = watched.code.compile(dropped=watched.idle, counters=counters, held=lowered.held)
    batched = lowered.batched and not lowered.carried
    return Entry(key, check, lowered, batched, compare, tuple(counters.items()), **facts)


def confirm(
    func: Field, watched: Watched, entry: Entry, start: Start, compare: bool = True
) -> Declined | None:
    """Sees whether a capture is its function's at a batch size that it was not made at.

    Two batch sizes cannot show that a function does not branch on the batch size: it is traced at this one as
    well, and has to do the same. Numbers alone, compared where a solve starts, would not tell: there a
    difference may vanish.

    Returns:
        None if they agree, else the reason to decline this batch size.

    Raises:
        Singular: a matrix is, at these numbers.
    """
    lowered, (t, y, _) = entry.lowered, start
    assert isinstance(lowered, Lowered)
    size = Structure.of(y).batch
    assert size is not None
    try:
        effects = Effects(watched)
        traced = effects.undone(lambda: trace(func, t, perturbed(y), watched))
        if traced.reasons:
            raise Refusal(*traced.reasons)
        pair(lowered.graph, traced, (None, size))
        if compare:
            _compare(func, lowered, effects, watched.tensors, [(t, y)], start.generic_points())
        if (effects.counters or {}) != dict(entry.counters):
            raise Mixing(
                "its counters grow unevenly, depending on the batch size",
                remedy="count calls, not trajectories",
            )
    except Singular:
        raise
    except Refusal as refusal:
        return Declined(
            *(replace(each, what=f"with a batch of {size} {each.what}") for each in refusal.reasons)
        )
    return None


def compare_values(func: Field, watched: Watched, entry: Entry, start: Start) -> Declined | None:
    """Compares a capture with its function at the first time and state, in values alone.

    Returns:
        None if they agree, else the reason to decline this call.
    """
    lowered = entry.lowered
    assert isinstance(lowered, Lowered)

    def program(t: Tensor, y: State) -> State:
        return evaluated(lowered, t, y, watched.tensors)

    try:
        Effects(watched).undone(lambda: verify_values(func, program, start.t, start.y))
    except Refusal as refusal:
        return Declined(*refusal.reasons)
    return None


def _lowered(func: Field, watched: Watched, effects: Effects, t: Tensor, y: State) -> Lowered:
    """The lowered function; row-wise in the first dimension of the state if it can be."""
    tensors = watched.tensors
    like = components(y)[0]
    # At other values, so that a number read from them behind our back shows.
    later = cast(Tensor, perturbed(t))

    def traced(t: Tensor, y: State, carried: Mapping[int, Tensor]) -> Trace:
        found, changed = effects.called(lambda: trace(func, t, y, watched, carried))
        return replace(found, reasons=(*found.reasons, *changed))

    def row_wise(size: int, carried: Sequence[int] = ()) -> Lowered:
        other = size + 1 if size > 1 else 3
        rows = torch.arange(other, device=like.device) % size
        slices = {slot: _slices(tensors[slot], rows) for slot in carried}
        start = traced(t, y, {slot: tensors[slot] for slot in carried}) if carried else first
        second = traced(later, perturbed(_taken(y, rows)), slices)
        return _paired(start, second, (size, other), like, tensors)

    first = traced(t, y, {})
    size = Structure.of(y).batch
    obstacle: Refusal | None = None
    if size is not None:
        try:
            return row_wise(size)
        except Refusal as refusal:
            obstacle = refusal
        # Such a tensor fits no other batch size than its own.
        for carried in guesses(tensors, size) if isinstance(obstacle, Failed) and not first.reasons else ():
            with suppress(Refusal):
                return row_wise(size, carried)
    try:
        return _paired(first, traced(later, perturbed(y), {}), None, like, tensors)
    except Refusal as refusal:
        fixed = isinstance(obstacle, Failed)
        if obstacle is None or (fixed and first.reasons) or set(refusal.reasons) <= set(obstacle.reasons):
            raise
        batched = _of_size(obstacle, size) if fixed else obstacle.reasons
        alone = (reason for reason in refusal.reasons if reason not in batched)
        raise Refusal(
            *batched,
            *(replace(reason, what=f"taken as one trajectory, {reason.what}") for reason in alone),
        ) from None


def _paired(
    first: Trace, second: Trace, sizes: tuple[int, int] | None, like: Tensor, tensors: Sequence[Tensor]
) -> Lowered:
    """What two traces give, if neither holds what a Program cannot repeat."""
    reasons = dict.fromkeys((*first.reasons, *second.reasons))
    try:
        lowered = lower(pair(first, second, sizes), like, tensors)
    except Refusal as refusal:
        raise Refusal(*reasons, *refusal.reasons) from None
    if reasons:
        raise Refusal(*reasons)
    return lowered


def _of_size(obstacle: Refusal, size: int | None) -> tuple[Reason, ...]:
    """What is to be said of a function that fails at a batch size that the user did not give."""
    *before, raised = obstacle.reasons
    return *before, Reason(f"it works for a batch of {size} alone", _SIZES, raised.where)


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

    def told(point: Point, away: bool) -> bool:
        return effects.undone(lambda: verify(func, program, *point, tensors, away))

    for point in points:
        told(point, away=False)
    enough = 0
    for point in candidates:
        # Outside of where it is defined it may raise.
        with suppress(Failed):
            enough += told(point, away=True)
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
    rows = structure.to_rows(components(y), batch or 1)
    c = structure.to_rows(carried, batch or 1) if (carried := lowered.carry(tensors)) else None
    rates = lowered.program.interpret(t, rows, lowered.prologue.run(tensors), c)
    return structure.join(structure.from_rows(rates))
