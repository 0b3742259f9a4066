"""Making a capture: trace, lower, compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from flashode.capture.cache import Entry, Key
from flashode.capture.effects import Effects
from flashode.capture.lower import Lowered, lower
from flashode.capture.pairing import pair
from flashode.capture.refusal import Refusal
from flashode.capture.trace import Trace, trace
from flashode.capture.verify import perturbed, verify
from flashode.capture.watched import Watched
from flashode.declined import Declined

Field = Callable[[Any, Any], Any]


def make(func: Field, watched: Watched, t: Tensor, y: Tensor) -> Entry:
    """Captures a function, or records why it cannot be.

    Args:
        func: the user's function.
        watched: what its behaviour hangs on.
        t: time, 0-d.
        y: the state.
    """
    effects = Effects(watched)
    key = Key.of(y)
    try:
        lowered, batched = _lowered(func, watched, effects, t, y)
        for time, state in ((t, y), (perturbed(t), perturbed(y))):
            _compare(func, lowered, batched, effects, time, state, watched.tensors)
    except Refusal as refusal:
        # Whatever a call changes must not make the refusal look outdated.
        check = watched.code.compile(dropped=effects.changed)
        return Entry(key, check, Declined(str(refusal)), batched=y.ndim > 1)
    counters = effects.counters or {}
    check = watched.code.compile(dropped=counters, owners=[variable for variable, _ in counters])
    entry = Entry(key, check, lowered, batched, tuple(counters.items()))
    if batched:
        entry.sizes[y.shape[0]] = None
    return entry


def confirm(func: Field, watched: Watched, entry: Entry, t: Tensor, y: Tensor) -> Declined | None:
    """Compares a capture with its function at a batch size that it has not met.

    Two batch sizes cannot show that a function does not branch on the batch size.

    Returns:
        None if they agree, else the reason to decline this batch size.
    """
    assert isinstance(entry.lowered, Lowered)
    try:
        effects = Effects(watched)
        _compare(func, entry.lowered, True, effects, t, y, watched.tensors)
        if (effects.counters or {}) != dict(entry.counters):
            raise Refusal("its counters grow unevenly, depending on the batch size")
    except Refusal as refusal:
        return Declined(f"with a batch of {y.shape[0]}: {refusal}")
    return None


def _lowered(func: Field, watched: Watched, effects: Effects, t: Tensor, y: Tensor) -> tuple[Lowered, bool]:
    """The lowered function, and whether it is row-wise in the first dimension of ``y``."""

    def traced(t: Tensor, y: Tensor) -> Trace:
        return effects.undone(lambda: trace(func, t, y, watched.slots))

    first = traced(t, y)
    # At other values, so that a number read from them behind our back shows.
    later = perturbed(t)
    obstacle: Refusal | None = None
    if y.ndim > 1:
        size = y.shape[0]
        other = size + 1 if size > 1 else 3
        rows = torch.arange(other, device=y.device) % size
        try:
            second = traced(later, perturbed(y[rows]))
            return lower(pair(first, second, (size, other)), y, watched.tensors), True
        except Refusal as refusal:
            obstacle = refusal
    try:
        return lower(pair(first, traced(later, perturbed(y)), None), y, watched.tensors), False
    except Refusal as refusal:
        if obstacle is None or str(obstacle) == str(refusal):
            raise
        raise Refusal(f"{obstacle}; taken as one trajectory: {refusal}") from None


def _compare(
    func: Field,
    lowered: Lowered,
    batched: bool,
    effects: Effects,
    t: Tensor,
    y: Tensor,
    tensors: Sequence[Tensor],
) -> None:
    def program(t: Tensor, y: Tensor) -> Tensor:
        rows = y.reshape(y.shape[0], -1) if batched else y.reshape(-1)
        return lowered.program.interpret(t, rows, lowered.prologue.run(tensors)).reshape(y.shape)

    effects.undone(lambda: verify(func, program, t, y, tensors))
