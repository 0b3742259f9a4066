"""The first calls of a function: what they execute, before anything is known of what it depends on."""

from __future__ import annotations

from contextlib import suppress

from flashode.capture.calling.effects import Effects
from flashode.capture.guards.execution import Execution, Unseen
from flashode.capture.guards.functions import home_of
from flashode.capture.guards.watch import reached
from flashode.capture.making import Field, Start
from flashode.capture.refusal import Refusal
from flashode.capture.tracing.trace import trace

# A field calls functions of so many modules of others.
MAX_MODULES = 64


def observe(func: Field, start: Start) -> Execution:
    """What a call of ``func`` executes; nothing that it changes is left.

    What may run is looked at before, for what it may change: code of the user's own, and that of libraries as
    soon as a call comes to it. A call that cannot be made, or not to its end, is made again when it is
    captured, which says why.
    """
    modules = frozenset(home_of(func))
    for _ in range(MAX_MODULES):
        try:
            return _executed(func, start, modules)
        except Unseen as unseen:
            modules |= {unseen.module}
    raise Refusal("it calls functions of too many modules")


def _executed(func: Field, start: Start, modules: frozenset[str]) -> Execution:
    watched = reached(func, modules)
    execution = Execution(watched.codes, modules, watched.unwatchable)
    with suppress(Refusal):
        Effects(watched).called(lambda: trace(func, start.t, start.y, watched, execution))
    return execution
