"""Methods whose stages solve equations."""

from __future__ import annotations

import math
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import root
from torch import Tensor, nn

import flashode
from flashode import ConvergenceWarning, NonFiniteError, odeint, use_engine
from flashode.methods import TABLEAUX
from problems import ComplexRotation, Network, Pair, Scalar, values

IMPLICIT = [name for name, tableau in TABLEAUX.items() if tableau.equations != "none"]
# Stage by stage with one known, all at once, and stage by stage.
KINDS = ["trbdf2", "radauIIA5", "sdirk2"]


@pytest.mark.parametrize("method", IMPLICIT)
def test_a_step_solves_its_equations(engine: str, method: str) -> None:
    """Against SciPy's solution of all stages together."""
    tableau = TABLEAUX[method].floats()
    a, b, c = map(np.array, (tableau.a, tableau.b, tableau.c))
    t0, h, y0 = 0.3, 0.7, np.array([0.8, -1.1])

    def rate(t: Any, y: Any) -> Any:
        return np.stack([np.sin(t) - y[..., 0] * y[..., 1], y[..., 0] - y[..., 1] ** 3], -1)

    def missing(flat: Any) -> Any:
        k = flat.reshape(len(c), 2)
        return (k - rate(t0 + c * h, y0 + h * a @ k)).reshape(-1)

    solved = root(missing, np.tile(rate(t0, y0), len(c)), tol=1e-14)
    expected = y0 + h * b @ solved.x.reshape(len(c), 2)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.stack([torch.sin(t) - y[..., 0] * y[..., 1], y[..., 0] - y[..., 1] ** 3], -1)

    t = torch.tensor([t0, t0 + h], dtype=torch.float64)
    solution = odeint(field, torch.from_numpy(y0), t, method=method)[-1]
    np.testing.assert_allclose(solution.numpy(), expected, rtol=1e-11)


def van_der_pol(t: Any, y: Any) -> tuple[Any, Any]:
    return y[1], 1000 * (1 - y[0] ** 2) * y[1] - y[0]


def robertson(t: Any, y: Any) -> tuple[Any, Any, Any]:
    slow, fast, fastest = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return -slow + fast, slow - fast - fastest, fastest


STIFF = {
    "van der Pol": (van_der_pol, [2.0, 0.0], 600.0, 400),
    "Robertson": (robertson, [1.0, 0.0, 0.0], 1e4, 200),
}


@cache
def stiff_end(name: str) -> Any:
    """The last state by SciPy, to ten digits."""
    rate, start, end, _ = STIFF[name]
    return solve_ivp(rate, (0, end), start, method="Radau", rtol=1e-10, atol=1e-14).y[:, -1]


@pytest.mark.parametrize("method", ["radauIIA3", "radauIIA5", "sdirk2", "trbdf2"])
@pytest.mark.parametrize("name", STIFF)
def test_stiff_problems(engine: str, method: str, name: str) -> None:
    rate, start, end, steps = STIFF[name]
    # Short steps at the start, where the fast components die out.
    grid = end * torch.linspace(0, 1, steps + 1, dtype=torch.float64) ** 6

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.stack(rate(t, y))

    y0 = torch.tensor(start, dtype=torch.float64)
    options = {"grid_constructor": lambda func, y0, t: grid}
    with torch.no_grad():
        y = odeint(field, y0, grid[[0, -1]], method=method, options=options)[-1]
        with pytest.raises(NonFiniteError):
            odeint(field, y0, grid[[0, -1]], method="rk4", options=options)
    np.testing.assert_allclose(y.numpy(), stiff_end(name), rtol=1e-7 if method == "radauIIA5" else 1e-3)


@pytest.mark.parametrize("method", IMPLICIT)
def test_evaluations_on_a_linear_problem(engine: str, method: str) -> None:
    """One at the start of a step, and for each equation one that solves it and one that finds it solved."""
    field = Network()
    field.forward = lambda t, y: _counted(field, y)  # type: ignore[method-assign]
    t = torch.tensor([0.0, 0.1, 0.2], dtype=torch.float64)
    with torch.no_grad():
        odeint(field, values(2, 3), t, method=method)
    equations = sum(any(row) for row in TABLEAUX[method].a)
    assert field.nfe == 2 * (1 + 2 * equations)


def _counted(field: Network, y: Tensor) -> Tensor:
    field.nfe += 1
    return -3 * y + y.flip(-1)


@pytest.mark.parametrize("method", KINDS)
def test_second_derivatives(method: str) -> None:
    func = Network(features=2, width=2)

    def solve(y0: Tensor, t: Tensor, *parameters: Tensor) -> Tensor:
        return odeint(func, y0, t, method=method)

    t = torch.tensor([0.1, 0.5], dtype=torch.float64, requires_grad=True)
    with use_engine("eager"):
        inputs = (values(2).requires_grad_(), t, *list(func.parameters())[:2])
        assert torch.autograd.gradgradcheck(solve, inputs)


@pytest.mark.parametrize("method", KINDS)
def test_gradients_through_a_closure(engine: str, method: str) -> None:
    y0 = values(3)
    t = torch.tensor([0.0, 0.4, 0.7], dtype=torch.float64)

    def solve(rate: Tensor) -> Tensor:
        return odeint(lambda t, y: torch.sin(t) - rate * y**3, y0, t, method=method)

    assert torch.autograd.gradcheck(solve, (torch.tensor([0.7], dtype=torch.float64, requires_grad=True),))


def test_a_parameter_that_comes_in_within_a_step() -> None:
    rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return -y if t < 0.5 else -rate * y

    with use_engine("eager"):
        t = torch.tensor([0.0, 1.0], dtype=torch.float64)
        y = odeint(field, torch.ones(1, dtype=torch.float64), t, method="implicit_euler")
    (slope,) = torch.autograd.grad(y[-1].sum(), rate)
    assert slope.item() == pytest.approx(-1 / 1.7**2, rel=1e-12)


@pytest.mark.parametrize("method", KINDS)
def test_no_graph_where_nothing_requires_grad(method: str) -> None:
    with use_engine("eager"):
        t = torch.tensor([0.0, 1.0], dtype=torch.float64)
        y = odeint(lambda t, y: -y, values(3), t, method=method)
    assert not y.requires_grad


@pytest.mark.parametrize("method", KINDS)
@pytest.mark.parametrize("kind", [Network, Pair, ComplexRotation, Scalar])
def test_adjoint_is_the_gradient(method: str, kind: type[nn.Module]) -> None:
    starts: dict[type[nn.Module], Any] = {
        Network: values(2, 3),
        Pair: (values(2, 3), values(2, 1)),
        ComplexRotation: torch.complex(values(3), values(3, seed=1)),
        Scalar: values(),
    }
    t = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    results = []
    for solve in (odeint, flashode.odeint_adjoint):
        func = kind()
        with use_engine("eager"):
            y = solve(func, starts[kind], t, method=method, options={"step_size": 0.05})
        loss = sum(torch.view_as_real(part[-1] + 0j).sum() for part in (y if isinstance(y, tuple) else (y,)))
        assert isinstance(loss, Tensor)
        results.append(torch.autograd.grad(loss, list(func.parameters())))
    for x, y in zip(*results, strict=True):
        torch.testing.assert_close(x, y, rtol=5e-3, atol=5e-3 * float(x.abs().max()))


def test_adjoint_takes_no_jacobian_of_the_parameters() -> None:
    """One of a million parameters would need terabytes."""

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.full((1_000_000,), 1e-6, dtype=torch.float64))

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return -self.weight.sum() * y

    func = Wide()
    with use_engine("eager"):
        t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
        flashode.odeint_adjoint(func, values(2), t, method="gl4")[-1].sum().backward()
    assert func.weight.grad is not None
    expected = float(-math.exp(-1) * values(2).sum())
    torch.testing.assert_close(
        func.weight.grad, torch.full_like(func.weight, expected).detach(), rtol=1e-3, atol=0
    )


def test_warns_once_where_the_equations_are_not_solved() -> None:
    t = torch.linspace(1, 2, 5, dtype=torch.float64)
    with use_engine("eager"), pytest.warns(ConvergenceWarning) as caught:
        odeint(lambda t, y: -(y**3), values(3), t, method="gl4", options={"max_iters": 1})
    assert len(caught) == 1
    assert "gl4" in str(caught[0].message)
    assert "max_iters = 1 iterations, first at t = 1;" in str(caught[0].message)


def test_equations_without_a_solution_warn() -> None:
    """Backward Euler with step 1 makes of y' = y the equation 0 y1 = y0."""
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    with use_engine("eager"), pytest.warns(ConvergenceWarning):
        assert torch.isfinite(odeint(lambda t, y: y, values(2), t, method="implicit_euler")).all()


def test_a_field_that_is_not_finite_raises_and_does_not_warn() -> None:
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    with use_engine("eager"), pytest.raises(NonFiniteError, match="t = 0"):
        odeint(lambda t, y: torch.log(y), -values(2).abs(), t, method="radauIIA3")


class Unbatched(torch.autograd.Function):
    """-sin y, whose reverse looks at numbers and so cannot be batched."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        ctx.save_for_backward(y)
        return -torch.sin(y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return -torch.cos(y) * gradient if float(gradient.abs().sum()) > 0 else torch.zeros_like(y)


@pytest.mark.parametrize("method", KINDS)
def test_fields_whose_reverse_cannot_be_batched(method: str) -> None:
    t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    with use_engine("eager"):
        solution = odeint(lambda t, y: Unbatched.apply(y), values(3), t, method=method)  # type: ignore[no-untyped-call]
        expected = odeint(lambda t, y: -torch.sin(y), values(3), t, method=method)
    torch.testing.assert_close(solution, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("method", KINDS)
def test_fields_that_autograd_cannot_see(method: str) -> None:
    """Without a Jacobian Newton's method is functional iteration."""
    t = torch.linspace(0, 1, 6, dtype=torch.float64)
    with use_engine("eager"):
        solution = odeint(
            lambda t, y: -torch.from_numpy(np.sin(y.detach().numpy())), values(3), t, method=method
        )
        expected = odeint(lambda t, y: -torch.sin(y), values(3), t, method=method)
    torch.testing.assert_close(solution, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("method", KINDS)
def test_precisions(method: str, dtype: torch.dtype) -> None:
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    with use_engine("eager"), warnings.catch_warnings():
        warnings.simplefilter("error")
        y = odeint(lambda t, y: -y, torch.ones(3, dtype=dtype), t, method=method)
    assert y.dtype == dtype
    allowed = 1e-3 if dtype == torch.float32 else 5e-2
    torch.testing.assert_close(
        y[-1].double(), torch.full((3,), math.exp(-1), dtype=torch.float64), rtol=0, atol=allowed
    )


@pytest.mark.needs("numbers in the field")
@pytest.mark.parametrize("method", IMPLICIT)
def test_perturbed_times(engine: str, method: str) -> None:
    """The start is seen just after it and the end just before it."""
    seen: list[float] = []

    def field(t: Tensor, y: Tensor) -> Tensor:
        seen.append(float(t))
        return -y

    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    with torch.no_grad():
        odeint(field, values(2), t, method=method, options={"perturb": True})
    assert min(seen) == math.nextafter(0, 1)
    assert max(seen) < 1
    assert (max(seen) == math.nextafter(1, 0)) == (1 in TABLEAUX[method].c)
