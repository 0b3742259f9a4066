"""The choice of an engine for a solve."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from flashode import notices
from flashode.declined import Declined, listed
from flashode.engines.protocol import Plan
from flashode.engines.registry import REGISTRY
from flashode.engines.selection import allows
from flashode.errors import FallbackWarning
from flashode.problem import Gradient, Problem


class EngineDeclined(ValueError):
    """The engine asked for by ``use_engine`` cannot run this solve."""


class Choice(NamedTuple):
    """What the engines say to a problem.

    Attributes:
        plan: that of the first engine that takes it; None if ``use_engine`` insists on one that declines.
        declined: why the engines asked before it do not, fastest first.
    """

    plan: Plan | None
    declined: dict[str, Declined]


# Asked of every choice, in all threads; what they return runs in the plan's place.
watchers: list[Callable[[Problem, Gradient, Choice, Plan], Plan]] = []


def consider(problem: Problem, gradient: Gradient) -> Choice:
    """Asks the engines that the present ``use_engine`` allows, the fastest first."""
    declined: dict[str, Declined] = {}
    for name, load in REGISTRY.items():
        if not allows(name):
            continue
        engine = load()
        plan = engine if isinstance(engine, Declined) else engine.plan(problem, gradient)
        if not isinstance(plan, Declined):
            return Choice(plan, declined)
        declined[name] = plan
    return Choice(None, declined)


def choose(problem: Problem, gradient: Gradient) -> Plan:
    """The plan of the first engine that takes the problem; warns where a faster one would take others.

    Raises:
        EngineDeclined: If ``use_engine`` insists on an engine that declines.
    """
    choice = consider(problem, gradient)
    if choice.plan is None:
        ((name, refusal),) = choice.declined.items()
        raise EngineDeclined(f"the {name} engine cannot run this solve because {listed(refusal.reasons)}")
    for name, refusal in choice.declined.items():
        if not (refusal.absent or refusal.expected):
            _warn_once(problem, name, refusal)
    plan = choice.plan
    for watcher in watchers:
        plan = watcher(problem, gradient, choice, plan)
    return plan


def name_of(func: object) -> str:
    """What a user calls the function."""
    func = _own(func)
    return getattr(func, "__qualname__", type(func).__qualname__)


def _warn_once(problem: Problem, engine: str, refusal: Declined) -> None:
    seen = notices.said_of(_own(problem.func))
    # A batch size or a line that moved does not make it news.
    sentence = re.sub(r"\d+", "", refusal.reason)
    if sentence in seen:
        return
    # Where the solve is about to raise the user's own error, that alone should be seen.
    if refusal.raised and error_of(problem) is not None:
        return
    seen.add(sentence)
    name = name_of(problem.func)
    message = (
        f"{name} does not run in the {engine} engine because {refusal.summary}; a slower one is used; "
        'flashode.explain(func, y0) says more, and warnings.filterwarnings("ignore", '
        "category=flashode.FallbackWarning) silences this"
    )
    notices.warn(message, FallbackWarning)


def error_of(problem: Problem) -> Exception | None:
    """What the problem's function raises at its first time and state.

    To be asked only where a capture declined because the function raised: other functions may do what cannot
    be undone. None if it raises nothing, and if a call could be noticed afterwards, so that there was none.
    """
    from flashode.capture import attempt

    t = problem.t[0].detach().clone()
    y = problem.y0.detach().clone().requires_grad_(problem.y0.requires_grad)
    return attempt(problem.func, lambda: problem.field(t, y))


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
