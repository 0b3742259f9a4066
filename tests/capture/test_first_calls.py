"""What a function computes in its first call and keeps: noise that is drawn once a solve, and the like."""

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from capture.agreement import D, Y, declined

TIMES = torch.linspace(0, 1, 4, dtype=D)
Y0 = Y.to(D)


class Hutchinson(nn.Module):
    """The divergence by a vector of noise that is drawn at the first call of a solve, as in FFJORD."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3))
        self.register_buffer("count", torch.tensor(0.0))
        self.noise: Tensor | None = None
        self.nfe = 0

    def before_odeint(self) -> None:
        self.noise = None
        self.count.fill_(0)  # type: ignore[operator]

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        self.count += 1
        self.nfe += 1
        y = state[0]
        t = torch.tensor(t).type_as(y)
        if self.noise is None:
            self.noise = torch.randn_like(y)
        with torch.enable_grad():
            y.requires_grad_(True)
            t.requires_grad_(True)
            dy = self.net(y) * (1 + t)
            product = torch.autograd.grad(dy, y, self.noise, create_graph=True)[0]
            divergence = (product * self.noise).sum(-1, keepdim=True)
        return dy, -divergence


def solved(net: Hutchinson, engine: str, solve: Any, **options: Any) -> list[Any]:
    results: list[Any] = []
    torch.manual_seed(3)
    with flashode.use_engine(engine):
        for _ in range(3):
            net.before_odeint()
            y0 = Y0.clone().requires_grad_()
            states = solve(net, (y0, torch.zeros(4, 1, dtype=D)), TIMES, method="rk4", **options)
            gradients = torch.autograd.grad(
                sum(part.square().sum() for part in states), [y0, *net.parameters()]
            )
            results += [*states, *gradients, net.noise, net.count.clone(), torch.tensor(net.nfe)]  # type: ignore[operator]
    results.append(torch.rand(2))
    return results


@pytest.mark.filterwarnings("ignore:To copy construct")
@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
def test_noise_that_is_drawn_once_a_solve(solve: Any) -> None:
    torch.manual_seed(0)
    net = Hutchinson().to(D)
    results = []
    for engine in ("native", "eager"):
        net.nfe = 0
        results.append(solved(net, engine, solve))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:To copy construct")
def test_explaining_draws_nothing() -> None:
    net = Hutchinson().to(D)
    before = torch.get_rng_state()
    explanation = flashode.explain(net, (Y0, torch.zeros(4, 1, dtype=D)))
    assert "computes noise in its first call" in explanation.declined["native"]
    assert net.noise is None and net.nfe == 0 and net.count == 0
    assert torch.equal(before, torch.get_rng_state())


class Cached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.kept: dict[str, Tensor] = {}
        self.last: Tensor | None = None

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if "weight" not in self.kept:
            self.kept["weight"] = self.layer.weight @ self.layer.weight.T
        return y @ self.kept["weight"]


class Keeping(Cached):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.last = self.layer(y)
        return self.last


def test_what_is_computed_from_parameters_once() -> None:
    net = Cached().to(D)
    results = []
    for engine in ("native", "eager"):
        net.kept.clear()
        with flashode.use_engine(engine):
            loss = flashode.odeint(net, Y0, TIMES, method="rk4").square().sum()
        results.append([loss, *torch.autograd.grad(loss, [net.layer.weight])])
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-12)


def test_what_is_kept_anew_at_each_call_is_declined() -> None:
    net = Keeping().to(D)
    with flashode.use_engine("auto"), pytest.warns(flashode.FallbackWarning, match="last"):
        flashode.odeint(net, Y0, TIMES)
    assert net.last is not None
    assert "changes" in declined(net, Y0)


class Raising(Cached):
    """Draws, and raises, where it has not drawn before; or where it has."""

    raises_first = True

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        first = self.last is None
        if self.last is None:
            self.last = torch.randn_like(y)
        if first is self.raises_first:
            raise ValueError("no more")
        return y * self.last


@pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")
@pytest.mark.parametrize("first", [True, False])
def test_a_call_that_raises_leaves_what_it_leaves_in_pytorch(first: bool) -> None:
    left = []
    for engine in ("auto", "eager"):
        torch.manual_seed(5)
        net = Raising().to(D)
        net.raises_first = first
        with flashode.use_engine(engine), pytest.raises(ValueError, match="no more"):
            flashode.odeint(net, Y0, TIMES)
        assert net.last is not None
        left.append((net.last, torch.rand(2)))
    torch.testing.assert_close(*left)


def test_noise_is_drawn_once_where_a_call_is_begun_again(tmp_path: Any, monkeypatch: Any) -> None:
    """As it comes to code of a library that has to be looked at first."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "flashode_test_noise.py").write_text("def scaled(y):\n    return 2 * y\n")
    monkeypatch.syspath_prepend(str(folder))
    library: Any = importlib.import_module("flashode_test_noise")
    scaled = library.scaled

    class Net(Cached):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            if self.last is None:
                self.last = torch.randn_like(y)
            return scaled(y) * self.last  # type: ignore[no-any-return]

    drawn = []
    for engine in ("native", "eager"):
        torch.manual_seed(5)
        net = Net().to(D)
        with flashode.use_engine(engine):
            drawn += [(flashode.odeint(net, Y0, TIMES, method="rk4"), net.last, torch.rand(2))]
    torch.testing.assert_close(*drawn, rtol=1e-10, atol=1e-12)
