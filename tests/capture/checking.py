"""Fields with checks that raise; in a file of their own, where pytest leaves assertions as they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Checked(nn.Module):
    """A field that grows, with a check."""

    limit = 1e9

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(2.0))
        self.nfe = 0

    def check(self, t: Tensor, y: Tensor, dy: Tensor) -> None:
        raise NotImplementedError

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        dy = self.rate * y
        self.check(t, y, dy)
        return dy


class Asserting(Checked):
    def check(self, t: Tensor, y: Tensor, dy: Tensor) -> None:
        assert (y.abs() < self.limit).all(), f"too large at {t}"


class Raising(Checked):
    def check(self, t: Tensor, y: Tensor, dy: Tensor) -> None:
        if torch.any(dy.abs() > 2 * self.limit):
            raise ValueError("too fast")


class Negated(Checked):
    def check(self, t: Tensor, y: Tensor, dy: Tensor) -> None:
        if not torch.isfinite(y).all() or (y > self.limit).any():
            raise ValueError("not finite")


class OfTime(Checked):
    def check(self, t: Tensor, y: Tensor, dy: Tensor) -> None:
        if t > self.limit:
            raise ValueError("too late")


class Inverted(Checked):
    def check(self, t: Tensor, y: Tensor, dy: Tensor) -> None:
        if not ~(y > self.limit).any():
            raise ValueError("too large")


class Message(Checked):
    def check(self, t: Tensor, y: Tensor, dy: Tensor) -> None:
        if torch.isnan(dy).any():
            text = "no number at {}".format(t.item())  # noqa: UP032
            raise RuntimeError(text)


def of_a_norm(t: Tensor, y: Tensor) -> Tensor:
    assert y.norm() < 1e9
    return -y


def of_a_number(t: Tensor, y: Tensor) -> Tensor:
    assert (y * 0 + 1).prod()
    return -y
