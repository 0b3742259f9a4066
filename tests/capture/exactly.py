"""A lowered operation against autograd at exactly the points given: kinks, ties and zeros included."""

from collections.abc import Sequence

import torch
from torch import Tensor

from capture.agreement import Field, evaluated, must_capture, random
from flashode.capture import Capture

D = torch.float64
TIMES = (0.0, 0.7)


def same_at(
    func: Field, captured: Capture, y: Tensor, owned: Sequence[Tensor] = (), rtol: float = 1e-10
) -> None:
    """Value and gradients in t, y and the owned tensors equal eager's at this state."""
    cotangent = random(*y.shape, seed=9).to(y.dtype)
    for time in TIMES:
        results = []
        for field in (func, lambda t, y: evaluated(captured, t, y)):
            t = torch.tensor(time, dtype=y.dtype, requires_grad=True)
            z = y.detach().clone().requires_grad_()
            value = field(t, z)
            inputs = [t, z, *owned]
            scalar = (value * cotangent).sum() + 0 * z.sum()
            results.append([value, *torch.autograd.grad(scalar, inputs, materialize_grads=True)])
        for eager, program in zip(*results, strict=True):
            torch.testing.assert_close(program, eager, rtol=rtol, atol=1e-12, equal_nan=True)


def lowers(
    func: Field,
    y: Tensor,
    points: Sequence[Tensor] = (),
    owned: Sequence[Tensor] = (),
    rtol: float = 1e-10,
) -> Capture:
    """Captures a field as row-wise and compares it where it was captured, elsewhere, and at the points."""
    captured = must_capture(func, y)
    assert captured.batched
    for state in (y, random(7, *y.shape[1:], seed=4), *points):
        same_at(func, captured, state, owned, rtol)
    return captured


def states(*numbers: float, features: int = 3) -> Tensor:
    """States whose elements are these numbers, each number at each feature."""
    column = torch.tensor(numbers, dtype=D)
    return torch.stack([column.roll(shift) for shift in range(features)], 1)
