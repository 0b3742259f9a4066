"""What the functions that solve share: whose calls they take, and what they say of a misplaced option."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flashode.problem import OPTION_NAMES
from flashode.uncompiled import uncompiled

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
# (name of the face, its keyword arguments) -> what solves in its place, or None
Elsewhere = Callable[[str, Mapping[str, Any]], Callable[..., Any] | None]

_elsewhere: Elsewhere | None = None


def send_elsewhere(elsewhere: Elsewhere | None) -> None:
    """From now on what this gives for a call, if anything, solves it."""
    global _elsewhere
    _elsewhere = elsewhere


def face(solve: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Makes a function that solves one for programs to call; ``torch.compile`` leaves it alone.

    Calls for a method that is none of flashode's go to whom :func:`send_elsewhere` says.
    """
    name = solve.__name__
    arguments = frozenset(inspect.signature(solve).parameters)

    @wraps(solve)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        if _elsewhere is not None:
            other = _elsewhere(name, kwargs)
            if other is not None:
                answer: Answer = other(*args, **kwargs)
                return answer
        try:
            return solve(*args, **kwargs)
        except TypeError:
            misplaced = [key for key in kwargs if key not in arguments and key in OPTION_NAMES]
            if not misplaced:
                raise
        raise TypeError(
            f"{name}() takes {', '.join(map(repr, misplaced))} as an option of the method: "
            f"options={{{', '.join(f'{key!r}: ...' for key in misplaced)}}}"
        )

    return uncompiled(call)
