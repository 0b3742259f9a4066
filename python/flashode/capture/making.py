"""Making a capture: trace, lower, compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor

from flashode.capture.cache import Entry, Key
from flashode.capture.calling.effects import Effects
from flashode.capture.changing import origin
from flashode.capture.guards.execution import Execution
from flashode.capture.guards.watched import Watched, path
from flashode.capture.lowering.lower import Lowered, lower
from flashode.capture.observing import Observed
from flashode.capture.refusal import Failed, Memoised, Mixing, Refusal, Singular
from flashode.capture.starting import Field, Start
from flashode.capture.tracing.carrying import guesses
from flashode.capture.tracing.pairing import pair, same_values
from flashode.capture.tracing.remedies import LOST, REVIVE
from flashode.capture.tracing.trace import Gradients, trace
from flashode.capture.tracing.traced import Trace
from flashode.capture.verify import Point, generic, perturbed, verify, verify_values
from flashode.declined import Declined, Reason
from flashode.memory import has_memory
from flashode.state import State, Structure, components

# At how many generic points a comparison has to tell something.
ENOUGH = 2

_ASKS = "it asks for requires_grad, and computes something else for the answer"
_ALIKE = "compute the same in every grad mode"
_SIZES = "write y.shape[0] or -1 in the place of a fixed batch size"


def make(
    func: Field, watched: Watched, observed: Observed, key: Key, start: Start, compare: bool = True
) -> Entry:
    """Captures a function, and compares the two, or records why it cannot be.

    Refuses for this once where a matrix is singular at these numbers, or a tensor has lost its memory.
    """
    effects = Effects(watched)
    if not all(map(has_memory, watched.tensors)):
        # Not to be remembered: frameworks that free weights bring them back.
        raise Refusal(LOST, remedy=REVIVE)
    entry = partial(
        Entry,
        key,
        skeleton=watched.code.skeleton,
        numbers=watched.numbers,
        names=watched.tensor_names,
        origin=origin(func),
        executed=observed.execution.executed,
    )
    try:
        lowered = _lowered(func, watched, observed, effects, start.t, start.y)
        effects.steps = lowered.graph.steps
        if compare:
            near = cast(Tensor, perturbed(start.t)), perturbed(start.y)
            _compare(func, lowered, effects, watched.tensors, start, near)
    except Singular:
        raise
    except Refusal as refusal:
        # Whatever a call changes must not make the refusal look outdated.
        check = watched.code.compile(dropped={*effects.changed, *watched.idle})
        return entry(check, refusal.declined(), batched=True, memoises=isinstance(refusal, Memoised))
    counters = effects.counters or {}
    check = watched.code.compile(dropped=watched.idle, counters=counters, held=lowered.held)
    batched = lowered.batched and not lowered.carried
    return entry(check, lowered, batched, compare, tuple(counters.items()))


def confirm(
    func: Field, watched: Watched, execution: Execution, entry: Entry, start: Start, compare: bool = True
) -> Declined | None:
    """Why a capture does not hold at a batch size that it was not made at; None if it does.

    Two batch sizes cannot show that a function does not branch on the batch size: it is traced at this one as
    well, and has to do the same. Numbers alone, compared where a solve starts, would not tell: there a
    difference may vanish.
    """
    lowered, size = entry.lowered, Structure.of(start.y).batch
    assert isinstance(lowered, Lowered)
    assert size is not None
    try:
        effects = Effects(watched)
        traced = effects.undone(lambda: trace(func, start.t, perturbed(start.y), watched, execution))
        if traced.reasons:
            raise Refusal(*traced.reasons)
        pair(lowered.graph, traced, (None, size))
        effects.steps = lowered.graph.steps
        if compare:
            _compare(func, lowered, effects, watched.tensors, start)
        if (effects.counters or {}) != dict(entry.counters):
            what = "its counters grow unevenly, depending on the batch size"
            raise Mixing(what, remedy="count calls, not trajectories")
    except Singular:
        raise
    except Refusal as refusal:
        return Declined(*_prefixed(refusal.reasons, f"with a batch of {size}"))
    return None


def compare_values(func: Field, watched: Watched, entry: Entry, start: Start) -> Declined | None:
    """Why the values of a capture are not its function's where a solve starts; None if they are."""
    assert isinstance(entry.lowered, Lowered)
    program = _field(entry.lowered, watched.tensors)
    effects = Effects(watched)
    effects.steps = entry.lowered.graph.steps
    try:
        effects.undone(lambda: verify_values(func, program, start.t, start.y))
    except Refusal as refusal:
        return Declined(*refusal.reasons)
    return None


def _lowered(
    func: Field, watched: Watched, observed: Observed, effects: Effects, t: Tensor, y: State
) -> Lowered:
    """The lowered function; row-wise in the first dimension of the state if it can be."""
    tensors = watched.tensors
    like = components(y)[0]
    # At other values, so that a number read from them behind our back shows.
    later = cast(Tensor, perturbed(t))

    execution, around = observed.execution, Effects(observed.watched)

    def called(call: Callable[[], Trace]) -> tuple[Trace, tuple[Reason, ...]]:
        # At another batch size it may come to what it has not come to before.
        return around.called(lambda: effects.called(call))[0]

    def traced(t: Tensor, y: State, carried: Mapping[int, Tensor]) -> Trace:
        found, changed = called(lambda: trace(func, t, y, watched, execution, carried))
        for label in effects.kept.values():
            what = f"it computes {path(label)} in its first call and keeps it"
            raise Memoised(Reason(what, Memoised.remedy, watched.line(label)))
        reasons = (*found.reasons, *changed)
        for wanted in (Gradients.STATE, Gradients.TIME, Gradients.OWN, Gradients.NONE):
            if found.asked and not reasons:
                other, changed = called(
                    lambda: trace(func, t, y, watched, execution, carried, wanted)  # noqa: B023
                )
                reasons = (*other.reasons, *changed)
                if not (reasons or same_values(found, other)):
                    reasons = (Reason(_ASKS, _ALIKE, watched.line("requires_grad")),)
        return replace(found, reasons=reasons)

    def row_wise(size: int, carried: Sequence[int] = ()) -> Lowered:
        other = size + 1 if size > 1 else 3
        rows = torch.arange(other, device=like.device) % size
        owned = {slot: tensors[slot] for slot in carried}
        start = traced(t, y, owned) if carried else first
        slices = {
            slot: owned[slot].detach()[rows].requires_grad_(owned[slot].requires_grad) for slot in owned
        }
        taken = Structure.of(y).join([part[rows] for part in components(y)])
        second = traced(later, perturbed(taken), slices)
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
        batched = obstacle.reasons
        if fixed:
            # It fails at a batch size that the user did not give.
            what = Reason(f"it works for a batch of {size} alone", _SIZES, batched[-1].where)
            batched = (*batched[:-1], what)
        alone = (reason for reason in refusal.reasons if reason not in batched)
        raise Refusal(*batched, *_prefixed(alone, "taken as one trajectory,")) from None


def _prefixed(reasons: Iterable[Reason], prefix: str) -> list[Reason]:
    return [replace(reason, what=f"{prefix} {reason.what}") for reason in reasons]


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


def _compare(
    func: Field,
    lowered: Lowered,
    effects: Effects,
    tensors: Sequence[Tensor],
    start: Start,
    *near: Point,
) -> None:
    """Compares a field with its function where a solve starts, near there, and where it may be undefined.

    Such points are tried until the comparisons at enough of them have told something: where all is zero, it
    may be so of another function as well.
    """
    program = _field(lowered, tensors)

    def told(point: Point, away: bool) -> bool:
        return effects.undone(lambda: verify(func, program, *point, tensors, away))

    for point in ((start.t, start.y), *near):
        told(point, away=False)
    enough = 0
    for point in generic(*start):
        # Outside of where it is defined it may raise.
        with suppress(Failed):
            enough += told(point, away=True)
        if enough == ENOUGH:
            break


def _field(lowered: Lowered, tensors: Sequence[Tensor]) -> Callable[[Tensor, State], State]:
    return lambda t, y: evaluated(lowered, t, y, tensors)


def evaluated(lowered: Lowered, t: Tensor, y: State, tensors: Sequence[Tensor]) -> State:
    """The captured field, interpreted; ``tensors`` are those that the function owns."""
    structure = Structure.of(y)
    batch = structure.batch if lowered.batched else None
    rows = structure.to_rows(components(y), batch or 1)
    c = structure.to_rows(carried, batch or 1) if (carried := lowered.carry(tensors)) else None
    rates = lowered.program.interpret(t, rows, lowered.prologue.run(tensors), c)
    return structure.join(structure.from_rows(rates))
