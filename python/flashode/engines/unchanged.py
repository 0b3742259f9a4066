"""The user's functions that a backward pass calls again: they have to be what they were before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Unchanged:
    """What functions depend on, as it is during a solve; made before it."""

    def __init__(self, caller: str, remedy: str = "", **functions: Callable[..., Any]) -> None:
        """Looks at the functions.

        Args:
            caller: What the user called for the solve.
            remedy: What to do but to change them later, in words.
            **functions: The functions, by the names of the arguments that they were given as.
        """
        # Not before the first solve: capture takes long to import.
        from flashode.capture import steadiness

        self._caller = caller
        self._remedy = remedy
        self._steady = {name: steadiness(function) for name, function in functions.items()}

    def settle(self) -> None:
        """Looks at them after the solve: what they change themselves they may go on changing."""
        for steady in self._steady.values():
            if steady is not None:
                steady.settle()

    def require(self) -> None:
        """Sees to it that they are what they were.

        Raises:
            RuntimeError: One is not; it says what was changed.
        """
        for name, steady in self._steady.items():
            change = None if steady is None else steady.change()
            if change is not None:
                raise RuntimeError(
                    f"{name} is not what it was in the forward pass of {self._caller}, which calls it again "
                    f"in the backward pass: {change}; change it after backward(){self._remedy}"
                )
