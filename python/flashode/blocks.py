"""Context managers that warn where they are made and never entered."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ContextDecorator
from types import TracebackType
from typing import Generic, Self, TypeVar

from flashode import notices

Value = TypeVar("Value")
Entered = TypeVar("Entered", bound=Callable[..., object])


class Block(ContextDecorator, Generic[Value]):
    """A context manager and decorator, to be used any number of times; it warns if it never is.

    Args:
        make: Makes the context manager of one ``with`` statement.
        call: The call that made this one, as the user wrote it.
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._managers.pop().__exit__(kind, error, traceback)

    def __call__(self, func: Entered) -> Entered:
        """The function, each call of which is within a block of its own."""
        self._used = True
        return super().__call__(func)

    def _recreate_cm(self) -> Self:
        # Called by ContextDecorator: calls of the function may overlap, in several threads.
        return type(self)(self._make, self._call)

    def __del__(self) -> None:
        if not self._used:
            notices.warn(f"flashode.{self._call} does nothing by itself: write with flashode.{self._call}:")
