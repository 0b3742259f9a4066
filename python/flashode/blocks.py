"""Context managers that warn if they are never entered."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ContextDecorator
from typing import Any, Generic, Self, TypeVar

from flashode import notices

Value = TypeVar("Value")
Function = TypeVar("Function", bound=Callable[..., object])


class Block(ContextDecorator, Generic[Value]):
    """A context manager and decorator, to be used any number of times; it warns if it never is.

    Args:
        make: Makes the context manager of one ``with`` statement.
        call: The user's call that returned this one, as text.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[Value]], call: str) -> None:
        self._make = make
        self._call = call
        self._used = False
        self._managers: list[AbstractContextManager[Value]] = []

    def __enter__(self) -> Value:
        self._used = True
        manager = self._make()
        value = manager.__enter__()
        self._managers.append(manager)
        return value

    def __exit__(self, *error: Any) -> bool | None:
        return self._managers.pop().__exit__(*error)

    def __call__(self, func: Function) -> Function:
        """The function, with each call in a block of its own."""
        self._used = True
        return super().__call__(func)

    def _recreate_cm(self) -> Self:
        # Called by ContextDecorator: calls of the function may overlap, in several threads.
        return type(self)(self._make, self._call)

    def __del__(self) -> None:
        if not self._used:
            notices.warn(f"flashode.{self._call} does nothing by itself: write with flashode.{self._call}:")
