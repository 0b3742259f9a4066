"""Whether a function is still the one that a solve ran, on which a reverse pass that calls it depends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from flashode.capture.guards.guard_code import Check
from flashode.capture.weighing import weight_of_check

# The function's tensors, each with its version and the address of its memory, which may be exchanged.
_One = tuple[Tensor, int, int]


@dataclass(eq=False)
class Look:
    """How to look at functions of one kind.

    Attributes:
        check: finds out whether a function is of that kind, and picks its tensors.
        names: what a user calls each of these.
        weight: as of all that a cache keeps.
        used: likewise.
    """

    check: Check
    names: tuple[str, ...]
    weight: int = field(init=False)
    used: int = 0

    def __post_init__(self) -> None:
        self.weight = weight_of_check(self.check)


class Steadiness:
    """What a function depends on, as it was during a solve.

    Made before the solve; what the function itself changes meanwhile, such as a count of its calls, may go on
    changing.
    """

    def __init__(self, func: Callable[..., Any], look: Look) -> None:
        """Looks at the function before the solve.

        Args:
            func: the function.
            look: how to look at it.
        """
        self._func = func
        self._check = look.check
        self._names = look.names
        self._seen = self._look()
        self._steady: dict[int, _One] | None = None

    def settle(self) -> None:
        """Looks at it after the solve."""
        before, after = self._seen, self._look()
        if before is None or after is None:
            return
        self._steady = {
            place: now
            for place, (then, now) in enumerate(zip(before, after, strict=True))
            if then[0] is now[0] and then[1:] == now[1:]
        }

    def change(self) -> str | None:
        """What is not as it was after the solve, which the solve itself does not change; None if all is."""
        if self._steady is None:
            return None
        now = self._look()
        if now is None:
            return "something that it reads was changed"
        for place, (tensor, *content) in self._steady.items():
            found, *present = now[place]
            if found is not tensor:
                return f"another tensor was put in the place of {self._names[place]}"
            if present != content:
                return f"{self._names[place]} was changed in place"
        return None

    def _look(self) -> list[_One] | None:
        bound = self._check(self._func)
        if bound is None:
            return None
        return [(tensor, tensor._version, tensor.data_ptr()) for tensor in bound[0]]
