"""What mixes trajectories is never captured as if they were independent."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from capture.agreement import T, Y, captured_at, true
from flashode.capture import Capture

ATTENTION = nn.MultiheadAttention(3, 1, batch_first=True).eval()


def attended(t: Tensor, y: Tensor) -> Tensor:
    weights = torch.softmax(y @ y.mT / 3**0.5, -1)
    return weights @ y


def attended_by_a_layer(t: Tensor, y: Tensor) -> Tensor:
    out: Tensor = ATTENTION(y[None], y[None], y[None], need_weights=False)[0][0]
    return out


MIXING: dict[str, Callable[[Any, Any], Any]] = {
    "mean": lambda t, y: y - y.mean(0),
    "sum": lambda t, y: y * y.sum(0, keepdim=True),
    "mean of all": lambda t, y: y - y.mean(),
    "norm of all": lambda t, y: y / y.norm(),
    "largest": lambda t, y: y - y.amax(0),
    "softmax": lambda t, y: torch.softmax(y, 0),
    "the first": lambda t, y: y - y[0],
    "the last": lambda t, y: y - y[-1:],
    "neighbours": lambda t, y: torch.roll(y, 1, 0) - y,
    "reversed": lambda t, y: y.flip(0),
    "running sum": lambda t, y: torch.cumsum(y, 0),
    "attention": attended,
    "attention layer": attended_by_a_layer,
    "batch norm": lambda t, y: F.batch_norm(y, None, None, training=True),
    "layer norm of all": lambda t, y: F.layer_norm(y, y.shape),
    "covariance": lambda t, y: y @ (y.mT @ y),
    "flattened": lambda t, y: y.reshape(-1).roll(1).reshape(y.shape),
    "transposed": lambda t, y: (y.mT.reshape(-1, 3) * 2).reshape(y.shape),
    "batch size": lambda t, y: y * y.shape[0],
    "position": lambda t, y: y * torch.arange(y.shape[0])[:, None],
}


@pytest.mark.parametrize("name", MIXING)
def test_no_capture_of_it_is_row_wise(name: str) -> None:
    field = MIXING[name]
    for y in (Y, torch.randn(5, 3), Y[:1]):
        captured = captured_at(field, T, y)
        if isinstance(captured, Capture):
            assert not captured.batched
            true(field, y=y)
