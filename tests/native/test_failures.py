"""What a native solve says when it cannot go on."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import flashode
from problems import Network

_T = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
_Y0 = torch.tensor([[1.0, 2.0, 0.3], [0.5, -1.0, 0.1]], dtype=torch.float64)


class Explosion(nn.Module):
    """y' = y**2: trajectory i reaches infinity at t = 1 / y0."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return y * y


class Root(nn.Module):
    """Is NaN where y < 0, which y' = -1 reaches at t = y0."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.sqrt(y) * 0 - 1


def test_a_field_that_is_nan_is_named_with_its_time_and_trajectory() -> None:
    y0 = torch.tensor([[2.0], [0.7], [3.0]], dtype=torch.float64)
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    with pytest.raises(flashode.NonFiniteError, match="func returned a value that is not finite") as caught:
        flashode.odeint(Root(), y0, t)
    error = caught.value
    assert error.origin == "field"
    assert error.trajectory == (1,)
    assert error.t == pytest.approx(0.7, abs=1e-6)
    assert error.times is not None
    assert error.partial is not None
    assert torch.equal(error.times, t[: len(error.times)])
    assert len(error.times) == 7
    torch.testing.assert_close(error.partial, y0 - error.times[:, None, None], rtol=1e-6, atol=1e-6)
    assert error.statistics is not None
    assert error.statistics.rejected > 0


def test_a_state_that_is_nan_is_named() -> None:
    y0 = torch.tensor([[1.0], [math.nan]], dtype=torch.float64)
    with pytest.raises(flashode.NonFiniteError, match="the state is not finite") as caught:
        flashode.odeint(Root(), y0, _T)
    assert caught.value.origin == "state"
    assert caught.value.trajectory == (1,)


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3"])
def test_a_state_that_overflows_ends_the_solve(method: str) -> None:
    """Steps that shrink to stay finite would come ever closer to the largest number and never arrive."""
    y0 = torch.tensor([[1e-3], [1.0]])
    t = torch.tensor([0.0, 50.0, 100.0])
    with pytest.raises(flashode.NonFiniteError) as caught:
        flashode.odeint(lambda t, y: y, y0, t, method=method, rtol=1e-4, atol=1e-6)
    error = caught.value
    assert error.trajectory == (1,)
    assert error.t is not None and 80 < error.t < math.log(torch.finfo(torch.float32).max)
    assert error.times is not None and error.times.tolist() == [0.0, 50.0]


@pytest.mark.parametrize("method", ["rk4", "euler"])
def test_fixed_steps_do_not_return_nan(method: str) -> None:
    y0 = torch.tensor([[2.0], [0.7]], dtype=torch.float64)
    with pytest.raises(flashode.NonFiniteError) as caught:
        flashode.odeint(Root(), y0, torch.linspace(0, 1, 11, dtype=torch.float64), method=method)
    assert caught.value.trajectory == (1,)


def test_a_blow_up_ends_in_an_error_that_says_where() -> None:
    y0 = torch.tensor([[0.5], [1.2]], dtype=torch.float64)
    with pytest.raises(flashode.SolverError) as caught:
        flashode.odeint(Explosion(), y0, torch.linspace(0, 1, 11, dtype=torch.float64))
    assert caught.value.t == pytest.approx(1 / 1.2, abs=1e-3)
    assert caught.value.times is not None
    assert torch.equal(caught.value.times, torch.linspace(0, 1, 11, dtype=torch.float64)[:9])


def test_too_many_steps() -> None:
    options = {"max_num_steps": 3}
    with pytest.raises(flashode.MaxStepsExceeded, match="max_num_steps exceeded: 3 steps") as caught:
        flashode.odeint(Network(), _Y0, _T, options=options, rtol=1e-12, atol=1e-12)
    assert isinstance(caught.value, AssertionError)


def test_an_interval_of_the_adjoint_that_fails_raises_from_backward() -> None:
    options = {"max_num_steps": 1}
    states = flashode.odeint_adjoint(Network(), _Y0, _T, adjoint_options=options)
    with pytest.raises(flashode.MaxStepsExceeded):
        states.sum().backward()


def test_after_an_error_the_field_solves_again() -> None:
    field = Network()
    wanted = flashode.odeint(field, _Y0, _T)
    with pytest.raises(flashode.MaxStepsExceeded):
        flashode.odeint(field, _Y0, _T, options={"max_num_steps": 1}, rtol=1e-12, atol=1e-12)
    assert torch.equal(flashode.odeint(field, _Y0, _T), wanted)


def test_the_forward_solve_of_the_adjoint_reports_its_own_limit() -> None:
    with pytest.raises(flashode.MaxStepsExceeded, match="exceeded: 1 steps"):
        flashode.odeint_adjoint(
            Network(), _Y0, _T, options={"max_num_steps": 1}, adjoint_options={}, adjoint_method="rk4"
        )


class Edge(nn.Module):
    """Is NaN beyond y = 1, which y' = 1 reaches; a step may have to be the smallest to stay below."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.sqrt(1 - y) * 0 + 1


def test_the_smallest_step_is_tried_after_nan() -> None:
    y0 = torch.tensor([0.5], dtype=torch.float64)
    t = torch.tensor([0.0, 0.47], dtype=torch.float64)
    results = []
    for engine in ("native", "eager"):
        with flashode.use_engine(engine):
            results.append(flashode.odeint(Edge(), y0, t, options={"min_step": 0.05})[-1])
    torch.testing.assert_close(results[0], results[1])


class Steep(nn.Module):
    """A slope whose scaled norm overflows in single precision."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return y * 0 + 1e15


def test_a_scaled_norm_that_overflows_does_not_stop_the_first_step() -> None:
    y0 = torch.tensor([1.0])
    solution = flashode.odeint(Steep(), y0, torch.tensor([0.0, 1.0]), rtol=1e-5, atol=1e-30)
    torch.testing.assert_close(solution[-1], torch.tensor([1e15]))


def test_a_tolerance_of_zero_is_no_fault_of_the_field() -> None:
    y0 = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    with pytest.raises(flashode.StepSizeUnderflow):
        flashode.odeint(Explosion(), y0, _T, rtol=1e-6, atol=0.0, options={"first_step": 0.1})
