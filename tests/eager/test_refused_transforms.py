"""What cannot run within a transform of ``torch.func`` says so, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from flashode import odeint, odeint_adjoint, odeint_dense, odeint_event

pytestmark = [
    pytest.mark.filterwarnings("ignore::flashode.FallbackWarning"),
    # Of torch's own first use of forward derivatives.
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.*deprecated:DeprecationWarning"),
]
T = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
Y0 = torch.tensor([0.7, 0.2], dtype=torch.float64)
BATCH = torch.stack([Y0, Y0 + 0.1, Y0 + 0.2])


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2, dtype=torch.float64)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.layer(y))


NET = Net()


def event(t: Tensor, y: Tensor) -> Tensor:
    return y.sum() - 1 + t


def closed(solve: Callable[..., Tensor], **arguments: Any) -> Callable[[Tensor], Tensor]:
    """A solve as a function of what its field closes over."""
    start = torch.ones(2, dtype=torch.float64)
    return lambda a: solve(lambda t, y: -a * y, start, T, adjoint_params=(a,), **arguments)


Solve = Callable[[Tensor], Tensor]
ADJOINTS: dict[str, Solve] = {
    "y0": lambda y: odeint_adjoint(NET, y, T),
    "rk4": lambda y: odeint_adjoint(NET, y, T, method="rk4"),
    "t": lambda a: odeint_adjoint(NET, Y0, T + 0.1 * a.sum() * T),
    "closure": closed(odeint_adjoint),
    "tuple": lambda y: odeint_adjoint(lambda t, s: (-s[0], s[1]), (y, y), T, adjoint_params=())[0],
    "event": lambda y: odeint_adjoint(NET, y, T[:2], event_fn=event)[1],
    "odeint_event": lambda y: odeint_event(NET, y, 0.0, event_fn=event, odeint_interface=odeint_adjoint)[0],
}
EVENTS: dict[str, Solve] = {
    "time": lambda y: odeint_event(NET, y, 0.0, event_fn=event)[0],
    "state": lambda y: odeint_event(NET, y, 0.0, event_fn=event)[1],
    "rk4": lambda y: odeint_event(NET, y, 0.0, event_fn=event, method="rk4", options={"step_size": 0.1})[1],
}
DERIVATIVES: dict[str, Callable[[Solve], Any]] = {
    "grad": lambda f: torch.func.grad(lambda x: f(x).sum())(Y0),
    "vjp": lambda f: torch.func.vjp(f, Y0),
    "jvp": lambda f: torch.func.jvp(f, (Y0,), (torch.ones_like(Y0),)),
    "jacrev": lambda f: torch.func.jacrev(f)(Y0),
    "jacfwd": lambda f: torch.func.jacfwd(f)(Y0),
    "hessian": lambda f: torch.func.hessian(lambda x: f(x).sum())(Y0),
}
MAPS: dict[str, Callable[[Solve], Any]] = {
    "vmap": lambda f: torch.func.vmap(f)(BATCH),
    "vmap of grad": lambda f: torch.func.vmap(torch.func.grad(lambda x: f(x).sum()))(BATCH),
    "grad of vmap": lambda f: torch.func.grad(lambda x: torch.func.vmap(f)(x).sum())(BATCH),
}


@pytest.mark.parametrize("transform", [*DERIVATIVES, *MAPS])
@pytest.mark.parametrize("of", ADJOINTS)
def test_no_transform_of_an_adjoint(of: str, transform: str) -> None:
    with pytest.raises(
        RuntimeError,
        match=r"^(odeint_adjoint runs within no transform .* or use odeint|a solve has no vmap over y0)",
    ):
        (DERIVATIVES | MAPS)[transform](ADJOINTS[of])


@pytest.mark.parametrize("transform", DERIVATIVES)
@pytest.mark.parametrize("of", EVENTS)
def test_no_derivative_of_an_event(of: str, transform: str) -> None:
    with pytest.raises(RuntimeError, match=r"^odeint_event runs within no transform of torch.func"):
        DERIVATIVES[transform](EVENTS[of])


MAPPED: dict[str, Solve] = {
    "odeint": lambda y: odeint(NET, y, T),
    "fixed steps": lambda y: odeint(NET, y, T, method="rk4"),
    "tuple": lambda y: odeint(lambda t, s: (-s[0], s[1]), (Y0, y), T)[0],
    "event": lambda y: odeint(NET, y, T[:2], event_fn=event, method="rk4", options={"step_size": 0.1})[1],
    "odeint_dense": lambda y: odeint_dense(NET, y, 0.0, 1.0)(0.5),
    **EVENTS,
}


@pytest.mark.parametrize("transform", MAPS)
@pytest.mark.parametrize("of", MAPPED)
def test_no_vmap_over_states(of: str, transform: str) -> None:
    with pytest.raises(
        RuntimeError, match=r"^a solve has no vmap over y0\. .* put their batch in front of y0"
    ):
        MAPS[transform](MAPPED[of])


@pytest.mark.parametrize(
    "solve",
    [
        lambda t: odeint(NET, Y0, t),
        lambda t: odeint_dense(NET, Y0, 0.0, t[1])(0.1),
        lambda t: odeint_event(NET, Y0, t[0], event_fn=event)[0],
    ],
)
def test_no_vmap_over_times(solve: Solve) -> None:
    with pytest.raises(
        RuntimeError, match=r"^a solve has no vmap over t[01]?\. .* put their batch in front of y0"
    ):
        torch.func.vmap(solve)(torch.stack([T, 2 * T]))


@pytest.mark.parametrize("of", [name for name in ADJOINTS if name not in ("closure", "tuple")])
def test_no_forward_mode_of_an_adjoint(of: str) -> None:
    with (
        forward_ad.dual_level(),
        pytest.raises(RuntimeError, match=r"^odeint_adjoint has no derivative in forward mode: use odeint"),
    ):
        ADJOINTS[of](forward_ad.make_dual(Y0, torch.ones_like(Y0)))
