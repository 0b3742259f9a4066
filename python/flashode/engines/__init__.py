"""The protocol that every engine keeps, and the choice of one for a solve."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from flashode import notices
from flashode.blocks import Block
from flashode.declined import Declined, listed
from flashode.engines.protocol import Engine, Plan
from flashode.engines.watched import WatchedPlan
from flashode.errors import FallbackWarning
from flashode.wording import shown

if TYPE_CHECKING:
    from flashode.problem import Adjoint, Problem
    from flashode.statistics import Statistics

EngineName = Literal["native", "eager"]

# Fastest first; the last one takes every problem.
ORDER: tuple[EngineName, ...] = ("native", "eager")


class EngineDeclined(ValueError):
    """The engine asked for by ``use_engine`` cannot run this solve."""


_choice: ContextVar[str] = ContextVar("flashode_engine", default="auto")


def use_engine(name: str) -> Block[None]:
    """Choose the engine of every solve in the ``with`` block, or in a function that it decorates.

    Args:
        name: ``"auto"`` takes the fastest engine that can run the function and warns once where that is not
            the native one, unless PyTorch is faster; ``"native"`` and ``"eager"`` insist.

    Raises:
        ValueError: If there is no engine of that name, or, from a solve inside the block, if the engine
            cannot run it.
    """
    if name != "auto" and name not in ORDER:
        raise ValueError(f"engine must be one of {', '.join(map(repr, ('auto', *ORDER)))}, got {shown(name)}")
    return Block(partial(_using, name), f"use_engine({name!r})")


@contextmanager
def _using(name: str) -> Iterator[None]:
    token = _choice.set(name)
    try:
        yield
    finally:
        _choice.reset(token)


def load(name: EngineName) -> Engine | Declined:
    """The engine of that name, imported on first use."""
    if name == "native":
        from flashode.engines import native

        return native.engine()
    from flashode.engines import eager

    return eager.engine()


class Choice(NamedTuple):
    """What the engines say to a problem.

    Attributes:
        plan: that of the first engine that takes it; None if ``use_engine`` insists on one that declines.
        declined: why the engines asked before it do not, fastest first.
    """

    plan: Plan | None
    declined: dict[EngineName, Declined]


# Asked of every choice, in all threads; what they return runs in the plan's place.
watchers: list[Callable[[Problem, Adjoint | None, Choice, Plan], Plan]] = []


def allows(name: EngineName) -> bool:
    """Whether the present ``use_engine`` does."""
    return _choice.get() in ("auto", name)


def insists(name: EngineName) -> bool:
    """Whether the present ``use_engine`` allows no other."""
    return _choice.get() == name


def consider(problem: Problem, adjoint: Adjoint | None) -> Choice:
    """Asks the engines that the present ``use_engine`` allows, the fastest first."""
    declined: dict[EngineName, Declined] = {}
    for name in ORDER:
        if not allows(name):
            continue
        engine = load(name)
        plan = engine if isinstance(engine, Declined) else engine.plan(problem, adjoint)
        if not isinstance(plan, Declined):
            return Choice(plan, declined)
        declined[name] = plan
    return Choice(None, declined)


def choose(problem: Problem, adjoint: Adjoint | None) -> Plan:
    """The plan of the first engine that takes the problem; it warns where a faster one would take others.

    Raises:
        EngineDeclined: If ``use_engine`` insists on an engine that declines.
    """
    choice = consider(problem, adjoint)
    if choice.plan is None:
        ((name, refusal),) = choice.declined.items()
        raise EngineDeclined(f"the {name} engine cannot run this solve because {listed(refusal.reasons)}")
    plan = choice.plan
    for name, refusal in choice.declined.items():
        if not (refusal.absent or refusal.expected or _sentence(refusal) in _said_of(problem)):
            # Not before the solve: what the user's function raises should be seen alone.
            plan = WatchedPlan(plan, solved=partial(_warn, problem, name, refusal), reversed_=_silent)
    for watcher in watchers:
        plan = watcher(problem, adjoint, choice, plan)
    return plan


def name_of(func: object) -> str:
    """What a user calls the function."""
    func = _own(func)
    return getattr(func, "__qualname__", type(func).__qualname__)


def _said_of(problem: Problem) -> set[str]:
    """What was said of a problem's function and is not to be said again."""
    return notices.said_of(_own(problem.func))


def _sentence(refusal: Declined) -> str:
    """A refusal less what does not make it news: a batch size, or a line that moved."""
    return re.sub(r"\d+", "", refusal.reason)


def _warn(problem: Problem, engine: str, refusal: Declined, _: float, cost: Statistics | None) -> None:
    """Warns that an engine did not run a solve, unless that has no cost: the user's function raised."""
    if cost is None:
        return
    _said_of(problem).add(_sentence(refusal))
    message = (
        f"{name_of(problem.func)} does not run in the {engine} engine because {refusal.summary}; a slower "
        'one is used; flashode.explain(func, y0) says more, and warnings.filterwarnings("ignore", '
        "category=flashode.FallbackWarning) silences this"
    )
    notices.warn(message, FallbackWarning)


def _silent(seconds: float, cost: Statistics | None) -> None:
    """Says nothing of a reverse pass."""


def _own(func: object) -> object:
    """The user's own function in partial and compiled ones."""
    from flashode.capture.watching.compiled import original

    while True:
        made_from = original(func)
        if made_from is not None:
            func = made_from[0]
        elif isinstance(func, partial):
            func = func.func
        else:
            return func
