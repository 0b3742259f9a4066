"""Where values are in memory: regions of consecutive items, each at the lowest offset that is free.

An item is what an engine counts: a number of the state's precision, or a row of a tile.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass


def aligned(size: int, alignment: int) -> int:
    """The size with what it takes for the next to begin at a multiple of so many."""
    return -(-size // alignment) * alignment


@dataclass(frozen=True)
class Region:
    """Consecutive items."""

    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first after them."""
        return self.offset + self.size

    def overlaps(self, other: Region) -> bool:
        """Whether they have an item in common."""
        return self.offset < other.end and other.offset < self.end


class Memory:
    """Regions, each at the lowest offset that is free.

    Args:
        begin: The first offset, a multiple of the alignment.
        alignment: Regions begin at multiples of it.

    Attributes:
        end: The first item that none has ever been at.
    """

    def __init__(self, begin: int = 0, alignment: int = 1) -> None:
        self.end = begin
        self._begin = begin
        self._alignment = alignment
        # What is free before the end of the last region, in order; no two of them touch.
        self._gaps: list[Region] = []
        self._last = begin

    def take(self, size: int) -> Region:
        """A region of so many items."""
        if size == 0:
            return Region(self._begin, 0)
        whole = aligned(size, self._alignment)
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
        begin, end = region.offset, region.offset + aligned(region.size, self._alignment)
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
