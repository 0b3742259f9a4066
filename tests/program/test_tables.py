"""What searches and lookups of a Program mean, and which of them are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from flashode.program import Bucketize, C, Gather, Lookup, Program, T, Y
from tables import KNOTS, PROGRAMS, outside

D = torch.float64


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_search_is_torch_s(dtype: torch.dtype, right: bool) -> None:
    knots = torch.tensor(KNOTS, dtype=dtype)
    x = torch.cat([knots, knots + 0.25, torch.tensor([-9.0, 9.0, torch.nan, torch.inf, -torch.inf])]).to(
        dtype
    )
    program = Program((1, 1, 0, 1), (Bucketize(3, Y, None, 0, 1, right),), 3, ((6,),))
    counts = program.interpret(torch.zeros((), dtype=dtype), x[:, None], [knots])
    assert torch.equal(counts[:, 0].long(), torch.bucketize(x, knots, right=right))
    own = Program((1, 2, 6, 2), (Bucketize(3, Y, C, None, 2, right),), 3)
    c = torch.tensor([[0.0, 1.0, 2.0, -2.0, -1.0, -0.5]], dtype=dtype)
    counts = own.interpret(torch.zeros((), dtype=dtype), torch.tensor([[1.0, -0.7]], dtype=dtype), [], c)
    assert counts.tolist() == [[2.0 if right else 1.0, 2.0]]


def test_a_lookup_is_indexing() -> None:
    table = torch.randn(4, 3, dtype=D, requires_grad=True)
    program = Program(
        (1, 6, 0, 2, 6), (_index(3), Lookup(4, 3, None, 0, (0, 1, 2, 0, 1, 2), 3, 4)), 4, ((4, 3),)
    )
    y = torch.tensor([[0.0, 2.0], [3.0, 3.0]], dtype=D)
    rows = program.interpret(torch.zeros((), dtype=D), y.repeat(1, 3), [table])
    assert torch.equal(rows, table[y.long()].flatten(1))
    cotangent = torch.randn_like(rows)
    (own,) = torch.autograd.grad(rows, table, cotangent)
    (its,) = torch.autograd.grad(table[y.long()].flatten(1), table, cotangent)
    assert torch.equal(own, its)


def _index(out: int) -> Gather:
    return Gather(out, (Y,), (0, 1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_an_index_outside_of_a_table_gives_no_number(dtype: torch.dtype) -> None:
    program, y, rates = outside(dtype)
    table = torch.tensor([10.0, 11.0], dtype=dtype)
    own = program.interpret(torch.zeros((), dtype=dtype), y, [table])
    assert torch.equal(own.nan_to_num(-1.0), rates.nan_to_num(-1.0))


def _lookup(**changes: Any) -> tuple[Any, ...]:
    fields = {"index": Y, "table": C, "parameter": None, "starts": (0, 1), "stride": 2, "count": 3, **changes}
    return (1, 2, 6, 2), (Lookup(3, **fields),), 3, ((6,),)


def _bucketize(**changes: Any) -> tuple[Any, ...]:
    fields = {"x": Y, "knots": C, "parameter": None, "groups": 1, "right": False, **changes}
    return (1, 2, 6, 2), (Bucketize(3, **fields),), 3, ((6,), (0,))


MALFORMED = [
    ("reads outside of a table of 6", _lookup(count=4)),
    ("reads outside of a table of 6", _lookup(starts=(0, 2))),
    ("reads outside of a table of 6", _lookup(starts=(0, -1))),
    ("must be positive", _lookup(stride=0)),
    ("must be positive", _lookup(count=0)),
    ("no multiple of its 2 indices", _lookup(starts=(0, 1, 0))),
    ("no multiple of its 2 indices", _lookup(starts=())),
    ("a value or a parameter", _lookup(parameter=0)),
    ("a value or a parameter", _lookup(table=None)),
    ("parameter 1 of 1 does not exist", _lookup(table=None, parameter=1)),
    ("not written before", _lookup(table=3)),
    ("writes 4 rows where 2", _lookup(starts=(0, 1, 0, 1))),
    ("not 4 equal groups", _bucketize(groups=4)),
    ("not 0 equal groups", _bucketize(groups=0)),
    ("searches 0 knots", _bucketize(knots=None, parameter=1)),
    ("a value or a parameter", _bucketize(knots=None)),
    ("writes 1 rows where 2", _bucketize(x=T)),
]


@pytest.mark.parametrize(("message", "given"), MALFORMED)
def test_malformed_ones_are_refused(message: str, given: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=message):
        Program(*given)


def test_they_are_printed() -> None:
    text = str(PROGRAMS["searches"])
    assert "v3[4] = bucketize(p0, y)\n" in text
    assert "v5[4] = bucketize(c, y, 2 groups)\n" in text
    assert "bucketize(p3, y, 2 groups, right)\n" in text
    assert "shared v4[4] = p1[[0:4] + 4 * (v3 < 7)]\n" in str(PROGRAMS["at time"])
    assert "c[[0:2, 0:4, 3 x 2] + 4 * (" in str(PROGRAMS["at state"])


def test_no_gradient_reaches_knots_or_an_index() -> None:
    assert PROGRAMS["searches"].reach() == (frozenset(), bytes(12))
    ops = (Bucketize(3, Y, None, 0, 1, False), Lookup(4, 3, None, 1, (0, 1), 2, 3))
    program = Program((1, 2, 6, 2, 2), ops, 4, ((6,), (6,)))
    assert program.reach() == (frozenset({1}), bytes(6))


def test_the_rows_of_c_that_a_lookup_reaches() -> None:
    program = Program((1, 1, 6, 1), (Lookup(3, Y, C, None, (1,), 2, 3),), 3)
    assert program.reach().rows == bytes([0, 1, 0, 1, 0, 1])


def test_a_search_costs_as_many_comparisons_as_it_makes() -> None:
    program = Program((1, 2, 0, 2), (Bucketize(3, Y, None, 0, 1, False),), 3, ((100,),))
    assert program.flops() == 2 * 7
