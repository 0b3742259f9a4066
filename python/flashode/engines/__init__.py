"""The protocol that every engine keeps, and the choice of one for a solve."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Literal
from warnings import warn

from flashode.declined import Declined
from flashode.engines.plan import Engine, Plan
from flashode.errors import FallbackWarning

if TYPE_CHECKING:
    from flashode.problem import Adjoint, Problem

EngineName = Literal["native", "eager"]

# Fastest first; the last one takes every problem.
ORDER: tuple[EngineName, ...] = ("native", "eager")


class EngineDeclined(ValueError):
    """The engine asked for by ``use_engine`` cannot run this solve."""


_choice: ContextVar[str] = ContextVar("flashode_engine", default="auto")
_warned: weakref.WeakKeyDictionary[object, set[str]] = weakref.WeakKeyDictionary()


@contextmanager
def use_engine(name: str) -> Iterator[None]:
    """Choose the engine of every solve in the ``with`` block.

    Args:
        name: ``"auto"`` takes the fastest engine that can run the function and warns once where that is not
            the native one; ``"native"`` and ``"eager"`` insist.

    Raises:
        ValueError: If there is no engine of that name, or, from a solve inside the block, if the engine
            cannot run it.
    """
    if name != "auto" and name not in ORDER:
        raise ValueError(f"engine must be one of {', '.join(map(repr, ('auto', *ORDER)))}, got {name!r}")
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


def choose(problem: Problem, adjoint: Adjoint | None) -> Plan:
    """The plan of the first engine that takes the problem.

    Raises:
        EngineDeclined: If ``use_engine`` insists on an engine that declines.
    """
    wanted = _choice.get()
    for name in ORDER:
        if wanted not in ("auto", name):
            continue
        engine = load(name)
        plan = engine if isinstance(engine, Declined) else engine.plan(problem, adjoint)
        if not isinstance(plan, Declined):
            return plan
        if wanted == name:
            raise EngineDeclined(f"the {name} engine cannot run this solve because {plan.reason}")
        if not plan.absent:
            _warn_once(problem.func, name, plan.reason)
    raise AssertionError("the eager engine takes every problem")


def _warn_once(func: object, engine: str, reason: str) -> None:
    key = _identity(func)
    seen = _warned.setdefault(key, set())
    if reason not in seen:
        seen.add(reason)
        name = getattr(func, "__qualname__", type(func).__qualname__)
        message = f"{name} does not run in the {engine} engine because {reason}; a slower one is used"
        # Past choose and the public function, so that the caller's own line is shown.
        warn(message, FallbackWarning, stacklevel=4)


def _identity(func: object) -> object:
    """What stays the same when a lambda, a bound method or a partial is made afresh for every solve."""
    while isinstance(func, partial):
        func = func.func
    func = getattr(func, "__func__", func)
    key = getattr(func, "__code__", func)
    try:
        hash(key)
        weakref.ref(key)
    except TypeError:
        return type(key)
    return key
