"""The first calls of a function: what they execute, before anything is known of what it depends on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import torch

from flashode.capture.calling.effects import Effects
from flashode.capture.guards.execution import Execution, Unseen
from flashode.capture.guards.functions import home_of
from flashode.capture.guards.watch import reached
from flashode.capture.guards.watched import Watched
from flashode.capture.refusal import Refusal
from flashode.capture.starting import Field, Start
from flashode.capture.tracing.trace import trace

# A field calls functions of so many modules of others.
MAX_MODULES = 64


class Observed(NamedTuple):
    """What a call of a function executes, and all that it may have changed."""

    execution: Execution
    watched: Watched


def observe(func: Field, start: Start) -> Observed:
    """What a call of ``func`` executes; nothing that it changes is left.

    What may run is looked at before, for what it may change: code of the user's own, and that of libraries as
    soon as a call comes to it. A call that cannot be made, or not to its end, is made again when it is
    captured, which says why.
    """

    def call(watched: Watched, execution: Execution) -> None:
        with suppress(Refusal):
            Effects(watched).called(lambda: trace(func, start.t, start.y, watched, execution))

    return _entering(func, call)


def settle(func: Field, start: Start) -> None:
    """Makes the first call of ``func``; of what it changes only tensors in the place of nothing are left.

    A call that does not come to its end leaves nothing, and draws no random numbers: the solve will make it.
    """

    def call(watched: Watched, execution: Execution) -> None:
        counted = [each for each in watched.tensors if not each.requires_grad]
        before = [(each, each._version, each.clone()) for each in counted]
        generators = (torch.default_generator, *torch.cuda.default_generators)
        states = [generator.get_state() for generator in generators]
        try:
            Effects(watched).called(lambda: execution.run(lambda: func(start.t, start.y)), keep=True)
        except BaseException as error:
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)
            if isinstance(error, Unseen) or not isinstance(error, Exception):
                raise
        finally:
            for tensor, version, content in before:
                if tensor._version != version:
                    tensor.data.copy_(content)

    with suppress(Refusal):
        _entering(func, call)


def _entering(func: Field, call: Callable[[Watched, Execution], None]) -> Observed:
    """What a call executes; it is made again where it comes to modules that have to be looked at first."""
    modules = frozenset(home_of(func))
    for _ in range(MAX_MODULES):
        watched = reached(func, modules)
        execution = Execution(watched.codes, modules, watched.unwatchable)
        try:
            call(watched, execution)
            return Observed(execution, watched)
        except Unseen as unseen:
            modules |= {unseen.module}
    raise Refusal("it calls functions of too many modules")
