"""The answer of a stage that declines, with reasons that a user can read."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from dataclasses import dataclass, field, replace

Place = tuple[str, int]  # file, line

MAX_REASONS = 10


@dataclass(frozen=True)
class Reason:
    """One reason to decline; ``str`` says all of it in a line.

    Attributes:
        what: a sentence, in which "it" is the user's function.
        remedy: what to write instead, in the imperative; empty where there is nothing to be done.
        where: the line of the user's code.
        module: the module that it happens in, as its user knows it, such as ``net.1 BatchNorm1d``; empty in
            the function itself.
    """

    what: str
    remedy: str = ""
    where: Place | None = None
    module: str = ""

    @property
    def sentence(self) -> str:
        """What stands in the way, and what to write instead."""
        within = f" in {self.module}" if self.module else ""
        return f"{self.what}{within}{': ' if self.remedy else ''}{self.remedy}"

    def __str__(self) -> str:
        return self.sentence + at(self.where)

    def within(self, where: Place | None, module: str = "") -> Reason:
        """The same, at a place where it says none."""
        return replace(self, where=self.where or where, module=self.module or module)


@dataclass(frozen=True, init=False)
class Declined:
    """A refusal.

    Attributes:
        reasons: what stands in the way, no more than ``MAX_REASONS``.
        absent: whether the stage is not part of this installation.
        raised: whether the only reason is that the user's function raised an exception.
        expected: whether nothing is wrong: another stage is faster, or is what the user asked for.
        settle: makes the first call of the user's function, after which there may be no reason left; None if
            that would change nothing.
    """

    reasons: tuple[Reason, ...]
    absent: bool
    raised: bool
    expected: bool
    settle: Callable[[], None] | None = field(compare=False, repr=False)

    def __init__(
        self,
        *reasons: Reason | str,
        absent: bool = False,
        raised: bool = False,
        expected: bool = False,
        settle: Callable[[], None] | None = None,
    ) -> None:
        distinct = dict.fromkeys(Reason(reason) if isinstance(reason, str) else reason for reason in reasons)
        # A frozen dataclass forbids assignments.
        vars(self).update(
            reasons=tuple(distinct)[:MAX_REASONS],
            absent=absent,
            raised=raised,
            expected=expected,
            settle=settle,
        )

    @property
    def reason(self) -> str:
        """The first of them."""
        return str(self.reasons[0])

    @property
    def summary(self) -> str:
        """The first of them, and how many more there are."""
        more = len(self.reasons) - 1
        return f"{self.reason} (and {more} more: flashode.explain says all)" if more else self.reason


def listed(reasons: tuple[Reason, ...]) -> str:
    """Reasons in one sentence."""
    return "; ".join(map(str, reasons))


def at(place: Place | None) -> str:
    """`` (file:line: source)``, or nothing where the place is unknown."""
    if place is None:
        return ""
    text = source(place)
    return f" ({place[0]}:{place[1]}{': ' if text else ''}{text})"


def source(place: Place) -> str:
    """The text of a line, or nothing where the file cannot be read."""
    return linecache.getline(*place).strip()
