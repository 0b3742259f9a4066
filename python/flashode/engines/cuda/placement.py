"""Where values are in shared memory, and where threads have to wait for each other.

Offsets and sizes count numbers of the state's precision.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable
from dataclasses import dataclass

# Of a size that few regions are larger than, or very many smaller.
_PAGE = 128

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
        # What is free before the end of the last region, in order; no two of them touch.
        self._gaps: list[Region] = []
        self._last = begin

    def take(self, size: int) -> Region:
        """A region of so many numbers."""
        if size == 0:
            return Region(self._begin, 0)
        whole = aligned(size)
        for i, gap in enumerate(self._gaps):
            if whole <= gap.size:
                rest = Region(gap.offset + whole, gap.size - whole)
                self._gaps[i : i + 1] = [rest] if rest.size else []
                return Region(gap.offset, size)
        region = Region(self._last, size)
        self._last += whole
        self.end = max(self.end, self._last)
        return region

    def give_back(self, region: Region) -> None:
        """Makes it free."""
        if region.size == 0:
            return
        begin, end = region.offset, region.offset + aligned(region.size)
        i = bisect(self._gaps, begin, key=lambda gap: gap.offset)
        if i < len(self._gaps) and self._gaps[i].offset == end:
            end = self._gaps.pop(i).end
        if i > 0 and self._gaps[i - 1].end == begin:
            i -= 1
            begin = self._gaps.pop(i).offset
        if end == self._last:
            self._last = begin
        elif end > begin:
            self._gaps.insert(i, Region(begin, end - begin))


# How threads share the elements of a region: each has some of its own, in the order of elements. Where rows
# are farther apart than they are long, elements are not numbered as the numbers in the region are.
ELEMENTS = "elements"
ELEMENTS_APART = "elements of rows apart"


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
        # By the pages of memory that they touch: a field of thousands of operations may need no barrier.
        self._since: dict[int, set[Access]] = {}

    def needed(self, accesses: Iterable[Access]) -> bool:
        """Whether a barrier has to stand before an operation that does this; takes it that there is one."""
        accesses = list(accesses)
        needed = any(
            new.conflicts(old)
            for new in accesses
            for page in _pages(new.region)
            for old in self._since.get(page, ())
        )
        if needed:
            self._since.clear()
        for access in accesses:
            for page in _pages(access.region):
                self._since.setdefault(page, set()).add(access)
        return needed


def _pages(region: Region) -> range:
    return range(region.offset // _PAGE, max(region.end - 1, region.offset) // _PAGE + 1)
