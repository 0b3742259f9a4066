"""Every method converges with its own order when its step is fixed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from flashode import METHODS, odeint
from flashode.methods import TABLEAUX
from problems import ANALYTIC

# Numbers of steps over which the error goes as its leading term: between too coarse and rounding.
_LOW = ("logistic", 4.0, (64, 96, 128, 192, 256))
_FIFTH = ("whirl", 2.0, (64, 96, 128, 192, 256))
_EIGHTH = ("logistic", 4.0, (10, 12, 16, 24))
RANGE = {5: _FIFTH, 8: _EIGHTH}
# Implicit ones are more accurate for their order.
IMPLICIT_RANGE = {
    4: ("whirl", 2.0, (24, 32, 48, 64)),
    5: ("whirl", 2.0, (48, 64, 96)),
    6: ("whirl", 2.0, (16, 24, 32)),
}


@pytest.mark.parametrize("name", TABLEAUX)
def test_observed_order(engine: str, name: str) -> None:
    tableau = TABLEAUX[name]
    problem, end, counts = (IMPLICIT_RANGE if tableau.equations != "none" else RANGE).get(tableau.order, _LOW)
    orders = observed(name, problem, end, counts)
    assert orders == pytest.approx([tableau.order] * len(orders), abs=0.15)


@pytest.mark.parametrize("max_order", [4, 5])
@pytest.mark.parametrize("name", ["explicit_adams", "implicit_adams"])
def test_observed_order_of_adams_methods(engine: str, name: str, max_order: int) -> None:
    """As many slopes as are kept, one more in the implicit formula."""
    order = max_order - 1 + (name == "implicit_adams")
    orders = observed(name, "logistic", 4.0, (192, 256, 384), max_order=max_order, max_iters=20)
    assert orders == pytest.approx([order] * len(orders), abs=0.15)


def observed(name: str, problem: str, end: float, counts: tuple[int, ...], **options: int) -> list[float]:
    """The order that each pair of step sizes gives by itself, which shows that the range is asymptotic."""
    analytic = ANALYTIC[problem]
    t = torch.tensor([0.0, end], dtype=torch.float64)
    errors = []
    for count in counts:
        h = end / count
        adaptive = {"first_step": h, "min_step": h, "max_step": h}
        arguments = adaptive if METHODS[name].control == "error" else {"step_size": h, **options}
        field = analytic.field()
        with torch.no_grad():
            y = odeint(field, analytic.y0, t, method=name, options=arguments, rtol=1e-13, atol=1e-14)
        errors.append(float((y[-1] - analytic.solution(t)[-1]).norm()))
    return [
        math.log(e1 / e2) / math.log(n2 / n1)
        for e1, e2, n1, n2 in zip(errors[:-1], errors[1:], counts[:-1], counts[1:], strict=True)
    ]
