"""Counters of every kind count as they do under the eager engine, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import use_engine

D = torch.float64
NFE = 0
WEIGHT = nn.Parameter(torch.tensor([[-0.5, 1.0], [-1.0, -0.3]], dtype=D))
Counted = tuple[Callable[[Tensor, Tensor], Tensor], Callable[[], int]]


class InTable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stats = {"nfe": 0}

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.stats["nfe"] += 1
        return torch.tanh(y @ WEIGHT)


class InAttribute(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.nfe = 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return torch.tanh(y @ WEIGHT)


def in_a_table() -> Counted:
    net = InTable()
    return net, lambda: net.stats["nfe"]


def in_an_attribute() -> Counted:
    net = InAttribute()
    return net, lambda: net.nfe


def in_a_list() -> Counted:
    count = [0]

    def field(t: Tensor, y: Tensor) -> Tensor:
        count[0] += 1
        return torch.tanh(y @ WEIGHT)

    return field, lambda: count[0]


def in_a_cell() -> Counted:
    calls = 0

    def field(t: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.tanh(y @ WEIGHT)

    return field, lambda: calls


def in_a_global() -> Counted:
    global NFE
    NFE = 0

    def field(t: Tensor, y: Tensor) -> Tensor:
        global NFE
        NFE += 1
        return torch.tanh(y @ WEIGHT)

    return field, lambda: NFE


@pytest.mark.parametrize("make", [in_a_table, in_an_attribute, in_a_list, in_a_cell, in_a_global])
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
@pytest.mark.parametrize("adjoint", [False, True])
def test_counts(make: Callable[[], Counted], method: str, adjoint: bool) -> None:
    def counts(engine: str) -> list[int]:
        field, counted = make()
        arguments: dict[str, Any] = {"adjoint_params": (WEIGHT,)} if adjoint else {}
        solve = flashode.odeint_adjoint if adjoint else flashode.odeint
        results = []
        y0 = torch.ones(8, 2, dtype=D, requires_grad=True)
        with use_engine(engine):
            for steps in (3, 5):
                ys = solve(field, y0, torch.linspace(0.0, 1.0, steps, dtype=D), method=method, **arguments)
                results.append(counted())
                ys.sum().backward()
                results.append(counted())
        return results

    native = counts("native")
    assert native == counts("eager")
    assert native[0] > 0
    assert (native[1] > native[0]) == adjoint
