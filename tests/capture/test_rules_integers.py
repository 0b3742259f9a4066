"""Integers that depend on t or y, computed with as torch computes with integers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from capture.agreement import Field, declined, evaluated, must_capture, random
from capture.exactly import D, lowers, states

POINTS = states(-2.5, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.5)


def _whole(y: Tensor) -> Tensor:
    """From -3 to 3, by truncation."""
    return y.clamp(-3, 3).long()


# 1/x tells zeros apart.
FIELDS: dict[str, Field] = {
    "truncated": lambda t, y: y + _whole(y),
    "a zero without a sign": lambda t, y: y + torch.sign(1.0 / _whole(y).to(y.dtype)).clamp(-1, 1),
    "negated": lambda t, y: y + (1.0 / (-_whole(y)).to(y.dtype)).clamp(-9, 9),
    "times": lambda t, y: y + (1.0 / (_whole(y) * -2).to(y.dtype)).clamp(-9, 9),
    "subtracted": lambda t, y: y + (1.0 / (0 - _whole(y)).to(y.dtype)).clamp(-9, 9),
    "products": lambda t, y: y * (_whole(y) * _whole(2 * y)),
    "sums": lambda t, y: y * (_whole(y) + 2 * _whole(2 * y) - 1),
    "added with a factor": lambda t, y: y * torch.add(_whole(y), _whole(2 * y), alpha=3),
    "floor division": lambda t, y: y * (_whole(y) // 2),
    "truncating division": lambda t, y: y * torch.div(_whole(y), 2, rounding_mode="trunc"),
    "division by a negative": lambda t, y: y * (_whole(y) // -2),
    "division by what varies": lambda t, y: y * (_whole(3 * y) // (_whole(y).abs() + 1)),
    "remainder": lambda t, y: y * (_whole(y) % 3) + (_whole(y) % -2),
    "remainder of what varies": lambda t, y: y * (7 % (_whole(y).abs() + 1)),
    "fmod": lambda t, y: y * torch.fmod(_whole(y), 2),
    "absolute": lambda t, y: y * _whole(y).abs(),
    "signs": lambda t, y: y * torch.sign(_whole(y)),
    "minimum": lambda t, y: y * torch.minimum(_whole(y), _whole(2 * y)),
    "maximum": lambda t, y: y * torch.maximum(_whole(y), torch.tensor(1)),
    "clamped": lambda t, y: y * _whole(y).clamp(-1, 2),
    "chosen": lambda t, y: y * torch.where(y > 0, _whole(y), 7),
    "filled": lambda t, y: y * _whole(y).masked_fill(y > 0, 4),
    "summed": lambda t, y: y * _whole(y).sum(-1, keepdim=True),
    "running": lambda t, y: y * _whole(y).cumsum(-1),
    "the largest": lambda t, y: y * _whole(y).amax(-1, keepdim=True) + _whole(y).min(),
    "compared": lambda t, y: y * (_whole(y) < _whole(2 * y)) + (_whole(y) == 1),
    "of booleans": lambda t, y: y * ((y > 0).long() - (y < -0.5).int()),
    "in int32": lambda t, y: y * (y.clamp(-3, 3).int() * 3 + 1),
    "in int8": lambda t, y: y * (y.clamp(-3, 3).to(torch.int8) * 3),
    "widened": lambda t, y: y * (y.clamp(-3, 3).int().long() * 2),
    "in place": lambda t, y: y * _whole(y).mul_(3).sub_(1).clamp_(min=-4),
    "reshaped": lambda t, y: y * _whole(y).flip(-1)[..., [1, 0, 2]],
    "rounded": lambda t, y: y * y.clamp(-3, 3).round().long() + y.clamp(-3, 3).floor().int(),
    "any number": lambda t, y: y * (y * 1e3).long(),
    "into a number again": lambda t, y: y - _whole(y).to(y.dtype),
    "divided": lambda t, y: y + _whole(y).to(y.dtype) / 3,
}


@pytest.mark.parametrize("name", FIELDS)
def test_integers(name: str) -> None:
    if name == "the largest":
        captured = must_capture(FIELDS[name], random(4, 3))
        y = random(4, 3, seed=3)
        assert torch.equal(evaluated(captured, torch.tensor(0.3, dtype=D), y), FIELDS[name](None, y))
        return
    lowers(FIELDS[name], random(4, 3), [POINTS])


@pytest.mark.parametrize("dtype", [torch.float32, D], ids=str)
def test_a_number_too_large_leaves_no_value(dtype: torch.dtype) -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return y * 0 + (y.long() + 1).to(y.dtype)

    captured = must_capture(field, random(4, 3).to(dtype))
    assert captured.partial
    exact = {torch.float32: 2.0**23, D: 2.0**52}[dtype]
    y = torch.tensor([[exact - 1, -exact, 1.0], [exact * 2, 1.0, 1.0], [torch.nan, 0.0, 0.0]], dtype=dtype)
    rates = evaluated(captured, torch.tensor(0.0, dtype=dtype), y)
    assert torch.equal(rates[0], field(None, y)[0])
    assert rates[1:].isnan().all()


def test_a_division_by_zero_leaves_no_value() -> None:
    captured = must_capture(lambda t, y: y * (3 // _whole(y + 9)), random(4, 3))
    rates = evaluated(
        captured, torch.tensor(0.0, dtype=D), torch.tensor([[-9.0, 1.0, 1.0], [1.0, 1.0, 1.0]]).to(D)
    )
    assert rates[0].isnan().all()
    assert rates[1].isfinite().all()


REFUSED: dict[str, Field] = {
    "overflow of int8": lambda t, y: y * (y.clamp(-3, 3).to(torch.int8) * 100),
    "larger than is exact": lambda t, y: y * (y.long() * (1 << 30) * (1 << 30)),
    "bits": lambda t, y: y * (_whole(y) & 1),
    "shifts": lambda t, y: y * (_whole(y).abs() << 1),
    "powers": lambda t, y: y * _whole(y) ** 2,
    "mixed with single precision": lambda t, y: y * (_whole(y) * torch.tensor([0.5])).double(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    declined(REFUSED[name], random(4, 3))
