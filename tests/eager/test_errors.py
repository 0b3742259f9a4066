"""A solve that fails says where and why, and hands over what it reached."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import MaxStepsExceeded, NonFiniteError, SolverError, StepSizeUnderflow, odeint, odeint_adjoint

TIMES = torch.linspace(0, 2, 5, dtype=torch.float64)


class Explodes(nn.Module):
    """y' = 1 + y**2: y = tan t, which has a pole at pi/2; the second trajectory starts later on the same
    curve."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return 1 + y * y


class Root(nn.Module):
    """y' = -sqrt(y): the state reaches 0 at t = 1 (from 1/4) and leaves the field's domain."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -torch.sqrt(y) - 0.5


class Poisoned(nn.Module):
    """NaN from the start, in one trajectory."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.log(y)


class Grows(nn.Module):
    """y' = y, so that a state near the largest number overflows while its slope does not."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return y * 1.0


class Stiff(nn.Module):
    """y' = sign-like jump at t = 1 that no step resolves to the tolerance."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return 1e9 * (t > 1).to(y.dtype) * torch.ones_like(y)


def check_partial(error: SolverError, field: nn.Module, y0: Tensor, **arguments: object) -> None:
    """What was reached is the start of the solution."""
    assert error.times is not None
    assert isinstance(error.partial, Tensor)
    count = len(error.times)
    assert torch.equal(error.times, TIMES[:count])
    assert error.partial.shape == (count, *y0.shape)
    expected = odeint(field, y0, error.times, **arguments)
    torch.testing.assert_close(error.partial, expected, rtol=1e-9, atol=1e-12)
    assert error.statistics is not None
    assert error.statistics.evaluations > 0


def test_old_programs_catch_them() -> None:
    assert issubclass(SolverError, AssertionError)
    assert issubclass(SolverError, RuntimeError)
    for kind in (NonFiniteError, StepSizeUnderflow, MaxStepsExceeded):
        assert issubclass(kind, SolverError)


@pytest.mark.parametrize("method", ["dopri5", "bosh3"])
def test_pole(engine: str, method: str) -> None:
    y0 = torch.tensor([[0.0], [0.2]], dtype=torch.float64)
    with pytest.raises(SolverError) as caught:
        odeint(Explodes(), y0, TIMES, rtol=1e-4, atol=1e-6, method=method)
    assert caught.value.t == pytest.approx(math.pi / 2 - math.atan(0.2), abs=1e-3)
    assert caught.value.times is not None
    assert len(caught.value.times) == 3
    check_partial(caught.value, Explodes(), y0, rtol=1e-4, atol=1e-6, method=method)


def test_domain_is_left(engine: str) -> None:
    """Steps over the edge are retried smaller until none is left."""
    y0 = torch.tensor([[4.0], [0.25], [9.0]], dtype=torch.float64)
    # From y0 = 1/4: with s = sqrt(y), -2 s ds / (s + 1/2) = dt, so s = 0 at t = 2 s0 - ln(1 + 2 s0).
    end = 1 - math.log(2)
    with pytest.raises(NonFiniteError, match="func returned") as caught:
        odeint(Root(), y0, TIMES)
    assert caught.value.origin == "field"
    assert caught.value.trajectory == (1,)
    assert caught.value.t == pytest.approx(end, abs=1e-6)


def test_nan_at_once(engine: str) -> None:
    y0 = torch.ones(2, 3, 2, dtype=torch.float64)
    y0[1, 2, 0] = -1.0
    with pytest.raises(NonFiniteError, match="func returned") as caught:
        odeint(Poisoned(), y0, TIMES)
    error = caught.value
    assert error.origin == "field"
    assert error.t == 0
    # The native engine knows trajectories by the first dimension.
    assert error.trajectory is not None
    assert error.trajectory[0] == 1
    assert error.times is not None
    assert error.times.tolist() == [0.0]
    # No step was tried again and again.
    assert error.statistics is not None
    assert error.statistics.evaluations < 12


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_state_is_not_finite_to_begin_with(engine: str, method: str, value: float) -> None:
    y0 = torch.tensor([[1.0, 2.0], [value, 3.0]], dtype=torch.float64)
    with pytest.raises(NonFiniteError, match="state is not finite") as caught:
        odeint(Stiff(), y0, TIMES, method=method)
    assert caught.value.origin == "state"
    assert caught.value.t == 0
    assert caught.value.trajectory == (1,)


def test_fixed_steps_field(engine: str) -> None:
    y0 = torch.tensor([[4.0], [0.25]], dtype=torch.float64)
    with pytest.raises(NonFiniteError, match="func returned") as caught:
        odeint(Root(), y0, TIMES, method="rk4", options={"step_size": 0.01})
    error = caught.value
    assert error.origin == "field"
    assert error.trajectory == (1,)
    assert error.t == pytest.approx(1 - math.log(2), abs=0.011)
    check_partial(error, Root(), y0, method="rk4", options={"step_size": 0.01})


def test_fixed_steps_state(engine: str) -> None:
    """The state overflows where its slope does not."""
    y0 = torch.tensor([[0.0], [1e308]], dtype=torch.float64)
    with pytest.raises(NonFiniteError, match=r"state overflows torch\.float64") as caught:
        odeint(Grows(), y0, TIMES, method="euler", options={"step_size": 0.5})
    error = caught.value
    assert error.origin == "state"
    assert error.trajectory == (1,)
    assert error.t == 1.0


def test_underflow(engine: str) -> None:
    y0 = torch.zeros(2, 1, dtype=torch.float64)
    with pytest.raises(StepSizeUnderflow, match="stiff or singular") as caught:
        odeint(Stiff(), y0, TIMES, rtol=0.0, atol=1e-12)
    error = caught.value
    assert error.t == pytest.approx(1.0)
    assert error.dt is not None
    assert 0 < error.dt < 1e-12
    assert error.times is not None
    assert len(error.times) == 3
    assert error.statistics is not None
    assert error.statistics.rejected > 10


def test_min_step_gets_over_it(engine: str) -> None:
    y0 = torch.zeros(1, dtype=torch.float64)
    y = odeint(Stiff(), y0, TIMES, rtol=0.0, atol=1e-12, options={"min_step": 1e-3})
    torch.testing.assert_close(y[-1], torch.tensor([1e9], dtype=torch.float64), rtol=5e-3, atol=0)


def test_min_step_does_not_let_nan_in(engine: str) -> None:
    y0 = torch.tensor([0.25], dtype=torch.float64)
    with pytest.raises(NonFiniteError) as caught:
        odeint(Root(), y0, TIMES, options={"min_step": 1e-3})
    assert caught.value.origin == "field"


def test_max_num_steps_is_for_each_interval(engine: str) -> None:
    class Oscillates(nn.Module):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return torch.cos(30 * t).expand(y.shape)

    y0 = torch.zeros(2, 1, dtype=torch.float64)
    with pytest.raises(MaxStepsExceeded, match="max_num_steps exceeded: 9 steps") as caught:
        odeint(Oscillates(), y0, TIMES, options={"max_num_steps": 9})
    assert caught.value.statistics is not None
    assert caught.value.statistics.accepted + caught.value.statistics.rejected == 9
    # Enough for one interval is enough for all of them.
    counts = [
        odeint(Oscillates(), y0, torch.linspace(0, 2, n, dtype=torch.float64), options={"max_num_steps": 60})
        for n in (5, 9)
    ]
    torch.testing.assert_close(counts[0][-1], counts[1][-1])


def test_decreasing_time_is_the_users(engine: str) -> None:
    class Backwards(nn.Module):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return -(1 + y * y)

    t = torch.linspace(3, 1, 5, dtype=torch.float64)
    with pytest.raises(SolverError) as caught:
        odeint(Backwards(), torch.zeros(1, dtype=torch.float64), t)
    assert caught.value.t == pytest.approx(3 - math.pi / 2, abs=1e-4)
    assert caught.value.times is not None
    assert torch.equal(caught.value.times, t[: len(caught.value.times)])


def test_tuple_state() -> None:
    def field(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y, z = state
        return -y, torch.sqrt(0.3 - t) * torch.ones_like(z)

    y0 = (torch.ones(3), torch.ones(2, 4))
    with flashode.use_engine("eager"), pytest.raises(NonFiniteError, match="in component 1") as caught:
        odeint(field, y0, TIMES)
    assert caught.value.trajectory == (0,)
    assert caught.value.t == pytest.approx(0.3, abs=1e-5)
    partial = caught.value.partial
    assert isinstance(partial, tuple)
    assert [tuple(p.shape) for p in partial] == [(1, 3), (1, 2, 4)]


def test_reverse_solve(engine: str) -> None:
    class Gate(nn.Module):
        """Fine forwards; its slope in y is NaN."""

        def __init__(self) -> None:
            super().__init__()
            self.rate = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return self.rate + 0 * torch.sqrt(y - y)

    y = odeint_adjoint(Gate(), torch.ones(1, dtype=torch.float64), TIMES)
    with pytest.raises(NonFiniteError) as caught:
        y.sum().backward()
    assert caught.value.t == 2.0
    assert caught.value.partial is None
    assert caught.value.times is None
    assert any("odeint_adjoint" in note for note in caught.value.__notes__)
