"""The same call gives torchdiffeq's values with torchdiffeq's number of evaluations."""

from __future__ import annotations

from functools import cache

import pytest
import torch
import torchdiffeq

from compat.cases import ADAPTIVE, CASES, PAIRS, State, parts
from flashode import odeint

# Adams iterations that do not converge: test_adams looks at the warnings.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Functional iteration did not converge", "ignore::flashode.ConvergenceWarning"
)


@cache
def reference(name: str, method: str) -> tuple[State, int]:
    """What torchdiffeq gives, and its evaluations; the same for every engine."""
    case = CASES[name]
    func = case.make()
    with torch.no_grad():
        return torchdiffeq.odeint(func, case.y0, case.t, **case.arguments(method)), func.nfe


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_values_and_evaluations(engine: str, name: str, method: str) -> None:
    case = CASES[name]
    arguments = case.arguments(method)
    func = case.make()
    with torch.no_grad():
        solution = odeint(func, case.y0, case.t, **arguments)
    expected, evaluations = reference(name, method)
    assert isinstance(solution, tuple) == isinstance(expected, tuple)
    single = torch.float32 in (parts(case.y0)[0].dtype, case.t.dtype)
    rounding = 1e-5 if single else 1e-12
    for i, (x, y) in enumerate(zip(parts(solution), parts(expected), strict=True)):
        assert x.dtype == parts(case.y0)[i].dtype
        rtol, atol = (rounding, rounding)
        if method in ADAPTIVE:
            rtol, atol = (10 * _largest(arguments[tolerance], i) for tolerance in ("rtol", "atol"))
        torch.testing.assert_close(x, y, rtol=rtol, atol=atol)
    assert func.nfe == evaluations


def _largest(tolerance: object, component: int) -> float:
    if isinstance(tolerance, tuple):
        tolerance = tolerance[component]
    return float(torch.as_tensor(tolerance).max())


class Recorder(torch.nn.Module):
    """Notes the times of its evaluations."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.seen.append(float(t))
        return torch.cos(t) - y


@pytest.mark.needs("numbers in the field")
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("dopri5", {"first_step": 0.25, "min_step": 0.25, "max_step": 0.25}),
        ("fehlberg2", {"first_step": 0.25, "min_step": 0.25, "max_step": 0.25}),
        ("rk4", {"perturb": True}),
        ("heun2", {"perturb": True}),
        ("heun3", {}),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_times_of_the_evaluations(engine: str, method: str, options: dict[str, float], sign: int) -> None:
    """Every evaluation happens at torchdiffeq's time, to the last bit where it is just inside the end of a
    step."""
    t = sign * torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    y0 = torch.ones(2, dtype=torch.float64)
    theirs, ours = Recorder(), Recorder()
    torchdiffeq.odeint(theirs, y0, t, method=method, options=options)
    odeint(ours, y0, t, method=method, options=options)
    assert ours.seen == pytest.approx(theirs.seen, rel=3e-16, abs=0)
    inside = [x for x in theirs.seen if x not in (0.0, 1.0, 2.0) and abs(x - round(4 * x) / 4) < 1e-12]
    assert set(inside) <= set(ours.seen)
