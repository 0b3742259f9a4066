"""The same call gives torchdiffeq's values with torchdiffeq's number of evaluations."""

from __future__ import annotations

import pytest
import torch
import torchdiffeq
from compat.cases import ADAPTIVE, CASES, PAIRS, parts

from flashode import odeint


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_values_and_evaluations(engine: str, name: str, method: str) -> None:
    case = CASES[name]
    theirs, ours = case.make(), case.make()
    with torch.no_grad():
        expected = torchdiffeq.odeint(theirs, case.y0, case.t, **case.arguments(method))
        found = odeint(ours, case.y0, case.t, **case.arguments(method))
    assert isinstance(found, tuple) == isinstance(expected, tuple)
    single = parts(case.y0)[0].dtype == torch.float32
    rounding = 1e-5 if single else 1e-12
    for i, (x, y) in enumerate(zip(parts(found), parts(expected), strict=True)):
        assert x.dtype == parts(case.y0)[i].dtype
        rtol, atol = (rounding, rounding)
        if method in ADAPTIVE:
            rtol, atol = (10 * _largest(tolerance, i) for tolerance in (case.rtol, case.atol))
        torch.testing.assert_close(x, y, rtol=rtol, atol=atol)
    assert ours.nfe == theirs.nfe


def _largest(tolerance: object, component: int) -> float:
    if isinstance(tolerance, tuple):
        tolerance = tolerance[component]
    return float(torch.as_tensor(tolerance).max())


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_times_of_the_evaluations(engine: str, method: str) -> None:
    """Every evaluation happens at the same time, to the last bit but one: also the one just before a step's end."""
    options = {"first_step": 0.25} if method == "dopri5" else {"perturb": True}

    class Recorder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[float] = []

        def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            self.seen.append(float(t))
            return torch.cos(t) - y

    t = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    y0 = torch.ones(2, dtype=torch.float64)
    theirs, ours = Recorder(), Recorder()
    torchdiffeq.odeint(theirs, y0, t, method=method, options=options)
    odeint(ours, y0, t, method=method, options=options)
    assert ours.seen == pytest.approx(theirs.seen, rel=3e-16, abs=0)
    assert all(isinstance(x, float) for x in ours.seen)
