"""The choice of an engine for a solve."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from flashode import notices
from flashode.blocks import Block
from flashode.declined import Declined, listed
from flashode.engines.protocol import Plan
from flashode.engines.registry import DEVICES, REGISTRY, STAND_INS
from flashode.engines.reported import ReportedPlan
from flashode.engines.selection import AUTO, VARIABLE, allows, insists, selected, selecting
from flashode.errors import FallbackWarning
from flashode.problem import Discrete, Gradient, Problem
from flashode.statistics import Statistics
from flashode.wording import shown


def use_engine(name: str) -> Block[None]:
    """Choose the engine of every solve in the ``with`` block, or in a function that it decorates.

    Args:
        name: ``"auto"`` takes the fastest engine that can run the function and warns once where that is not
            the fastest of all, unless PyTorch is faster; the name of an engine, such as ``"eager"``, insists.
            Elsewhere the environment variable ``FLASHODE_ENGINE`` holds, or ``"auto"``.

    Raises:
        ValueError: If there is no engine of that name, or, from a solve inside the block, if the engine
            cannot run it.
    """
    accepted = (AUTO, *REGISTRY)
    if name not in accepted:
        raise ValueError(f"engine must be one of {', '.join(map(repr, accepted))}, got {shown(name)}")
    return Block(partial(selecting, name), f"use_engine({name!r})")


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
    """Asks the engines that the present ``use_engine`` allows, the fastest first.

    Raises:
        ValueError: If the environment names an engine that there is not.
    """
    accepted = (AUTO, *REGISTRY)
    if selected() not in accepted:  # use_engine has checked its own
        names = ", ".join(map(repr, accepted))
        raise ValueError(f"the environment variable {VARIABLE} must be one of {names}, got {selected()!r}")
    declined: dict[str, Declined] = {}
    device = problem.settings.device.type
    for name, load in REGISTRY.items():
        if not _is_asked(name, device):
            continue
        engine = load()
        plan = engine if isinstance(engine, Declined) else engine.plan(problem, gradient)
        if not isinstance(plan, Declined):
            return Choice(plan, declined)
        declined[name] = plan
    return Choice(None, declined)


def _is_asked(name: str, device: str) -> bool:
    """Whether an engine is asked about a state there.

    Of those for one device only its own are; one that stands in for another is where that is not installed.
    """
    if insists(name):
        return True
    if name in STAND_INS and not isinstance(REGISTRY[STAND_INS[name]](), Declined):
        return False
    return allows(name) and (DEVICES.get(name, device) == device or device not in DEVICES.values())


def taken(choice: Choice) -> Plan:
    """The plan of a choice.

    Raises:
        EngineDeclined: If ``use_engine`` insists on an engine that declines.
    """
    if choice.plan is None:
        ((name, refusal),) = choice.declined.items()
        raise EngineDeclined(f"the {name} engine cannot run this solve because {listed(refusal.reasons)}")
    return choice.plan


def choose(problem: Problem, gradient: Gradient) -> Plan:
    """The plan of the first engine that takes the problem; it warns where a faster one would take others.

    Raises:
        EngineDeclined: If ``use_engine`` insists on an engine that declines.
    """
    choice = consider(problem, gradient)
    settling = [refusal.settle for refusal in choice.declined.values() if refusal.settle is not None]
    if settling:
        # As the solve would: the adjoint equations record nothing of the forward solve.
        with torch.set_grad_enabled(torch.is_grad_enabled() and isinstance(gradient, Discrete)):
            settling[0]()
        choice = consider(problem, gradient)
    plan = taken(choice)
    for name, refusal in choice.declined.items():
        if not (refusal.absent or refusal.expected or _sentence(refusal) in _said_of(problem)):
            # Not before the solve: what the user's function raises should be seen alone.
            plan = ReportedPlan(plan, solved=partial(_warn, problem, name, refusal), reversed_=_silent)
    for watcher in watchers:
        plan = watcher(problem, gradient, choice, plan)
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
    from flashode.capture.guards.compiled import original

    while True:
        made_from = original(func)
        if made_from is not None:
            func = made_from[0]
        elif isinstance(func, partial):
            func = func.func
        else:
            return func
