"""Tables that are read at a time or at a state: as eager at knots, before and after them, and within."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from capture.agreement import Field, captured_at, declined, evaluated, must_capture, random
from capture.exactly import D, lowers, same_at, states
from flashode.capture import Capture
from flashode.program import Bucketize, Gather, Lookup

KNOTS = torch.tensor([0.0, 0.25, 0.25, 0.5, 1.0], dtype=D)
# On each knot, between them, outside, and a last number that is just before a knot.
TIMES = (-3.0, 0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0, 9.0, math.nextafter(0.5, 0.0))
TABLE = random(5, 3, seed=1).requires_grad_()
ROWS = random(4, 5, 3, seed=2).requires_grad_()  # one for each trajectory
POINTS = states(*TIMES)


def at_times(func: Field, captured: Capture, y: Tensor, owned: Sequence[Tensor]) -> None:
    """Value and gradients equal eager's at each time, to the last bit in the value."""
    for time in TIMES:
        results = []
        for field in (func, lambda t, y: evaluated(captured, t, y)):
            t, z = torch.tensor(time, dtype=D, requires_grad=True), y.clone().requires_grad_()
            value = field(t, z)
            loss = (value * random(*y.shape, seed=3)).sum() + 0 * t
            results.append([value, *torch.autograd.grad(loss, [t, z, *owned], materialize_grads=True)])
        for eager, own in zip(*results, strict=True):
            torch.testing.assert_close(own, eager, rtol=1e-12, atol=1e-13)


def _clamped(t: Tensor) -> Tensor:
    return torch.bucketize(t, KNOTS).sub(1).clamp(0, 4)


AT_TIME: dict[str, Field] = {
    "bucketize": lambda t, y: y * TABLE[_clamped(t)],
    "bucketize right": lambda t, y: y * TABLE[torch.bucketize(t, KNOTS, right=True).clamp(max=4)],
    "bucketize int32": lambda t, y: y * TABLE[torch.bucketize(t, KNOTS, out_int32=True).clamp(max=4)],
    "searchsorted": lambda t, y: y * TABLE[torch.searchsorted(KNOTS, t).clamp(max=4)],
    "searchsorted right": lambda t, y: y * TABLE[torch.searchsorted(KNOTS, t, side="right").clamp(max=4)],
    "of a vector": lambda t, y: y * TABLE[torch.searchsorted(KNOTS, t[None]).clamp(max=4)].sum(0),
    "among literals": lambda t, y: y * TABLE[torch.bucketize(t, torch.tensor([0.2, 0.5], dtype=D))],
    "knots beyond": lambda t, y: y * TABLE[(t > KNOTS[1:]).sum()],
    "knots at or beyond": lambda t, y: y * TABLE[(KNOTS[:-1] <= t).sum(-1)],
    "counted": lambda t, y: y * TABLE[torch.count_nonzero(t > KNOTS[1:])],
    "truncated": lambda t, y: y * TABLE[(t * 4).long().clamp(0, 4)],
    "floored": lambda t, y: y * TABLE[(t * 4).floor().to(torch.int64).clamp(0, 4)],
    "rounded": lambda t, y: y * TABLE[(t * 4).round().int().clamp(0, 4)],
    "minimum": lambda t, y: y * TABLE[torch.minimum((t.clamp(min=0) * 4).long(), torch.tensor(4))],
    "neighbours": lambda t, y: y * TABLE[_clamped(t) - 1] + TABLE[(_clamped(t) + 1).clamp(max=4)],
    "from the end": lambda t, y: y * TABLE[-1 - _clamped(t)],
    "periodic": lambda t, y: y * TABLE[(t * 4).long() % 5],
    "halves": lambda t, y: (
        y * TABLE[_clamped(t) // 2] + TABLE[torch.div(_clamped(t), 2, rounding_mode="trunc")]
    ),
    "a choice": lambda t, y: y * TABLE[torch.where(t > 0.3, _clamped(t), 0)],
    "in place": lambda t, y: y * TABLE[_clamped(t).add_(1).clamp_(max=4)],
    "a column": lambda t, y: y * TABLE.T[:, _clamped(t)],
    "a number of it": lambda t, y: y * TABLE[_clamped(t), 1],
    "two numbers": lambda t, y: y * TABLE[_clamped(t), _clamped(t).clamp(max=2)],
    "an ellipsis": lambda t, y: y * TABLE.T[..., _clamped(t)],
    "a new axis": lambda t, y: (y[:, None] * TABLE[None, _clamped(t)]).sum(1),
    "a slice beside": lambda t, y: y[:, :2] @ TABLE[_clamped(t), 1:].repeat(3, 1).T,
    "a list beside": lambda t, y: y * TABLE[_clamped(t), [2, 0, 1]],
    "select": lambda t, y: y * TABLE.select(0, _clamped(t)) + torch.select(TABLE, -2, index=_clamped(t)),
    "index_select": lambda t, y: y * TABLE.index_select(0, _clamped(t)),
    "gather": lambda t, y: y * TABLE.gather(0, _clamped(t).expand(1, 3)),
    "embedding": lambda t, y: y * F.embedding(_clamped(t), TABLE),
    "take_along_dim": lambda t, y: y * torch.take_along_dim(TABLE, _clamped(t).expand(1, 3), 0),
    "reversed": lambda t, y: y * TABLE.flip(0)[_clamped(t)],
    "computed": lambda t, y: y * (TABLE.sin() * t)[_clamped(t)],
    "of the state": lambda t, y: y * torch.cat([y, y.sin()], 1)[:, _clamped(t)][:, None],
    "interpolated": lambda t, y: y * torch.lerp(TABLE[_clamped(t)], TABLE[(_clamped(t) + 1).clamp(max=4)], t),
    "the index as a number": lambda t, y: y * _clamped(t) + (t - _clamped(t).to(t.dtype)),
}


@pytest.mark.parametrize("name", AT_TIME)
def test_at_a_time(name: str) -> None:
    func = AT_TIME[name]
    captured = must_capture(func, random(4, 3))
    assert captured.batched
    at_times(func, captured, random(6, 3, seed=5), [TABLE])


OF_TRAJECTORIES: dict[str, Field] = {
    "the second axis": lambda t, y: y * ROWS[:, _clamped(t)],
    "the axis before the last": lambda t, y: y * ROWS[..., _clamped(t), :],
    "a number": lambda t, y: y * ROWS[:, _clamped(t), 1:2],
    "between knots": lambda t, y: y + (t - KNOTS[_clamped(t)]) * ROWS[..., _clamped(t), :],
    "gathered": lambda t, y: y * ROWS.gather(1, _clamped(t).expand(len(y), 1, 3))[:, 0],
    "its own row": lambda t, y: y * ROWS[torch.arange(len(y)), (y[:, 0].abs() * 9).long().clamp(max=4)],
    "two axes of its own": lambda t, y: (
        y * ROWS[torch.arange(y.shape[0]), _of(y)[:, 0], _of(y)[:, 1].clamp(max=2)][:, None]
    ),
    "of the state": lambda t, y: y * ROWS.gather(1, _of(y)[:, None]).squeeze(1),
}


def _of(y: Tensor) -> Tensor:
    """Whole numbers from zero to four."""
    return torch.bucketize(y.detach(), KNOTS[1:])


@pytest.mark.parametrize("name", OF_TRAJECTORIES)
def test_tables_of_trajectories(name: str) -> None:
    func = OF_TRAJECTORIES[name]
    captured = must_capture(func, random(4, 3))
    assert captured.batched
    assert len(captured.carried) == 1
    at_times(func, captured, random(4, 3, seed=5), [ROWS])


GROUPED = torch.tensor([[0.0, 0.25, 0.5], [-1.0, 0.1, 0.25], [0.25, 0.25, 9.0]], dtype=D)

AT_STATE: dict[str, Field] = {
    "bucketize": lambda t, y: y * TABLE[_of(y)][..., 0],
    "a row for each": lambda t, y: y * TABLE[_of(y)].sum(1),
    "knots of each row": lambda t, y: y * torch.searchsorted(GROUPED, y.T.contiguous()).T,
    "knots of each row, right": lambda t, y: y * torch.searchsorted(GROUPED, y.T.contiguous(), right=True).T,
    "the first of them": lambda t, y: y * TABLE[_of(y)[:, 0]],
    "embedding": lambda t, y: y * F.embedding(_of(y), TABLE)[:, 1],
    "index_select": lambda t, y: y * TABLE.index_select(0, _of(y)[:, 1]),
    "gather": lambda t, y: y * TABLE.T.expand(len(y), 3, 5).gather(2, _of(y)[:, :, None])[..., 0],
    "of the state": lambda t, y: y.gather(1, _of(y).clamp(max=2)),
    "sums": lambda t, y: y * TABLE[(y > KNOTS[1:2]).sum(-1)],
    "running": lambda t, y: y * TABLE[(y > 0.25).cumsum(-1)].sum(-1),
    "both": lambda t, y: y * TABLE[_of(y)[:, 0], (_of(y)[:, 1]).clamp(max=2)][:, None],
}


@pytest.mark.parametrize("name", AT_STATE)
def test_at_a_state(name: str) -> None:
    lowers(AT_STATE[name], random(4, 3), [POINTS], [TABLE])


def test_knots_of_each_trajectory() -> None:
    knots = random(4, 6, seed=7).sort(-1).values

    def field(t: Tensor, y: Tensor) -> Tensor:
        return y * torch.searchsorted(knots, y) + torch.searchsorted(knots, t.expand(len(y), 1), right=True)

    captured = must_capture(field, random(4, 3))
    assert len(captured.carried) == 1
    same_at(field, captured, random(4, 3, seed=8))
    same_at(field, captured, knots[:, ::2].contiguous())


def test_what_is_no_number_is_behind_all_knots() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.bucketize(y, KNOTS) + 0.0 * torch.nan_to_num(y)

    captured = must_capture(field, random(4, 3))
    y = states(math.nan, math.inf, -math.inf, 0.25)
    assert torch.equal(evaluated(captured, torch.tensor(0.0, dtype=D), y), field(None, y))


def test_in_single_precision() -> None:
    table, knots = TABLE.detach().float(), KNOTS.float()

    def field(t: Tensor, y: Tensor) -> Tensor:
        index = torch.bucketize(t, knots).sub(1).clamp(0, 4)
        return y * table[index] + table[(t * 5).long().clamp(0, 4)]

    captured = must_capture(field, random(4, 3).float())
    for time in TIMES:
        t, y = torch.tensor(time), random(3, 3).float()
        assert torch.equal(evaluated(captured, t, y), field(t, y))


def test_a_row_at_a_time_is_shared_and_read_in_place() -> None:
    captured = must_capture(AT_TIME["bucketize"], random(4, 3))
    lookups = [op for op in captured.program.ops[: captured.program.shared] if isinstance(op, Lookup)]
    assert [op.parameter is not None for op in lookups] == [True]
    assert not captured.partial
    of_trajectories = must_capture(OF_TRAJECTORIES["the second axis"], random(4, 3)).program
    assert not any(isinstance(op, Gather) for op in of_trajectories.ops)


def test_a_search_is_made_once() -> None:
    captured = must_capture(AT_TIME["neighbours"], random(4, 3))
    assert sum(isinstance(op, Bucketize) for op in captured.program.ops) == 1


PARTIAL: dict[str, tuple[Field, bool]] = {
    "clamped": (lambda t, y: y * TABLE[_clamped(t)], False),
    "wrapping": (lambda t, y: y * TABLE[torch.bucketize(t, KNOTS[:4]) - 5], False),
    "beyond": (lambda t, y: y * TABLE[torch.bucketize(t, KNOTS)], True),
    "before": (lambda t, y: y * TABLE[torch.bucketize(t, KNOTS[:3]) - 6], True),
    "any number": (lambda t, y: y * TABLE[(t * 4).long()], True),
    "a clamped number": (lambda t, y: y * TABLE[(t.clamp(0, 1) * 4).long()], False),
    "a remainder": (lambda t, y: y * TABLE[torch.bucketize(t, KNOTS) % 5], False),
}


@pytest.mark.parametrize("name", PARTIAL)
def test_where_an_index_may_be_outside_is_known(name: str) -> None:
    func, partial = PARTIAL[name]
    assert must_capture(func, random(4, 3)).partial == partial


def test_outside_of_a_table_there_is_no_number() -> None:
    # Nor where the row that is read plays no part in the result: torch raises there as well.
    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(t < 0.5, y * TABLE[(t * 5).long()], y)

    captured, y = must_capture(field, random(4, 3)), random(4, 3)
    for time, inside in ((0.99, True), (-1.0, True), (1.0, False), (-1.2, False), (1e300, False)):
        value = evaluated(captured, torch.tensor(time, dtype=D), y)
        assert bool(value.isfinite().all()) == inside
        assert bool(value.isnan().all()) != inside


REFUSED: dict[str, tuple[str, Field]] = {
    "a sorter": (
        "a sorter",
        lambda t, y: y * torch.searchsorted(KNOTS, y, sorter=torch.arange(5)),
    ),
    "padding": ("padding_idx", lambda t, y: y * F.embedding(_of(y), TABLE, padding_idx=0)[:, 0]),
    "written at an index": ("an index that is computed", lambda t, y: _written(t, y)),
    "other trajectories": ("acts on the batch axis", lambda t, y: y[_of(y)[:, 0]]),
    "written at a number": ("choose where to write", lambda t, y: _written_at(t, y)),
    "bits": ("integers", lambda t, y: y * (_of(y) & 1)),
    "powers": ("int64", lambda t, y: y * _of(y) ** 2),
    "too large": ("larger than", lambda t, y: y * ((t * 4).long() * (1 << 40))),
    "a table in a wider type": (
        "exactly",
        lambda t, y: y * TABLE[torch.bucketize(t, KNOTS.float()).clamp(max=4)].float(),
    ),
}


@pytest.mark.parametrize(
    "field",
    [
        lambda t, y: y[:, _of(y)[:, 0].clamp(max=2)][:, :3].repeat(1, 1) * torch.ones(3, dtype=D),
        lambda t, y: y * torch.arange(len(y))[:, None],
        lambda t, y: y[torch.arange(len(y)).clone()],
        lambda t, y: y.gather(0, torch.arange(len(y))[:, None].expand(-1, 3)),
        lambda t, y: y * torch.arange(len(y))[:, None].gather(1, _of(y)[:, :1] * 0),
        lambda t, y: y[torch.stack([torch.arange(len(y)), _of(y)[:, 0].clamp(max=3)])].sum(0),
    ],
)
def test_what_joins_trajectories_is_one_trajectory(field: Field) -> None:
    captured = must_capture(field, random(4, 3))
    assert not captured.batched
    same_at(field, captured, random(4, 3, seed=6))


def _written(t: Tensor, y: Tensor) -> Tensor:
    out = torch.zeros_like(y)
    out[:, _clamped(t).clamp(max=2)[None]] = 1.0
    return out * y


def _written_at(t: Tensor, y: Tensor) -> Tensor:
    out = torch.zeros_like(y)
    out[:, _clamped(t).clamp(max=2)] = 1.0
    return out * y


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    reason, field = REFUSED[name]
    y = random(4, 3)
    assert reason in declined(field, y.float() if "wider" in name else y)


def test_a_row_that_was_picked_is_not_written_into() -> None:
    def through_the_row(t: Tensor, y: Tensor) -> Tensor:
        out = y.sin()
        out[:, _clamped(t).clamp(max=2)].add_(1.0)
        return out

    def through_the_table(t: Tensor, y: Tensor) -> Tensor:
        out = y.sin()
        row = out[:, _clamped(t).clamp(max=2)]
        out.add_(1.0)
        return row[:, None] * y

    for field in (through_the_row, through_the_table):
        assert "into a row that it picked" in declined(field, random(4, 3))


def test_an_index_outside_at_the_start_is_the_function_s_own_error() -> None:
    captured = captured_at(
        lambda t, y: y * TABLE[(t * 4).long() + 9], torch.tensor(0.3, dtype=D), random(4, 3)
    )
    assert not isinstance(captured, Capture)
    assert captured.raised
