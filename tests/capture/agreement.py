"""Captures against the functions they stand for."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flashode.capture import Capture, Start, capture
from flashode.declined import Declined
from flashode.verify import Verify

D = torch.float64
Field = Callable[[Any, Any], Any]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def evaluated(captured: Capture, t: Tensor, y: Tensor) -> Tensor:
    batch = y.shape[0] if captured.batched else 1
    own = [part.reshape(batch, -1) for part in captured.carried]
    c = torch.cat(own, 1) if own else None
    rates = captured.program.interpret(t, y.reshape(batch, -1), captured.parameters(), c)
    return rates.reshape(y.shape)


def agrees(
    func: Field, captured: Capture, y: Tensor, owned: Sequence[Tensor] = (), rtol: float = 1e-11
) -> None:
    """Value and vjp equal eager's at points the capture has not seen."""
    cotangent = random(*y.shape, seed=9)
    results = []
    for field in (func, lambda t, y: evaluated(captured, t, y)):
        t = torch.tensor(1.234, dtype=y.dtype, requires_grad=True)
        z = (y.detach() * 1.3 + 0.01).requires_grad_()
        value = field(t, z) + 0 * z
        inputs = [t, z, *owned]
        gradients = torch.autograd.grad((value * cotangent).sum(), inputs, materialize_grads=True)
        results.append([value, *gradients])
    for eager, program in zip(*results, strict=True):
        torch.testing.assert_close(program, eager, rtol=rtol, atol=1e-12)


class Counted(nn.Module):
    """A layer that counts its evaluations, as programs do."""

    def __init__(self) -> None:
        super().__init__()
        self.nfe = 0
        self.layer = nn.Linear(3, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        out: Tensor = self.layer(y)
        return out


T = torch.tensor(0.3)
Y = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


def captured_at(
    func: Field, t: Tensor, y: Any, verify: Verify = "first", end: float | None = None
) -> Capture | Declined:
    return capture(func, y, lambda: Start(t, y, end), verify)


def must_capture(func: Field, y: Tensor = Y, t: float = 0.3) -> Capture:
    captured = captured_at(func, torch.tensor(t, dtype=y.dtype), y)
    assert isinstance(captured, Capture), captured
    return captured


def true(func: Callable[[Any, Any], Any], t: Tensor = T, y: Tensor = Y) -> Capture:
    """The capture, which must agree with the function as it is now."""
    captured = captured_at(func, t, y)
    assert isinstance(captured, Capture), captured
    torch.testing.assert_close(evaluated(captured, t, y), func(t, y))
    return captured


def declined(func: Callable[[Any, Any], Any], y: Tensor = Y) -> str:
    captured = captured_at(func, T.to(y.dtype), y)
    assert isinstance(captured, Declined), captured
    return captured.reason
