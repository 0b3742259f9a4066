"""Gradients in a transpose are added to those in what it transposes."""

from __future__ import annotations

import pytest
import torch

# Numbers before and after; a transpose in front of what it transposes, and behind it; one of a transpose.
JOINS = [
    [(1, 7, 2, 3)],
    [(7, 1, 2, 3)],
    [(7, 1, 2, 3), (13, 1, 2, 3)],
    [(13, 7, 3, 2), (7, 1, 2, 3)],
    [(7, 1, 6, 1)],
]


@pytest.mark.parametrize("joins", JOINS)
def test_each_number_is_the_sum_of_itself_and_what_joins_it(joins: list[tuple[int, int, int, int]]) -> None:
    pytest.importorskip("flashode._flashode")
    from flashode.engines.generated.joined import joined

    size = 21
    expected = [[e] for e in range(size)]
    for begin, of, rows, columns in joins:
        for row in range(rows):
            for column in range(columns):
                e = begin + column * rows + row
                expected[of + row * columns + column] += expected[e]
                expected[e] = []
    starts, sources = joined(size, joins)
    assert starts.dtype == sources.dtype == torch.int64
    assert (int(starts[0]), len(starts)) == (0, size + 1)
    assert [sources[starts[e] : starts[e + 1]].tolist() for e in range(size)] == expected
