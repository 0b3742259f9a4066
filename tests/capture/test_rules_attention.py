"""Attention among the nodes of a trajectory."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from capture.agreement import Field, must_capture, random
from capture.exactly import lowers

attention = F.scaled_dot_product_attention
MASK = torch.tensor([[1, 0, 1], [1, 1, 0], [0, 1, 1]]).bool()


def heads(y: Tensor) -> Tensor:
    return y.unflatten(-1, (2, 2)).transpose(1, 2)


def joined(y: Tensor) -> Tensor:
    return y.transpose(1, 2).flatten(2)


FIELDS: dict[str, Field] = {
    "three dimensions": lambda t, y: attention(y, y.sin(), y.cos()),
    "heads": lambda t, y: joined(attention(heads(y), heads(y.sin()), heads(y) * t)),
    "causal": lambda t, y: joined(attention(heads(y), heads(y.sin()), heads(y), is_causal=True)),
    "scale": lambda t, y: joined(attention(heads(y), heads(y), heads(y), scale=0.3)),
    "mask": lambda t, y: joined(attention(heads(y), heads(y), heads(y), attn_mask=MASK)),
    "mask of numbers": lambda t, y: joined(
        attention(heads(y), heads(y), heads(y), attn_mask=(MASK.double() - 1) * 3)
    ),
    "mask and three dimensions": lambda t, y: attention(y, y, y, attn_mask=MASK),
    "by hand": lambda t, y: torch.softmax(y @ y.mT / 2 - 1e9 * ~MASK, -1) @ y,
}


@pytest.mark.parametrize("name", FIELDS)
def test_attention(name: str) -> None:
    lowers(FIELDS[name], random(5, 3, 4), rtol=1e-8)


@pytest.mark.parametrize("name", FIELDS)
def test_trained_attention(name: str) -> None:
    """With weights that require gradients torch takes another way than without."""
    layer = nn.Linear(4, 4).double()
    lowers(lambda t, y: FIELDS[name](t, layer(y)), random(5, 3, 4), (), list(layer.parameters()), rtol=1e-8)


class Attention(nn.Module):
    def __init__(self, **options: object) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True, **options)
        self.mask = MASK

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        result: Tensor = self.attention(y, y, y * t, need_weights=False)[0]
        weighted, _ = self.attention(y, y, y, attn_mask=~self.mask)
        return result + weighted


MODULES: dict[str, Callable[[], nn.Module]] = {
    "trained": Attention,
    "evaluated": lambda: Attention().eval(),
    "without dropout": lambda: Attention(dropout=0.3).eval(),
    "without bias": lambda: Attention(bias=False),
}


@pytest.mark.parametrize("name", MODULES)
def test_multihead_attention(name: str) -> None:
    torch.manual_seed(0)
    func = MODULES[name]().double()
    lowers(func, random(5, 3, 4), (), list(func.parameters()), rtol=1e-8)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True, activation="gelu")

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.block(y)
        return out


@pytest.mark.parametrize("training", [True, False])
def test_transformer_block(training: bool) -> None:
    torch.manual_seed(0)
    func = Block().double().train(training)
    lowers(func, random(5, 3, 4), (), list(func.parameters()), rtol=1e-7)


def test_attention_over_the_batch_is_one_trajectory() -> None:
    assert not must_capture(lambda t, y: attention(y, y, y), random(4, 3)).batched
