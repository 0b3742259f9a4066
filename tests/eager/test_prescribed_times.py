"""step_t and jump_t."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from flashode import odeint, use_engine


class Records(nn.Module):
    """y' jumps at 1 and 2; notes where steps begin."""

    def __init__(self) -> None:
        super().__init__()
        self.starts: list[float] = []
        self.seen: list[float] = []

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.seen.append(float(t))
        return torch.where(t < 1, 1.0, torch.where(t < 2, -2.0, 5.0)).to(y.dtype) * torch.ones_like(y)

    def callback_accept_step(self, t0: Tensor, y0: Tensor, dt: Tensor) -> None:
        self.starts.append(float(t0))


Y0 = torch.zeros(1, dtype=torch.float64)
T = torch.tensor([0.0, 3.0], dtype=torch.float64)


def solve(t: Tensor, **options: object) -> tuple[Records, Tensor]:
    field = Records()
    with use_engine("eager"):
        return field, odeint(field, Y0, t, options=options)


@pytest.mark.parametrize("name", ["step_t", "jump_t"])
def test_steps_end_there(name: str) -> None:
    field, _ = solve(T, **{name: [2.0, 0.3, 1.0]})
    assert {0.3, 1.0, 2.0} <= set(field.starts)


@pytest.mark.parametrize("name", ["step_t", "jump_t"])
def test_landing_exactly_on_one_does_not_hide_the_later_ones(name: str) -> None:
    """In torchdiffeq a step that ends on a prescribed time by itself disables all later ones."""
    options = {"first_step": 0.25, "min_step": 0.25, "max_step": 0.25}
    field, _ = solve(T, **options, **{name: [0.5, 1.1, 1.9]})
    assert {0.5, 1.1, 1.9} <= set(field.starts)


def test_jumps_are_exact_and_cheap() -> None:
    field, y = solve(T, jump_t=[1.0, 2.0])
    assert y[-1].item() == pytest.approx(1 - 2 + 5, abs=1e-12)
    plain, _ = solve(T)
    assert len(field.seen) < len(plain.seen) / 2


def test_no_evaluation_touches_the_jump() -> None:
    """Before it the field is seen just before; after it, just after."""
    field, _ = solve(T, jump_t=[1.0, 2.0])
    assert 1.0 not in field.seen
    assert 2.0 not in field.seen
    for jump in (1.0, 2.0):
        assert torch.nextafter(torch.tensor(jump).double(), torch.tensor(0.0).double()).item() in field.seen
        assert torch.nextafter(torch.tensor(jump).double(), torch.tensor(9.0).double()).item() in field.seen


def test_decreasing_time() -> None:
    field, y = solve(T.flip(0), jump_t=torch.tensor([1.0, 2.0]), step_t=(0.25,))
    assert {2.0, 1.0, 0.25} <= set(field.starts)
    assert y[-1].item() == pytest.approx(-5 + 2 - 1, abs=1e-12)


def test_times_outside_are_ignored() -> None:
    _, y = solve(T, step_t=[-1.0, 0.0, 7.0], jump_t=[])
    _, plain = solve(T)
    assert torch.equal(y, plain)


def test_times_stay_where_they_are_for_the_gradient() -> None:
    """A prescribed time does not move with t[0]: the state there depends on t[0] only through where it
    starts."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.cos(t).to(y.dtype) * torch.ones_like(y)

    t = torch.tensor([0.2, 2.0], dtype=torch.float64, requires_grad=True)
    with use_engine("eager"):
        y = odeint(field, Y0, t, rtol=1e-10, atol=1e-12, options={"step_t": [0.7, 1.4], "first_step": 0.1})
    (gradient,) = torch.autograd.grad(y[-1, 0], t)
    expected = torch.stack([-torch.cos(t[0]), torch.cos(t[1])]).detach()
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-8)
