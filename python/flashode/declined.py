"""The answer of a stage that will not do something, with the reason a user can read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Declined:
    """A refusal.

    Attributes:
        reason: one sentence naming the thing that stands in the way.
        absent: whether the stage is not part of this installation; nothing a user wrote could change that.
        raised: whether the user's function raised an exception of its own, which may be about to be seen.
        expected: whether nothing is amiss: another stage is faster, or is what the user asked for.
    """

    reason: str
    absent: bool = False
    raised: bool = False
    expected: bool = False
