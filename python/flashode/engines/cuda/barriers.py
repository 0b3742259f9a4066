"""Where threads have to wait for each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flashode.engines.generated.memory import Region

# Of a size that few regions are larger than, or very many smaller.
_PAGE = 128

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
