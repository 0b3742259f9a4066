"""Values of only time and parameters: they and their gradients are computed once for many tiles."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import flashode

# With a first stage that is another step's last and without, on a grid, and with equations.
METHODS = ("dopri5", "dopri8", "rk4", "implicit_midpoint")
BATCH = 300  # tiles of eight: several that share, and a few more


class Hypernetwork(nn.Module):
    """A network of time makes the weights of the field; time and a parameter count by themselves, too."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 6))
        self.gain = nn.Parameter(torch.tensor([0.7, -0.4]))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        weights = self.net(t.reshape(1, 1)).reshape(3, 2)
        return torch.tanh(y @ weights[:2]) + weights[2] * torch.sin(t * y) + self.gain * y.square().cos()


class OfTimeAlone(Hypernetwork):
    """Nothing depends on the state."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(t.reshape(1, 1)).reshape(3, 2)[0] * self.gain + torch.zeros_like(y)


def _gradients(
    solve: Callable[..., Tensor], kind: type[Hypernetwork], method: str, engine: str, *, with_times: bool
) -> list[Tensor]:
    torch.manual_seed(0)
    field = kind().double()
    y0 = torch.randn(BATCH, 2, dtype=torch.float64, requires_grad=True)
    t = torch.tensor([0.1, 0.4, 0.6], dtype=torch.float64, requires_grad=with_times)
    options = None if flashode.METHODS[method].control == "error" else {"step_size": 0.1}
    with flashode.use_engine(engine):
        states = solve(field, y0, t, method=method, options=options, rtol=1e-8, atol=1e-8)
    wanted = [y0, *field.parameters(), *([t] if with_times else [])]
    weights = torch.linspace(0.5, 1.5, states.numel(), dtype=torch.float64).reshape(states.shape)
    gradients = torch.autograd.grad((weights * states.sin()).mean(), wanted, allow_unused=True)
    return [states.detach(), *(torch.zeros(()) if g is None else g for g in gradients)]


@pytest.mark.parametrize("with_times", [False, True])
@pytest.mark.parametrize("kind", [Hypernetwork, OfTimeAlone])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
def test_gradients_are_those_of_plain_torch(
    solve: Callable[..., Tensor], method: str, kind: type[Hypernetwork], with_times: bool
) -> None:
    own = _gradients(solve, kind, method, "native", with_times=with_times)
    expected = _gradients(solve, kind, method, "eager", with_times=with_times)
    # Sizes of adaptive steps differ by rounding, which the tolerance damps.
    allowed = 1e-7 if flashode.METHODS[method].control == "error" else 1e-10
    for mine, theirs in zip(own, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=allowed, atol=allowed)


@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
def test_threads_do_not_matter(solve: Callable[..., Tensor]) -> None:
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(_wide_gradients(solve))
    finally:
        torch.set_num_threads(before)
    for single, several in zip(*results, strict=True):
        assert torch.equal(single, several)


def _wide_gradients(solve: Callable[..., Tensor]) -> list[Tensor]:
    """Of enough work to be shared."""
    torch.manual_seed(0)
    field = Hypernetwork()
    y0 = torch.randn(4000, 2, requires_grad=True)
    states = solve(field, y0, torch.tensor([0.0, 0.5]), rtol=1e-5, atol=1e-5)
    return list(torch.autograd.grad(states.sum(), [y0, *field.parameters()]))


# What leaves out the state, the time or the parameters, wholly or in some rows; a and b are parameters.
WITHOUT: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "state": lambda t, y, a, b: torch.ones_like(y) * a,
    "state, expanded": lambda t, y, a, b: a.expand(y.shape),
    "state, a row": lambda t, y, a, b: b.expand(y.shape),
    "state, computed": lambda t, y, a, b: torch.ones_like(y) * (a * b).sin(),
    "state, with time": lambda t, y, a, b: (a * torch.cos(t)).expand(y.shape),
    "state, some rows": lambda t, y, a, b: torch.cat([y[:, :1] * a, b[1].expand(len(y), 1)], 1),
    "state, other rows with time": lambda t, y, a, b: torch.cat([a.expand(len(y), 1), y[:, 1:] * t], 1),
    "state and parameters": lambda t, y, a, b: t.expand(y.shape),
    "state, in the product of rows": lambda t, y, a, b: torch.outer(torch.ones_like(y[:, 0]), b * t),
    "everything": lambda t, y, a, b: torch.zeros_like(y),
    "everything but a number": lambda t, y, a, b: torch.full_like(y, 3.0),
    "time": lambda t, y, a, b: -a * y + b,
    "parameters": lambda t, y, a, b: torch.sin(t) - y,
    "nothing": lambda t, y, a, b: t * a * y.sin() + b,
}


@pytest.mark.parametrize("batch", [1, 4, 37])
@pytest.mark.parametrize("method", ["dopri5", "euler", "rk4", "gl4"])
@pytest.mark.parametrize("left_out", WITHOUT)
def test_fields_that_leave_something_out(left_out: str, method: str, batch: int) -> None:
    field = WITHOUT[left_out]
    generator = torch.Generator().manual_seed(batch)
    a, b = (torch.randn(n, dtype=torch.float64, generator=generator) for n in ((), 2))
    y0 = torch.randn(batch, 2, dtype=torch.float64, generator=generator)
    t = torch.linspace(0, 1, 3, dtype=torch.float64)
    inputs = [x.requires_grad_() for x in (y0, t, a, b)]
    weights = torch.arange(3.0 * y0.numel(), dtype=torch.float64).view(3, *y0.shape)
    for solve in (flashode.odeint, flashode.odeint_adjoint):
        parameters = {"adjoint_params": (a, b)} if solve is flashode.odeint_adjoint else {}
        results = []
        for engine in ("native", "eager"):
            with flashode.use_engine(engine):
                states = solve(lambda t, y: field(t, y, a, b), y0, t, method=method, rtol=1e-6, **parameters)
                results.append(torch.autograd.grad(states, inputs, weights, materialize_grads=True))
        allowed = 1e-5 if method == "dopri5" else 1e-10
        for mine, theirs in zip(*results, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=allowed, atol=allowed * float(weights.max()))
