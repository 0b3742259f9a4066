"""Fields of augmented states against nested automatic differentiation of the flow, in float64."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode.transforms import with_divergence, with_jvp, with_laplacian

B, D = 5, 3
# Fixed steps: the flow of the discrete solve has exactly these derivatives, whatever its error is.
STEPS: dict[str, Any] = {"method": "rk4", "options": {"step_size": 0.25}}
T = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
ENGINES = ["native", "eager"]


class Net(nn.Module):
    def __init__(self, width: int = D) -> None:
        super().__init__()
        self.first = nn.Linear(width + 1, 7)
        self.second = nn.Linear(7, width)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        time = t.expand(*y.shape[:-1], 1)
        return self.second(torch.tanh(self.first(torch.cat((y, time), -1)))) + 0.2 * torch.sin(t) * y.square()


def _net(width: int = D) -> Net:
    torch.manual_seed(0)
    return Net(width).double()


def _random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _flow(net: Net, y0: Tensor) -> Tensor:
    """The solution in plain torch, which autograd differentiates to any order."""
    with flashode.use_engine("eager"):
        return flashode.odeint(net, y0, T, **STEPS)


def _jacobian(net: Net, y0: Tensor) -> Tensor:
    """Of one trajectory's solution in its start: (times, D, D)."""
    return torch.autograd.functional.jacobian(lambda y: _flow(net, y[None])[:, 0], y0)


@pytest.mark.parametrize("engine", ENGINES)
def test_jvp_is_the_flows(engine: str) -> None:
    net, y0, v = _net(), _random(B, D), _random(B, D, seed=2)
    with flashode.use_engine(engine):
        y, moved = flashode.odeint(with_jvp(net), (y0, v), T, **STEPS)
    torch.testing.assert_close(y, _flow(net, y0))
    for i in range(B):
        expected = torch.einsum("tij,j->ti", _jacobian(net, y0[i]), v[i])
        torch.testing.assert_close(moved[:, i], expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("engine", ENGINES)
def test_divergence_is_the_trace(engine: str) -> None:
    net, y = _net(), _random(B, D)
    t = torch.tensor(0.4, dtype=torch.float64)
    rate, change = with_divergence(net)(t, (y, torch.zeros(B, 1, dtype=torch.float64)))
    torch.testing.assert_close(rate, net(t, y))
    for i in range(B):
        jacobian = torch.autograd.functional.jacobian(lambda y: net(t, y[None])[0], y[i])
        torch.testing.assert_close(change[i, 0], -jacobian.trace())
    # And of the solve: the logarithm of the flow's determinant, by Liouville's formula.
    tight = {"rtol": 1e-10, "atol": 1e-10}
    with flashode.use_engine(engine):
        _, logp = flashode.odeint(with_divergence(net), (y, torch.zeros(B, 1).double()), T, **tight)
    with flashode.use_engine("eager"):
        jacobian = torch.autograd.functional.jacobian(
            lambda y: flashode.odeint(net, y[None], T, **tight)[-1, 0], y[0]
        )
    torch.testing.assert_close(logp[-1, 0, 0], -torch.linalg.slogdet(jacobian)[1], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", [(B, D), (D,)])
def test_estimates_over_all_axes_are_the_trace(engine: str, shape: tuple[int, ...]) -> None:
    net, y = _net(), _random(B, D)
    t = torch.tensor([0.0, 0.01], dtype=torch.float64)
    start = torch.zeros(B, 1, dtype=torch.float64)
    results = []
    with flashode.use_engine(engine):
        for i in range(D):
            probe = torch.zeros(shape, dtype=torch.float64)
            probe[..., i] = D**0.5
            estimate = with_divergence(net, "hutchinson", probe)
            results.append(flashode.odeint(estimate, (y, start), t, method="euler")[1][-1])
        exact = flashode.odeint(with_divergence(net), (y, start), t, method="euler")[1][-1]
    torch.testing.assert_close(torch.stack(results).mean(0), exact)


class Lifted(nn.Module):
    """A function of points: lifted, moved along the flow, and read out."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Linear(2, D)
        self.flow = Net()
        self.read = nn.Linear(D, 1)

    def nested(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values, gradients and Laplacians at points (B, 2), by autograd of autograd."""
        x = x.clone().requires_grad_()
        value = self.read(_flow(self.flow, self.lift(x))[-1])[:, 0]
        (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        second = [torch.autograd.grad(gradient[:, k].sum(), x, create_graph=True)[0][:, k] for k in range(2)]
        return value, gradient, second[0] + second[1]

    def solved(self, x: Tensor, solve: Callable[..., Any]) -> tuple[Tensor, Tensor, Tensor]:
        """The same from one solve."""
        y0 = self.lift(x)
        directions = self.lift.weight.mT.expand(len(x), 2, D)
        state = (y0, directions, torch.zeros_like(y0))
        y, jacobian, second = (part[-1] for part in solve(with_laplacian(self.flow), state, T, **STEPS))
        weight = self.read.weight[0]
        return self.read(y)[:, 0], jacobian @ weight, second @ weight


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
def test_value_gradient_and_laplacian_come_from_one_solve_and_train(
    solve: Callable[..., Any], engine: str
) -> None:
    torch.manual_seed(0)
    model = Lifted().double()
    x = _random(B, 2)

    def loss(parts: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        value, gradient, laplacian = parts
        return (laplacian - value * x[:, 0]).square().mean() + gradient.sin().mean()

    expected = model.nested(x)
    with flashode.use_engine(engine):
        actual = model.solved(x, solve)
        loss(actual).backward()
    own = [p.grad.clone() for p in model.parameters()]
    for mine, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11)
    model.zero_grad()
    loss(expected).backward()
    # The continuous adjoint's gradient differs by the error of the solve.
    close = 1e-9 if solve is flashode.odeint else 1e-3
    for mine, parameter in zip(own, model.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad, rtol=close, atol=close)


@pytest.mark.parametrize("directions", [1, 3])
def test_laplacians_along_any_number_of_directions(directions: int) -> None:
    net, y0 = _net(), _random(B, D)
    jacobian, second = _random(B, directions, D, seed=3), _random(B, D, seed=4)
    with flashode.use_engine("native"):
        y, first, total = flashode.odeint(with_laplacian(net), (y0, jacobian, second), T, **STEPS)

    # Along curves y0 + s v + s² a / 2 of the start: the accelerations add up.
    def second_along(v: Tensor, a: Tensor) -> Tensor:
        def curve(s: Tensor) -> Tensor:
            return _flow(net, y0 + s * v + s.square() / 2 * a)

        zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)

        def velocity(s: Tensor) -> Tensor:
            return torch.autograd.functional.jvp(curve, s, one, create_graph=True)[1]

        return torch.autograd.functional.jvp(velocity, zero, one)[1]

    expected = sum(
        second_along(jacobian[:, k], second if k == 0 else torch.zeros_like(second))
        for k in range(directions)
    )
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-10)
    for k in range(directions):
        moved = flashode.odeint(with_jvp(net), (y0, jacobian[:, k]), T, **STEPS)[1]
        torch.testing.assert_close(first[:, :, k], moved, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(y, _flow(net, y0))


def _transformed(net: Any) -> dict[str, tuple[Any, tuple[Tensor, ...]]]:
    y, one = _random(B, D), torch.zeros(B, 1, dtype=torch.float64)
    return {
        "jvp": (with_jvp(net), (y, y)),
        "divergence": (with_divergence(net), (y, one)),
        "estimate": (with_divergence(net, "hutchinson", torch.ones_like(y)), (y, one)),
        "laplacian": (with_laplacian(net), (y, y[:, None].repeat(1, 2, 1), y)),
    }


@pytest.mark.parametrize("kind", ["jvp", "divergence", "estimate", "laplacian"])
def test_all_run_compiled_and_keep_their_parameters(kind: str) -> None:
    net = _net()
    field, state = _transformed(net)[kind]
    assert flashode.explain(field, state).engine == "native"
    assert [id(p) for p in field.parameters()] == [id(p) for p in net.parameters()]
    # Of a function a function: nothing pretends to know its parameters.
    plain, state = _transformed(lambda t, y: net(t, y))[kind]
    assert flashode.explain(plain, state).engine == "native"
    with pytest.raises(ValueError, match="adjoint_params"):
        flashode.odeint_adjoint(plain, state, T)
    torch.testing.assert_close(
        flashode.odeint(plain, state, T)[-1], flashode.odeint(field, state, T)[-1], rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("kind", ["jvp", "divergence", "estimate", "laplacian"])
def test_counters_count_in_both_engines(kind: str) -> None:
    class Counting(Net):
        def __init__(self) -> None:
            super().__init__()
            self.nfe = 0

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.nfe += 1
            return super().forward(t, y)

    torch.manual_seed(0)
    net = Counting().double()
    field, state = _transformed(net)[kind]
    counts = []
    for engine in ENGINES:
        net.nfe = 0
        with flashode.use_engine(engine):
            flashode.odeint(field, state, T, **STEPS)
        counts.append(net.nfe)
    assert counts[0] == counts[1] > 0


def test_fields_of_modules_are_copied_saved_and_moved() -> None:
    net, state = _net(), (_random(B, D), torch.zeros(B, 1, dtype=torch.float64))
    field = with_divergence(net, "hutchinson", torch.ones(B, D, dtype=torch.float64))
    expected = field(T[0], state)[1]
    for other in (pickle.loads(pickle.dumps(field)), copy.deepcopy(field)):
        assert torch.equal(other(T[0], state)[1], expected)
    assert set(field.state_dict()) == {f"func.{name}" for name in net.state_dict()}
    moved = field.float()
    single = moved(T[0].float(), tuple(part.float() for part in state))[1]
    torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=1e-5)


def test_a_probe_learns_too() -> None:
    net, y = _net(), _random(B, D)
    probe = torch.ones(B, D, dtype=torch.float64, requires_grad=True)
    start = torch.zeros(B, 1, dtype=torch.float64)
    grads = []
    for engine in ENGINES:
        with flashode.use_engine(engine):
            _, logp = flashode.odeint(with_divergence(net, "hutchinson", probe), (y, start), T, **STEPS)
            grads.append(torch.autograd.grad(logp[-1].sum(), probe)[0])
    assert grads[0].abs().min() > 0
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda: with_jvp("net"), TypeError, "func must be a callable .* got str"),
        (lambda: with_divergence(_net(), "exactly"), ValueError, "estimator must be .* got 'exactly'"),
        (lambda: with_divergence(_net(), "hutchinson"), ValueError, "probe must be given"),
        (lambda: with_divergence(_net(), "hutchinson", 1.0), TypeError, "probe must be a tensor .* float"),
        (lambda: with_divergence(_net(), probe=torch.ones(D)), ValueError, "probe must be None"),
        (lambda: with_laplacian(None), TypeError, "func must be .* got NoneType"),
    ],
)
def test_bad_arguments(call: Callable[[], object], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        call()


Y = torch.zeros(B, D, dtype=torch.float64)


@pytest.mark.parametrize(
    ("field", "state", "error", "named"),
    [
        (with_jvp(_net()), Y, TypeError, r"tuple of tensors \(y, v\)"),
        (with_jvp(_net()), (Y, Y, Y), TypeError, r"tuple \(y, v\), got one of 3"),
        (with_jvp(lambda t, y: y[:, :1]), (Y, Y), ValueError, r"shape of y, \(5, 3\), got \(5, 1\)"),
        (with_jvp(lambda t, y: None), (Y, Y), TypeError, "func must return a tensor"),
        (
            with_divergence(_net()),
            (Y[:, None], Y[:, :1]),
            ValueError,
            r"y of shape \(B, D\), got \(5, 1, 3\)",
        ),
        (
            with_divergence(_net(), "hutchinson", Y.float()),
            (Y, Y[:, :1]),
            TypeError,
            "probe must have the dtype",
        ),
        (with_jvp(_net()), (Y, Y[:2]), ValueError, r"v of shape \(5, 3\), got \(2, 3\)"),
        (with_jvp(_net()), (Y[0], Y[0]), ValueError, "a batch of 1"),
        (with_divergence(_net()), (Y, Y), ValueError, r"logp of shape \(5, 1\)"),
        (
            with_divergence(_net(), "hutchinson", Y[:2]),
            (Y, Y[:, :1]),
            ValueError,
            "probe must have the shape",
        ),
        (with_laplacian(_net()), (Y, Y, Y), ValueError, r"J of shape \(B, K, D\)"),
        (with_laplacian(_net()), (Y, Y[:, None], Y[:, :1]), ValueError, r"L of shape \(5, 3\)"),
        (with_laplacian(_net()), (Y, Y[:, None, :2], Y), ValueError, r"J of shape \(5, 1, 3\)"),
    ],
)
def test_bad_states(field: Any, state: Any, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        flashode.odeint(field, state, T)
