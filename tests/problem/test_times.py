"""What later solves share of output times, and what they never do."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from flashode import odeint
from flashode.problem import fixed_grid, make_problem
from flashode.problem.times import equal_steps

Y0 = torch.ones(3, dtype=torch.float64)


def field(t: Tensor, y: Tensor) -> Tensor:
    return -y


def grid(t: Tensor, step_size: float | Tensor) -> Tensor:
    options = {"step_size": step_size}
    return fixed_grid(make_problem(field, Y0, t, rtol=1e-3, atol=1e-3, method="rk4", options=options))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("times", [(0.0, 1.0), (0.0, 0.25, 1.05), (1.0, 0.0), (-0.0, 0.3)])
@pytest.mark.parametrize("step_size", [0.1, 0.07, 2.0])
def test_a_shared_grid_is_what_its_times_give(
    dtype: torch.dtype, times: tuple[float, ...], step_size: float
) -> None:
    t = torch.tensor(times, dtype=dtype)
    direction = 1 if times[0] < times[-1] else -1
    expected = equal_steps(direction * t, step_size)
    for _ in range(2):
        assert torch.equal(grid(t.clone(), step_size), expected)
        assert grid(t.clone(), step_size).dtype == dtype


def test_equal_times_share_a_grid_and_others_do_not() -> None:
    t = torch.tensor([0.0, 1.0])
    assert grid(t, 0.1) is grid(t.clone(), 0.1)
    assert grid(t, 0.1) is not grid(t, 0.2)
    assert grid(t, 0.1) is not grid(t.double(), 0.1)


def test_what_is_differentiated_has_a_grid_of_its_own() -> None:
    t = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    step = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    grid(t.detach(), 0.1)
    assert grid(t, 0.1).requires_grad
    assert grid(t.detach(), step).requires_grad
    assert not grid(t.detach(), 0.1).requires_grad


def test_times_written_on_between_solves_are_read_again() -> None:
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    options = {"step_size": 0.1}
    first = odeint(field, Y0, t, method="rk4", options=options)[-1]
    t[1] = 2.0
    second = odeint(field, Y0, t, method="rk4", options=options)[-1]
    torch.testing.assert_close(first, Y0 * torch.exp(torch.tensor(-1.0)), rtol=1e-5, atol=0)
    torch.testing.assert_close(second, Y0 * torch.exp(torch.tensor(-2.0)), rtol=1e-5, atol=0)


def test_what_a_tracer_makes_is_not_kept() -> None:
    t = torch.tensor([0.0, 0.811])  # times that no other test has
    # Whether it can solve there is not the question.
    with suppress(Exception), FakeTensorMode(allow_non_fake_inputs=True):
        odeint(field, Y0, t, method="rk4", options={"step_size": 0.05})
    assert type(grid(t, 0.05)) is Tensor
    assert odeint(field, Y0, t, method="rk4", options={"step_size": 0.05}).isfinite().all()


def test_no_many_grids_are_kept() -> None:
    t = torch.tensor([0.0, 0.577])
    first = grid(t, 0.1)
    for i in range(20):
        grid(t, 0.01 + 0.001 * i)
    assert torch.equal(grid(t, 0.1), first)
    long = grid(t, 1e-5)
    assert grid(t, 1e-5) is not long
