"""What odeint_adjoint takes besides odeint's arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchdiffeq
from torch import Tensor, nn

import flashode
from compat.cases import values
from flashode import odeint, odeint_adjoint
from problems import Network, Pair

Y0 = values(4, 3)
T = torch.linspace(0, 1, 4, dtype=torch.float64)
PAIR = (values(4, 3), values(4, 1))


def count_and_gradients(library: Any, func: Any, y0: Any, **arguments: Any) -> tuple[int, list[Tensor]]:
    """Evaluations of both solves, and gradients in the parameters."""
    solution = library.odeint_adjoint(func, y0, T, **arguments)
    parts = solution if isinstance(solution, tuple) else (solution,)
    loss = sum((part * part).sum() for part in parts)
    gradients = torch.autograd.grad(loss, list(func.parameters()), allow_unused=True)
    assert all(g is not None for g in gradients)
    return func.nfe, list(gradients)


def largest(state: Any) -> Tensor:
    """A norm that sees every part."""
    return torch.stack([part.abs().amax() for part in state]).amax()


ACCEPTED: dict[str, dict[str, Any]] = {
    "own tolerances": {"adjoint_rtol": 1e-3, "adjoint_atol": 1e-4},
    "tolerances of the parts": {"adjoint_rtol": (1e-3,) * 7, "adjoint_atol": (1e-4,) * 7},
    "own method": {"adjoint_method": "bosh3", "adjoint_rtol": 1e-4},
    "fixed-step reverse": {"adjoint_method": "rk4", "adjoint_options": {"step_size": 0.05}},
    "fixed-step forward": {"method": "rk4", "options": {"step_size": 0.1}},
    "fixed forward, adaptive reverse": {
        "method": "midpoint",
        "options": {"step_size": 0.1},
        "adjoint_method": "dopri5",
        "adjoint_options": {},
    },
    "options are inherited": {"options": {"first_step": 0.01, "max_step": 0.05}},
    "options are replaced": {"options": {"max_step": 0.05}, "adjoint_options": {"first_step": 0.02}},
    "seminorm": {"adjoint_options": {"norm": "seminorm"}},
    "own norm": {"adjoint_options": {"norm": largest}},
    "forward norm": {"options": {"norm": lambda x: x.abs().amax()}},
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_same_as_torchdiffeq(engine: str, name: str) -> None:
    arguments = {"rtol": 1e-5, "atol": 1e-6, **ACCEPTED[name]}
    expected = count_and_gradients(torchdiffeq, Network(), Y0, **arguments)
    actual = count_and_gradients(flashode, Network(), Y0, **arguments)
    assert actual[0] == expected[0]
    for x, y in zip(actual[1], expected[1], strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-5 * float(y.abs().max()))


TUPLE: dict[str, dict[str, Any]] = {
    "seminorm": {"adjoint_options": {"norm": "seminorm"}},
    "own norm": {"adjoint_options": {"norm": largest}},
    "forward norm": {"options": {"norm": lambda state: state[0].abs().amax()}},
}


@pytest.mark.parametrize("name", TUPLE)
def test_tuple_state_same_as_torchdiffeq(name: str) -> None:
    arguments = {"rtol": 1e-5, "atol": 1e-6, **TUPLE[name]}
    with flashode.use_engine("eager"):
        expected = count_and_gradients(torchdiffeq, Pair(), PAIR, **arguments)
        actual = count_and_gradients(flashode, Pair(), PAIR, **arguments)
    assert actual[0] == expected[0]
    for x, y in zip(actual[1], expected[1], strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-5 * float(y.abs().max()))


def test_norm_gets_the_unpacked_state() -> None:
    seen: list[list[tuple[int, ...]]] = []

    def norm(state: tuple[Tensor, ...]) -> Tensor:
        seen.append([tuple(part.shape) for part in state])
        return largest(state)

    with flashode.use_engine("eager"):
        func = Pair()
        solution = odeint_adjoint(func, PAIR, T, adjoint_options={"norm": norm})
        solution[0].sum().backward()
    parameters = [tuple(p.shape) for p in func.parameters()]
    assert seen
    assert all(shapes == [(), (4, 3), (4, 1), (4, 3), (4, 1), *parameters] for shapes in seen)


def test_tolerance_of_each_component_or_element(engine: str) -> None:
    """Theirs fails on both; equal tolerances must give what one number gives."""
    one = count_and_gradients(flashode, Network(), Y0, rtol=1e-5, atol=1e-6)
    each = count_and_gradients(
        flashode, Network(), Y0, rtol=torch.full((4, 3), 1e-5), atol=torch.tensor([1e-6] * 3)
    )
    assert each[0] == one[0]
    for x, y in zip(each[1], one[1], strict=True):
        torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-8)


def test_tuple_tolerance() -> None:
    with flashode.use_engine("eager"):
        one = count_and_gradients(flashode, Pair(), PAIR, rtol=1e-5, atol=1e-6)
        each = count_and_gradients(flashode, Pair(), PAIR, rtol=(1e-5, 1e-5), atol=(1e-6, 1e-6))
    assert each[0] == one[0]
    for x, y in zip(each[1], one[1], strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-9)


def test_function_needs_parameters(engine: str) -> None:
    weight = (0.3 * torch.eye(3, dtype=torch.float64)).requires_grad_()

    def func(t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(y @ weight)

    with pytest.raises(ValueError, match=r"func must be a torch\.nn\.Module.*adjoint_params"):
        odeint_adjoint(func, Y0, T)
    y = odeint_adjoint(func, Y0, T, adjoint_params=(w for w in (weight,)))
    (gradient,) = torch.autograd.grad(y.sum(), weight)
    (expected,) = torch.autograd.grad(odeint(func, Y0, T).sum(), weight)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-7)
    assert not odeint_adjoint(func, Y0, T, adjoint_params=()).requires_grad


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"adjoint_params": torch.ones(3)}, TypeError, "adjoint_params must be an iterable"),
        ({"adjoint_params": 3}, TypeError, "adjoint_params must be an iterable.*int"),
        ({"adjoint_params": [torch.ones(3), "w"]}, TypeError, r"adjoint_params\[1\].*str"),
        ({"adjoint_method": "nope"}, ValueError, "adjoint_method must be one of.*'dopri5'.*'nope'"),
        ({"adjoint_rtol": -1.0}, ValueError, "adjoint_rtol must be at least 0"),
        ({"adjoint_rtol": (1e-3,) * 4}, ValueError, "adjoint_rtol must broadcast"),
        ({"adjoint_atol": "a"}, TypeError, "adjoint_atol must be a number"),
        ({"adjoint_options": {"norm": "supnorm"}}, ValueError, "'seminorm' or a callable.*'supnorm'"),
        ({"adjoint_options": {"first_step": -1.0}}, ValueError, r"adjoint_options\['first_step'\]"),
        ({"adjoint_options": [1]}, TypeError, "adjoint_options must be a dict"),
        (
            {"adjoint_method": "rk4", "options": {"first_step": 0.1}},
            ValueError,
            "adjoint_options must be given",
        ),
    ],
)
def test_refused(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        odeint_adjoint(Network(), Y0, T, **arguments)


def test_parameters_without_grad_are_dropped(engine: str) -> None:
    func = Network()
    func.inner.requires_grad_(False)
    y = odeint_adjoint(func, Y0, T)
    y.sum().backward()
    assert func.inner.weight.grad is None
    assert func.outer.weight.grad is not None


def test_dropping_warns_for_a_norm_that_would_see_them() -> None:
    func = Network()
    func.inner.requires_grad_(False)
    with flashode.use_engine("eager"), pytest.warns(UserWarning, match="do not require grad"):
        odeint_adjoint(func, Y0, T, adjoint_options={"norm": largest})


class Unused(Network):
    """Has a parameter that it does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.ones(2, dtype=torch.float64))


def test_unused_parameters_get_zeros(engine: str) -> None:
    func = Unused()
    odeint_adjoint(func, Y0, T).sum().backward()
    assert func.idle.grad is not None
    assert torch.equal(func.idle.grad, torch.zeros(2, dtype=torch.float64))
    assert func.outer.weight.grad is not None
    assert func.outer.weight.grad.abs().sum() > 0


def test_field_that_depends_on_nothing() -> None:
    """Theirs cannot differentiate it; the gradient is the identity."""
    y0 = Y0.clone().requires_grad_()
    with flashode.use_engine("eager"):
        y = odeint_adjoint(lambda t, y: torch.ones_like(y).detach(), y0, T, adjoint_params=())
        y[-1].sum().backward()
    assert y0.grad is not None
    torch.testing.assert_close(y0.grad, torch.ones_like(Y0))


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_norm_on_the_node(engine: str, method: str) -> None:
    """Third-party code reads the norm off the solution and replaces it."""
    func = Network()
    y0 = Y0.clone().requires_grad_()
    y = odeint_adjoint(func, y0, T, method=method)
    node = y.grad_fn
    assert node is not None
    original: Callable[..., Tensor] = node.adjoint_options["norm"]
    seen = []

    def norm(state: tuple[Tensor, ...]) -> Tensor:
        seen.append(len(state))
        return original(state)

    node.adjoint_options["norm"] = norm
    y.sum().backward()
    assert (len(seen) > 0) == (method == "dopri5")
    assert set(seen) <= {3 + len(list(func.parameters()))}
    (expected,) = torch.autograd.grad(odeint_adjoint(func, y0, T, method=method).sum(), y0)
    torch.testing.assert_close(y0.grad, expected, rtol=1e-9, atol=1e-9)


def test_no_gradient_wanted(engine: str) -> None:
    func = Network()
    with torch.no_grad():
        assert not odeint_adjoint(func, Y0, T).requires_grad
    func.requires_grad_(False)
    assert not odeint_adjoint(func, Y0, T).requires_grad
    assert odeint_adjoint(func, Y0.clone().requires_grad_(), T).requires_grad


def test_replica_of_data_parallel() -> None:
    """DataParallel's replicas hold their parameters as plain attributes."""
    func = Network()
    replica = Network()
    replica._is_replica = True
    for part, source in ((replica.inner, func.inner), (replica.outer, func.outer)):
        for name, p in source.named_parameters():
            del part._parameters[name]
            setattr(part, name, p * 1)
    with flashode.use_engine("eager"):
        odeint_adjoint(replica, Y0, T).sum().backward()
        expected = torch.autograd.grad(odeint_adjoint(func, Y0, T).sum(), list(func.parameters()))
    for p, g in zip(func.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, g)
