"""Comparisons, masks and choices."""

import math

import pytest
import torch
from torch import Tensor, nn

from capture.agreement import Field, declined, must_capture, random
from capture.exactly import D, lowers, states

EDGES = states(0.0, 1.0, -1.0, 0.5, -0.5, 0.7)


def written_where(t: Tensor, y: Tensor) -> Tensor:
    z = y * 2
    z[z > 1] = 0.5
    z[y < -1] = t
    z[(y < 0).all(-1)] = 3.0
    return z * y


def filled_where(t: Tensor, y: Tensor) -> Tensor:
    z = y * 2
    z.masked_fill_(y > 0, 1.5)
    return z * y.masked_fill(y < t, 0.3) + y.masked_fill(y > 2, t)


def mask_in_place(t: Tensor, y: Tensor) -> Tensor:
    mask = y > 0
    mask &= y < 1
    mask |= y < -1
    mask.logical_not_()
    return y * mask


FIELDS: dict[str, Field] = {
    "of numbers": lambda t, y: y * (y > 0) + y * (y >= 0.5) - t * (y < 1) + (y <= -1) * y + (y == 1) * t,
    "of tensors": lambda t, y: y * (y > t) + y * (y >= t) + (y < y.sin()) * y + (y <= t) * t + (y != t) * y,
    "as floats": lambda t, y: y * (y > 0).to(y) + (y < 0).to(D) + y * (y > t).double(),
    "as other floats": lambda t, y: y * (y > 0).float() + (y < 1).int() * y + (y > 2).long(),
    "as booleans": lambda t, y: y * y.bool() + y.to(torch.bool) * t + torch.ones_like(y).bool() * y,
    "where": lambda t, y: torch.where(y > 0, y**2, y.sin()),
    "where with numbers": lambda t, y: torch.where(y > t, 1.0, y) + torch.where(y < 0, y, 0.0) * y,
    "where of two numbers": lambda t, y: torch.where(y > 0, 1.0, -0.1) * y,
    "where over time": lambda t, y: torch.where(t > 0.5, y, -y) + torch.where(t < 0.5, 1.0, y),
    "where broadcast": lambda t, y: torch.where(y[:, :1] > 0, y, t),
    "where with a mask of literals": lambda t, y: torch.where(torch.tensor([True, False, True]), y, -y),
    "where of masks": lambda t, y: torch.where(y > 0, y > 1, y < -1) * y,
    "logical": lambda t, y: y * torch.logical_and(y > 0, t < 0.5) + torch.logical_or(y > 1, y < -1) * t,
    "logical of numbers": lambda t, y: y * torch.logical_not(y) + torch.logical_and(y, t) * y.sin(),
    "xor": lambda t, y: y * torch.logical_xor(y > 0, t > 0.5) + ((y > 0) ^ (y > 1)) * t,
    "bitwise": lambda t, y: y * ((y > 0) & (y < 1)) + ((y > 1) | (y < -1)) * t + y * ~(y > 0),
    "product of masks": lambda t, y: (y > 0) * (y < 1) * y,
    "isnan": lambda t, y: y * ~torch.isnan(y) + torch.isfinite(y) * y + torch.isinf(y) * t,
    "any and all": lambda t, y: y * (y > 0).any(-1, keepdim=True) + y.sin() * (y > 0).all(1, keepdim=True),
    "any of numbers": lambda t, y: y * y.any(-1, keepdim=True) + y.all(-1)[:, None] * t,
    "counted": lambda t, y: y * (y > 0).sum(-1, keepdim=True) / 3,
    "written by a mask": written_where,
    "filled by a mask": filled_where,
    "mask in place": mask_in_place,
    "clipped by hand": lambda t, y: torch.where(y > 1, 1 + 0 * y, torch.where(y < -1, -1 + 0 * y, y)),
    "mask stacked": lambda t, y: torch.stack([y[:, 0] > 0, y[:, 1] > 0, y[:, 2] > t], -1) * y,
    "isclose": lambda t, y: torch.isclose(y, t) * y,
    "heaviside step": lambda t, y: (t >= 0.5).to(y) * y,
}


@pytest.mark.parametrize("name", FIELDS)
def test_comparison(name: str) -> None:
    lowers(FIELDS[name], random(4, 3), [EDGES])


def test_a_choice_passes_no_gradient_to_what_is_not_chosen() -> None:
    """The derivative of the square root is infinite at zero."""

    def func(t: Tensor, y: Tensor) -> Tensor:
        safe = torch.where(y > 0, y, 1.0)
        return torch.where(y > 0, safe.sqrt(), 0.0)

    lowers(func, random(4, 3), [EDGES])


def test_not_a_number_is_unlike_everything() -> None:
    odd = states(math.nan, 1.0, math.inf)
    captured = lowers(lambda t, y: (y == y).to(y) + 2 * (y < 2).to(y) + 4 * (y != 1).to(y), random(4, 3))
    result = captured.program.interpret(torch.tensor(0.0, dtype=D), odd, [])
    expected = (odd == odd).to(D) + 2 * (odd < 2).to(D) + 4 * (odd != 1).to(D)
    torch.testing.assert_close(result, expected)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.tensor([True, False, True]))
        self.scale = nn.Parameter(random(3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.where(self.mask, y, self.scale) + y.masked_fill(~self.mask, 0.0) * (self.scale > 0)


def test_masks_that_the_function_owns() -> None:
    func = Masked()
    captured = lowers(func, random(4, 3), [EDGES], [func.scale])
    func.mask.logical_not_()
    again = lowers(func, random(4, 3), [EDGES], [func.scale])
    assert again.program == captured.program


def test_float32_masks() -> None:
    y = random(4, 3).float()
    func: Field = lambda t, y: y * (y > 0.1).float() + torch.where(y < 0.3, y, 0.1)  # noqa: E731
    captured = must_capture(func, y)
    result = captured.program.interpret(torch.tensor(0.3), y, [])
    assert torch.equal(result, func(torch.tensor(0.3), y))


def test_a_comparison_in_a_wider_type_is_refused() -> None:
    bound = torch.tensor([0.1, 0.2, 0.3], dtype=D)
    assert "compares in torch.float64" in declined(lambda t, y: y * (y > bound), random(4, 3).float())


@pytest.mark.parametrize(
    "field",
    [
        lambda t, y: y * (y > 0).float().sin(),
        lambda t, y: y * torch.argmax(y, -1, keepdim=True),
        lambda t, y: y * ((y > 0).int() & 1),
    ],
)
def test_arithmetic_in_other_types_is_refused(field: Field) -> None:
    declined(field, random(4, 3))


def test_masks_over_the_batch_are_one_trajectory() -> None:
    for func in (
        lambda t, y: y * (y > 0).any(),
        lambda t, y: y * (y > 0).all(0),
        lambda t, y: y * (y > 0).sum(0),
    ):
        assert not must_capture(func, random(4, 3)).batched
