"""The solution between the steps."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from flashode import odeint
from flashode.methods import TABLEAUX
from problems import ANALYTIC

ADAPTIVE = [name for name, tableau in TABLEAUX.items() if tableau.control == "error"]


class Polynomial(nn.Module):
    """y' = p'(t) with p of degree 4: the interpolant is a quartic, so it must be p itself."""

    coefficients = (0.3, -1.0, 2.0, 0.7)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        c1, c2, c3, c4 = self.coefficients
        return (c1 + 2 * c2 * t + 3 * c3 * t * t + 4 * c4 * t * t * t).expand(y.shape) + 0 * y

    def solution(self, t: Tensor) -> Tensor:
        c1, c2, c3, c4 = self.coefficients
        return c1 * t + c2 * t**2 + c3 * t**3 + c4 * t**4


@pytest.mark.parametrize("name", ["dopri5", "tsit5", "dopri8"])
def test_quartics_are_reproduced(engine: str, name: str) -> None:
    field = Polynomial()
    t = torch.linspace(0, 1.7, 40, dtype=torch.float64)
    # One large step over all output times, and several.
    for step in (2.0, 0.4):
        options = {"first_step": step, "min_step": step, "max_step": step}
        y = odeint(field, torch.zeros(2, dtype=torch.float64), t, method=name, options=options)
        torch.testing.assert_close(y[:, 0], field.solution(t), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_continuous_across_steps(engine: str, name: str) -> None:
    """The end of a step is the start of the next one, in value and in slope."""
    analytic = ANALYTIC["whirl"]
    h = 0.125
    options = {"first_step": h, "min_step": h, "max_step": h}
    eps = 2.0**-20
    t = torch.tensor([0.0, 2 * h - eps, 2 * h, 2 * h + eps], dtype=torch.float64)
    y = odeint(analytic.field(), analytic.y0, t, method=name, options=options)
    left, right = (y[2] - y[1]) / eps, (y[3] - y[2]) / eps
    torch.testing.assert_close(left, right, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["dopri5", "tsit5", "dopri8"])
def test_order_between_steps(engine: str, name: str) -> None:
    """A quartic errs as the fifth power of the step."""
    analytic = ANALYTIC["forced"]
    errors = []
    counts = (16, 24, 32, 48)
    for count in counts:
        h = 1 / count
        options = {"first_step": h, "min_step": h, "max_step": h}
        t = torch.tensor([0.0, 0.5 + 0.3 * h], dtype=torch.float64)
        y = odeint(analytic.field(), analytic.y0, t, method=name, options=options)
        errors.append(float((y[-1] - analytic.solution(t)[-1]).abs()))
    orders = [
        math.log(e1 / e2) / math.log(n2 / n1)
        for e1, e2, n1, n2 in zip(errors[:-1], errors[1:], counts[:-1], counts[1:], strict=True)
    ]
    assert orders == pytest.approx([5.0] * len(orders), abs=0.15)


def test_outputs_do_not_change_the_steps(engine: str) -> None:
    analytic = ANALYTIC["logistic"]
    sparse = torch.tensor([0.0, 4.0], dtype=torch.float64)
    dense = torch.linspace(0, 4, 33, dtype=torch.float64)
    few, many = analytic.field(), analytic.field()
    last = odeint(few, analytic.y0, sparse)[-1]
    assert torch.equal(odeint(many, analytic.y0, dense)[-1], last)
    assert few.nfe == many.nfe
