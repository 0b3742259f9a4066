"""Whatever is done to tables, knots and indices between solves: a capture reads them as they are, or ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from capture.agreement import Field, captured_at, declined, evaluated, must_capture, random
from flashode.capture import Capture

D = torch.float64
TIMES = (0.0, 0.2, 0.25, 0.6, 0.99)


class Controlled(nn.Module):
    """Reads a table at a time, by knots, by a number and by a table of places."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(random(5, 3, seed=1))
        self.register_buffer("knots", torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=D))
        self.register_buffer("places", torch.tensor([3, 0, 2, 1, 4]))
        self.register_buffer("first", torch.tensor(1))
        self.right = False
        self.scale = 4

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        index = torch.bucketize(t, self.knots, right=self.right)
        other = (t * self.scale).long().clamp(max=len(self.table) - 1)
        row = self.table[self.places[index]] + self.table[self.first]
        return y * row + self.table[other]


def _set(name: str, value: Tensor) -> Callable[[Any], None]:
    return lambda field: setattr(field, name, value)


CHANGES: dict[str, Callable[[Any], object]] = {
    "nothing": lambda field: None,
    "the table in place": lambda field: field.table.data.mul_(2.0),
    "a row of the table": lambda field: field.table.data[1].fill_(7.0),
    "another table": _set("table", nn.Parameter(random(5, 3, seed=2))),
    "a longer table": _set("table", nn.Parameter(random(9, 3, seed=2))),
    "a table of another layout": _set("table", nn.Parameter(random(3, 5, seed=2).T)),
    "a wider table that broadcasts": _set("table", nn.Parameter(random(5, 1, seed=2))),
    "the table's own memory": lambda field: field.table.data.set_(random(6, 3, seed=3)),
    "the knots in place": lambda field: field.knots.add_(0.1),
    "one knot": lambda field: field.knots[1].fill_(0.4),
    "other knots": _set("knots", torch.tensor([0.1, 0.3, 0.5, 0.7], dtype=D)),
    "fewer knots": _set("knots", torch.tensor([0.5], dtype=D)),
    "knots in disorder": _set("knots", torch.tensor([0.5, 0.1, 0.7, 0.2], dtype=D)),
    "the places in place": lambda field: field.places.copy_(torch.tensor([4, 4, 1, 1, 0])),
    "other places": _set("places", torch.tensor([1, 2, 3, 4, 0])),
    "places from the end": _set("places", torch.tensor([-1, -2, -3, -4, -5])),
    "places of another type": _set("places", torch.tensor([1, 2, 3, 4, 0], dtype=torch.int32)),
    "the first row in place": lambda field: field.first.fill_(3),
    "another first row": _set("first", torch.tensor(-1)),
    "the side": lambda field: setattr(field, "right", True),
    "the scale": lambda field: setattr(field, "scale", 9),
    "frozen": lambda field: field.table.requires_grad_(False),
}


def agrees(field: Any, batch: int = 4) -> None:
    """Compares the capture, if there is one, with the function as it is now."""
    y = random(batch, 3)
    captured = captured_at(field, torch.tensor(0.3, dtype=D), y)
    assert isinstance(captured, Capture), captured
    for time in TIMES:
        t = torch.tensor(time, dtype=D)
        results = []
        for each in (field, lambda t, y: evaluated(captured, t, y)):
            value = each(t, y)
            grads: tuple[Any, ...] = ()
            if value.requires_grad:
                grads = torch.autograd.grad(value.square().sum(), [field.table])
            results.append([value, *grads])
        for own, its in zip(*results, strict=True):
            torch.testing.assert_close(own, its, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_between_solves_is_followed(name: str) -> None:
    field = Controlled()
    agrees(field)
    CHANGES[name](field)
    agrees(field)
    agrees(field, batch=7)
    CHANGES["a longer table"](field)
    agrees(field)


class OfTrajectories(nn.Module):
    """Has a table for each trajectory, and the knots of each."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(random(4, 5, 3, seed=1))
        self.register_buffer("knots", random(4, 4, seed=2).sort(-1).values)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        index = torch.searchsorted(self.knots, t.expand(len(self.knots), 1))
        return (
            y * self.table.gather(1, index[..., None].expand(-1, 1, 3))[:, 0] + self.table[:, (t * 5).long()]
        )


CHANGES_OF_TRAJECTORIES: dict[str, Callable[[Any], object]] = {
    "the table in place": lambda field: field.table.data.mul_(2.0),
    "another table": _set("table", nn.Parameter(random(4, 5, 3, seed=5))),
    "a longer table": _set("table", nn.Parameter(random(4, 8, 3, seed=5))),
    "one for all": lambda field: setattr(
        field, "table", nn.Parameter(random(1, 5, 3, seed=5).expand(4, 5, 3).clone())
    ),
    "the knots in place": lambda field: field.knots.sub_(0.3),
    "fewer knots": _set("knots", random(4, 2, seed=6).sort(-1).values),
}


@pytest.mark.parametrize("name", CHANGES_OF_TRAJECTORIES)
def test_a_change_of_what_belongs_to_trajectories_is_followed(name: str) -> None:
    field = OfTrajectories()
    agrees(field)
    CHANGES_OF_TRAJECTORIES[name](field)
    agrees(field)


OF_THE_BATCH: dict[str, Field] = {
    "counted over it": lambda t, y: y * TABLE[(y > 0).sum().clamp(max=4)],
    "its size": lambda t, y: y * TABLE[(t * len(y)).long().clamp(max=4)],
    "another's state": lambda t, y: y * TABLE[(y[0, 0] > 0).long()],
}
TABLE = random(5, 3, seed=1)


@pytest.mark.parametrize("name", OF_THE_BATCH)
def test_an_index_that_depends_on_the_batch_is_not_a_trajectory_s_own(name: str) -> None:
    field = OF_THE_BATCH[name]
    for batch in (4, 6):
        y = random(batch, 3)
        captured = must_capture(field, y)
        assert not captured.batched
        for time in TIMES:
            t = torch.tensor(time, dtype=D)
            torch.testing.assert_close(evaluated(captured, t, y), field(t, y))


def test_integers_that_belong_to_trajectories_are_declined() -> None:
    rows = torch.tensor([0, 3, 1, 2])
    captured = captured_at(lambda t, y: y * TABLE[rows], torch.tensor(0.3, dtype=D), random(4, 3))
    # As one trajectory, whose places stay as they are.
    assert isinstance(captured, Capture)
    assert not captured.batched


def test_a_number_read_of_an_index_is_declined() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return y * TABLE[int(torch.bucketize(t, TABLE[:, 0].sort().values).clamp(max=4))]

    assert "into a Python number" in declined(field, random(4, 3))


def test_a_list_is_not_a_table() -> None:
    rows = [TABLE[0], TABLE[1]]
    assert "into a Python number" in declined(lambda t, y: y * rows[(t > 0.5).long()], random(4, 3))


def test_what_is_looked_up_may_be_off_from_call_to_call() -> None:
    # The function wraps its index in Python: the two traces differ.
    calls: list[int] = []

    def field(t: Tensor, y: Tensor) -> Tensor:
        calls.append(0)
        return y * TABLE[(t * 4).long() + len(calls) % 2]

    assert declined(field, random(4, 3))
