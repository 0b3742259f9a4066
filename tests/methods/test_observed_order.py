"""Every method converges with its own order when its step is fixed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from flashode import METHODS, odeint
from problems import ANALYTIC

# Numbers of steps over which the error goes as its leading term: between too coarse and rounding.
_LOW = ("logistic", 4.0, (64, 96, 128, 192, 256))
_FIFTH = ("whirl", 2.0, (64, 96, 128, 192, 256))
_EIGHTH = ("logistic", 4.0, (10, 12, 16, 24))
RANGE = {5: _FIFTH, 8: _EIGHTH}


@pytest.mark.parametrize("name", METHODS)
def test_observed_order(engine: str, name: str) -> None:
    tableau = METHODS[name]
    problem, end, counts = RANGE.get(tableau.order, _LOW)
    analytic = ANALYTIC[problem]
    t = torch.tensor([0.0, end], dtype=torch.float64)
    errors = []
    for count in counts:
        h = end / count
        adaptive = {"first_step": h, "min_step": h, "max_step": h}
        options = adaptive if tableau.adaptive else {"step_size": h}
        field = analytic.field()
        with torch.no_grad():
            y = odeint(field, analytic.y0, t, method=name, options=options)
        errors.append(float((y[-1] - analytic.solution(t)[-1]).norm()))
    # Each pair of step sizes gives the order by itself, which shows that the range is asymptotic.
    orders = [
        math.log(e1 / e2) / math.log(n2 / n1)
        for e1, e2, n1, n2 in zip(errors[:-1], errors[1:], counts[:-1], counts[1:], strict=True)
    ]
    assert orders == pytest.approx([tableau.order] * len(orders), abs=0.15)
