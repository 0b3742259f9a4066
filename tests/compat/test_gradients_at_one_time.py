"""Where there is one time only, nothing but the initial state has a gradient."""

from __future__ import annotations

import pytest
import torch
import torchdiffeq

import flashode
from compat.cases import values
from problems import Network


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_parameters_get_none(engine: str, method: str) -> None:
    t = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    y0 = values(4, 3).requires_grad_()
    counts = []
    for library in (torchdiffeq, flashode):
        func = Network()
        solution = library.odeint(func, y0, t, method=method)
        assert torch.equal(solution, y0[None])
        inputs = [y0, t, *func.parameters()]
        first, *others = torch.autograd.grad(solution.sum(), inputs, allow_unused=True)
        assert first is not None
        assert torch.equal(first, torch.ones_like(y0))
        assert others == [None] * len(others)
        counts.append(func.nfe)
    assert counts[0] == counts[1]
