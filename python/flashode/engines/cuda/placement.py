"""Where values are in shared memory, and where threads have to wait for each other.

Offsets and sizes count numbers of the state's precision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Numbers that a thread loads at once begin at a multiple of this.
ALIGNMENT = 4


def aligned(size: int) -> int:
    """The size with what it takes for the next to begin where it may."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Region:
    """Consecutive numbers."""

    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first after them."""
        return self.offset + self.size

    def overlaps(self, other: Region) -> bool:
        """Whether they have a number in common."""
        return self.offset < other.end and other.offset < self.end


class Memory:
    """Regions, each at the lowest offset that is free.

    Attributes:
        end: The first number that none has ever been at.
    """

    def __init__(self, begin: int = 0) -> None:
        self.end = begin
        self._begin = begin
        self._taken: list[Region] = []

    def take(self, size: int) -> Region:
        """A region of so many numbers."""
        at = self._begin
        for region in self._taken:
            if at + size <= region.offset:
                break
            at = max(at, aligned(region.end))
        region = Region(at, size)
        self._taken = sorted([*self._taken, region], key=lambda taken: taken.offset)
        self.end = max(self.end, aligned(region.end))
        return region

    def give_back(self, region: Region) -> None:
        """Makes it free."""
        self._taken.remove(region)


# How threads share the elements of a region: each has some of its own, in the order of elements.
ELEMENTS = "elements"


@dataclass(frozen=True)
class Access:
    """What an operation does to a region.

    Attributes:
        region: Which.
        writes: Whether it writes there.
        share: How threads share its elements; None where they read or write each other's.
    """

    region: Region
    writes: bool
    share: str | None = None

    def conflicts(self, other: Access) -> bool:
        """Whether a thread may touch what another has written, or write what another has yet to read."""
        if not (self.writes or other.writes) or not self.region.overlaps(other.region):
            return False
        return self.share is None or self.share != other.share or self.region != other.region


class Barriers:
    """Finds which operations have to wait until all threads are done with those before."""

    def __init__(self) -> None:
        self._since: list[Access] = []

    def needed(self, accesses: Iterable[Access]) -> bool:
        """Whether a barrier has to stand before an operation that does this; takes it that there is one."""
        accesses = list(accesses)
        needed = any(new.conflicts(old) for new in accesses for old in self._since)
        if needed:
            self._since.clear()
        self._since += accesses
        return needed
