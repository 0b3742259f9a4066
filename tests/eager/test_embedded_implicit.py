"""An implicit method that estimates its error chooses its steps."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

import flashode
from flashode.methods import METHODS, TABLEAUX, Tableau
from flashode.methods.interpolants import CUBIC
from flashode.methods.tableau import minus, root
from rooted_trees import residuals

D = torch.float64
W = root(2) / 4
# The embedded weights of Hosea and Shampine, Applied Numerical Mathematics 20, 1996.
THIRD_ORDER = ((1 - W) / 3, W + Fraction(1, 3), (1 - root(2) / 2) / 3)


def embedded() -> Tableau:
    published = TABLEAUX["trbdf2"]
    return replace(published, b_error=minus(published.b, THIRD_ORDER), interpolant=CUBIC)


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(METHODS, "trbdf2", embedded())
    return "trbdf2"


def relaxation(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Follows the cosine, and anything else for a thousandth of the time."""
    return -1000 * (y - torch.cos(t)) - torch.sin(t)


def test_facts() -> None:
    tableau = embedded()
    assert (tableau.control, tableau.equations, tableau.carried) == ("error", "diagonal", True)
    for order in (1, 2, 3):
        assert max(map(abs, residuals(tableau, THIRD_ORDER, order, Fraction(1)))) < 1e-35


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5])
def test_follows_a_stiff_solution(method: str, tolerance: float) -> None:
    t = torch.linspace(0, 3, 20, dtype=D)
    y0 = torch.tensor([1.5], dtype=D)
    with flashode.use_engine("eager"), flashode.record() as report:
        y = flashode.odeint(relaxation, y0, t, method=method, rtol=tolerance, atol=tolerance)
    expected = torch.cos(t) + 0.5 * torch.exp(-1000 * t)
    assert float((y[:, 0] - expected).abs().max()) < 10 * tolerance
    # An explicit method takes a step in each two thousandths.
    assert report.solves[0].evaluations < 1000


def test_prescribed_times_and_events(method: str) -> None:
    def event(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return y[0]

    y0 = torch.ones(1, dtype=D)
    with flashode.use_engine("eager"):
        t, _ = flashode.odeint_event(
            relaxation,
            y0,
            torch.tensor(0.0, dtype=D),
            event_fn=event,
            method=method,
            options={"step_t": [0.25], "jump_t": [0.5]},
            rtol=1e-6,
            atol=1e-6,
        )
    assert float(t) == pytest.approx(torch.pi / 2, abs=1e-4)


def test_gradient(method: str) -> None:
    def end(y0: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        with flashode.use_engine("eager"):
            t = torch.tensor([0.0, 0.4, 1.0], dtype=D)
            options = {"first_step": 0.1, "min_step": 0.1, "max_step": 0.1}
            y = flashode.odeint(lambda t, y: -rate * y**2, y0, t, method=method, options=options)
        return y[1:]

    inputs = (torch.tensor([1.0, 0.5], dtype=D), torch.tensor(2.0, dtype=D))
    assert torch.autograd.gradcheck(end, tuple(x.requires_grad_() for x in inputs))


def test_other_engines_leave_it_to_this_one(method: str, compiled: None) -> None:
    t, y0 = torch.tensor([0.0, 1.0], dtype=D), torch.ones(1, dtype=D)
    with flashode.use_engine("native"), pytest.raises(ValueError, match="implicit and chooses its steps"):
        flashode.odeint(relaxation, y0, t, method=method)
