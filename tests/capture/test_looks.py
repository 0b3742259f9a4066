"""Whether a function may be called beside a captured one: found out once, and true of what they are now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import flashode.capture
from flashode.capture import obstacle_beside


class Field(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.seen: list[float] = []
        self.table = {"rate": 1.0}
        self.offsets = np.zeros(2)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if self.seen:
            return y * float(self.offsets[0])
        out: Tensor = self.layer(y) * self.table["rate"]
        return out


class Norm:
    factors = (1.0,)

    def __init__(self) -> None:
        self.weight = torch.ones(2)
        self.seen: list[Any] = []
        self.array = np.ones(2)

    def __call__(self, y: Tensor) -> Tensor:
        self.seen.append(float(y.sum()) * self.factors[0] * self.array[0])
        return (self.weight * y).abs().max()


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    flashode.capture._looks_beside.clear()
    walked: list[Any] = []
    watch = flashode.capture.watch

    def walking(func: Any, **named: Any) -> Any:
        walked.append(func)
        return watch(func, **named)

    monkeypatch.setattr(flashode.capture, "watch", walking)
    return walked


def test_functions_are_walked_once(walks: list[Any]) -> None:
    field, norm = Field(), Norm()
    for _ in range(3):
        assert obstacle_beside(field, norm) is None
        # Others of their kind are looked at as well.
        assert obstacle_beside(Field(), Norm()) is None
    assert len(walks) == 2


def _list(field: Field, norm: Norm) -> None:
    norm.seen = field.seen


def _weight(field: Field, norm: Norm) -> None:
    norm.weight = field.layer.weight.detach()[0]


def _array(field: Field, norm: Norm) -> None:
    norm.array = field.offsets[:]


def _field_s_own(field: Field, norm: Norm) -> None:
    field.offsets = norm.array[::-1]
    norm.array = field.offsets.copy()
    field.offsets = norm.array


@pytest.mark.parametrize("change", [_list, _weight, _array, _field_s_own])
def test_what_they_come_to_share_is_seen(walks: list[Any], change: Callable[[Field, Norm], None]) -> None:
    field, norm = Field(), Norm()
    assert obstacle_beside(field, norm) is None
    change(field, norm)
    obstacle = obstacle_beside(field, norm)
    assert obstacle is not None
    assert "shares" in obstacle
    # Not in others of their kind.
    assert obstacle_beside(Field(), Norm()) is None


def test_an_attribute_that_hides_one_of_the_class(walks: list[Any]) -> None:
    field, norm = Field(), Norm()
    assert obstacle_beside(field, norm) is None
    norm.factors = field.seen  # type: ignore[assignment]
    obstacle = obstacle_beside(field, norm)
    assert obstacle is not None
    assert "shares" in obstacle
    assert len(walks) == 3


def test_a_list_that_grows_is_walked_when_it_is_too_long_to_watch(walks: list[Any]) -> None:
    field, norm = Field(), Norm()
    norm.seen = [0.0] * 1000
    for _ in range(2):
        assert obstacle_beside(field, norm) is None
    assert len(walks) == 3
    norm.seen[500] = field.layer.weight.detach()
    obstacle = obstacle_beside(field, norm)
    assert obstacle is not None
    assert "the memory of a tensor" in obstacle
