"""Where values are and where barriers stand is what a search through everything finds, without one."""

from __future__ import annotations

import random

import pytest

from flashode.engines.cuda.barriers import ELEMENTS, Access, Barriers
from flashode.engines.generated.memory import Memory, Region, aligned


@pytest.mark.parametrize("alignment", [1, 4])
@pytest.mark.parametrize("seed", range(20))
def test_a_region_is_at_the_lowest_offset_that_is_free(seed: int, alignment: int) -> None:
    draw = random.Random(seed)
    begin = draw.choice([0, 64])
    memory, taken, end = Memory(begin, alignment), list[Region](), begin
    for _ in range(200):
        if taken and draw.random() < 0.45:
            memory.give_back(taken.pop(draw.randrange(len(taken))))
            continue
        region = memory.take(draw.choice([0, 1, 3, 4, 6, 12, 20]))
        sizes = sorted((aligned(other.end, alignment), other.offset) for other in taken if other.size)
        starts = [begin, *[after for after, _ in sizes]]
        free = [
            start
            for start in starts
            if not any(Region(start, region.size).overlaps(other) for other in taken if other.size)
        ]
        assert region.offset == (min(free) if region.size else begin)
        taken.append(region)
        end = max(end, aligned(region.end, alignment))
        assert memory.end == end


@pytest.mark.parametrize("seed", range(20))
def test_a_barrier_stands_where_any_access_since_the_last_one_conflicts(seed: int) -> None:
    draw = random.Random(seed)
    barriers, since = Barriers(), list[Access]()
    for _ in range(200):
        accesses = [
            Access(
                Region(4 * draw.randrange(600), draw.choice([0, 1, 4, 300])),
                draw.random() < 0.3,
                draw.choice([None, ELEMENTS, "products"]),
            )
            for _ in range(draw.choice([1, 2, 3]))
        ]
        expected = any(new.conflicts(old) for new in accesses for old in since)
        assert barriers.needed(accesses) == expected
        since = [*([] if expected else since), *accesses]


@pytest.mark.parametrize("distinct", [1, 10_000])
def test_operations_that_need_no_barrier_are_not_compared_with_all_before(
    distinct: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a field of thousands of operations would be planned for minutes."""
    compared = 0
    conflicts = Access.conflicts

    def counting(self: Access, other: Access) -> bool:
        nonlocal compared
        compared += 1
        return conflicts(self, other)

    monkeypatch.setattr(Access, "conflicts", counting)
    barriers, count = Barriers(), 2000
    for i in range(count):
        assert not barriers.needed([Access(Region(4 * (i % distinct), 4), True, ELEMENTS)])
    assert compared < 50 * count
