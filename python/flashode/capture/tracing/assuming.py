"""Branches of which one side only raises: `assert torch.isfinite(y).all()`.

A field is captured without that side. Its Program gives no numbers where the condition calls for it, so that
such a solve is left to plain PyTorch, which raises.
"""

from __future__ import annotations

import types

from flashode.capture.guards.bytecode import instructions

# What ends a side, or may be seen from outside of it.
_ELSE = ("POP_JUMP", "JUMP", "RETURN", "YIELD", "SEND", "FOR_ITER", "RERAISE", "DELETE", "IMPORT")
_STORES = ("STORE_ATTR", "STORE_SUBSCR", "STORE_GLOBAL", "STORE_DEREF", "STORE_NAME", "STORE_SLICE")


def outcome_without_raising(frame: types.FrameType) -> bool | None:
    """The truth of what a frame is asking about for which it does not raise; None of another question."""
    listed = instructions(frame.f_code)
    places = {instruction.offset: place for place, instruction in enumerate(listed)}
    place = places.get(frame.f_lasti)
    negated = False
    while place is not None and place + 1 < len(listed) and listed[place].opname in ("TO_BOOL", "UNARY_NOT"):
        negated ^= listed[place].opname == "UNARY_NOT"
        place += 1
    if place is None or "POP_JUMP" not in listed[place].opname:
        return None
    jump = listed[place]
    if not jump.opname.endswith(("IF_TRUE", "IF_FALSE")) or jump.argval not in places:
        return None
    raises_on, raises_off = (
        _only_raises([instruction.opname for instruction in listed[begin:]])
        for begin in (places[jump.argval], place + 1)
    )
    if raises_on == raises_off:
        return None
    # Whether a condition that is true jumps.
    jumps = jump.opname.endswith("IF_TRUE") ^ negated
    return jumps ^ raises_on


def _only_raises(names: list[str]) -> bool:
    """Whether instructions come to raising an exception, and to nothing else before."""
    for name in names:
        if name == "RAISE_VARARGS":
            return True
        if name.startswith((*_ELSE, *_STORES)):
            return False
    return False
