"""Shapes of what the function returns: accepted, spread over the state or refused as torchdiffeq does."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchdiffeq
from torch import Tensor, nn

from flashode import METHODS, FallbackWarning, explain, odeint, odeint_adjoint, use_engine

T = torch.linspace(0, 1, 3, dtype=torch.float64)
SHAPES = [(), (1,), (2,), (3,), (3, 1), (1, 3), (3, 2), (2, 3), (1, 1), (1, 3, 2), (3, 1, 1), (2, 3, 2)]
THEIRS = ("dopri5", "bosh3", "euler", "midpoint", "rk4", "explicit_adams", "implicit_adams", "scipy_solver")
ADAPTIVE = [name for name, method in METHODS.items() if method.control == "error"]
FIXED = [name for name in METHODS if name not in ADAPTIVE]
Field = Callable[[Tensor, Any], Any]


def returning(shape: tuple[int, ...]) -> Field:
    """A field of any state that returns a tensor of that shape."""
    count = torch.Size(shape).numel()
    weights = torch.arange(1.0, count + 1, dtype=torch.float64).reshape(shape) / count
    return lambda t, y: -(weights * y.mean())


def solved(solve: Callable[..., Any], func: Field, y0: Any, method: str) -> Any:
    """The solution, or the error."""
    try:
        return solve(func, y0, T, method=method)
    except Exception as error:
        return error


@pytest.mark.parametrize("engine", ["auto", "eager"])
@pytest.mark.parametrize("method", THEIRS)
def test_answers_are_torchdiffeqs_or_refused(method: str, engine: str) -> None:
    for shape in SHAPES:
        y0 = torch.arange(1.0, torch.Size(shape).numel() + 1, dtype=torch.float64).reshape(shape)
        for returned in SHAPES:
            with warnings.catch_warnings(), use_engine(engine):
                warnings.simplefilter("ignore")
                theirs = solved(torchdiffeq.odeint, returning(returned), y0, method)
                ours = solved(odeint, returning(returned), y0, method)
            label = f"{shape} from {returned}"
            if isinstance(theirs, Tensor) and (method != "scipy_solver" or isinstance(ours, Tensor)):
                torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8, msg=label)
                continue
            # SciPy's solver there takes what has as many elements, in whatever order.
            assert isinstance(ours, ValueError), label
            for word in (str(shape), str(returned), "func must return", "are its arguments (t, y)"):
                assert word in str(ours), label


@pytest.mark.parametrize("engine", ["auto", "eager"])
@pytest.mark.parametrize("method", ["dopri5", "scipy_solver"])
@pytest.mark.parametrize("func", [lambda y, t: -y, lambda t, y: -y[0]], ids=["swapped", "without the batch"])
def test_adaptive_methods_refuse(func: Field, method: str, engine: str) -> None:
    y0 = torch.ones(5, 2)
    with use_engine(engine):
        for solve in (odeint, odeint_adjoint):
            arguments: dict[str, Any] = {} if solve is odeint else {"adjoint_params": ()}
            with pytest.raises(
                ValueError, match=r"\(5, 2\), as y0 has, got \((2,)?\); are its arguments \(t, y\)"
            ):
                solve(func, y0, T, method=method, **arguments)


@pytest.mark.parametrize("engine", ["auto", "eager"])
@pytest.mark.parametrize("method", FIXED)
def test_fixed_step_methods_warn_once(method: str, engine: str) -> None:
    class Swapped(nn.Module):
        def forward(self, y: Tensor, t: Tensor) -> Tensor:
            return -y

    func = Swapped()
    with use_engine(engine), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            odeint(func, torch.ones(5, 2), T, method=method)
    warning, *slower = caught
    assert str(warning.message) == (
        "func returned a tensor of shape () where y0 has (5, 2): fixed-step methods broadcast it, "
        "adaptive ones refuse it; are its arguments (t, y), in that order?"
    )
    # Beside it, once too, why the function does not run compiled.
    assert [each.category for each in slower] in ([], [FallbackWarning])
    for each in slower:
        assert "(5, 2), as y0 has, got (); are its arguments (t, y), in that order?" in str(each.message)
    assert all(each.filename == __file__ for each in caught)


@pytest.mark.parametrize("method", ["dopri5", "rk4", "gl4", "explicit_adams"])
def test_gradients_of_what_is_spread_and_of_a_leading_axis(method: str) -> None:
    """As if the field had returned the state's shape."""
    y0 = torch.linspace(0.5, 1.5, 6, dtype=torch.float64).reshape(3, 2)

    def gradient(func: Field) -> Tensor:
        y = y0.clone().requires_grad_()
        odeint(func, y, T, method=method)[-1].square().sum().backward()
        assert y.grad is not None
        return y.grad

    torch.testing.assert_close(gradient(lambda t, y: -y[None] * t), gradient(lambda t, y: -y * t))
    if METHODS[method].control == "fixed":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spread = gradient(lambda t, y: -y.mean(0))
        torch.testing.assert_close(spread, gradient(lambda t, y: -y.mean(0).expand(y.shape)))


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
@pytest.mark.parametrize("engine", ["auto", "eager"])
def test_components_have_their_shapes_up_to_axes_of_one(method: str, engine: str) -> None:
    """torchdiffeq counts the elements of a tuple's components; here their order must be the state's too."""
    y0 = (torch.ones(4, 3, dtype=torch.float64), torch.ones(4, 1, dtype=torch.float64))
    fit: list[Field] = [
        lambda t, y: (-y[0], -y[1][:, 0]),
        lambda t, y: [-y[0][None], -y[1].T],
    ]
    unfit: dict[str, Field] = {
        r"\(4, 3\) in component 0, as y0 has, got \(3,\)": lambda t, y: (-y[0][0], -y[1]),
        r"\(4, 3\) in component 0, as y0 has, got \(3, 4\)": lambda t, y: (-y[0].T, -y[1]),
        r"\(4, 1\) in component 1, as y0 has, got \(\)": lambda t, y: (-y[0], -y[1].sum()),
    }
    with use_engine(engine):
        for func in fit:
            theirs = torchdiffeq.odeint(func, y0, T, method=method)
            torch.testing.assert_close(odeint(func, y0, T, method=method), theirs)
        for words, func in unfit.items():
            with pytest.raises(ValueError, match=words):
                odeint(func, y0, T, method=method)


def test_explain_says_so() -> None:
    swapped: Field = lambda y, t: -y  # noqa: E731
    text = " ".join(str(explain(swapped, torch.ones(5, 2))).split())
    assert "does not run" in text
    assert "are its arguments (t, y)" in text
    text = " ".join(str(explain(swapped, torch.ones(5, 2), method="rk4")).split())
    assert "runs in the eager engine" in text
    assert "are its arguments (t, y)" in text


def test_a_warning_that_is_an_error_is_raised() -> None:
    class Constant(nn.Module):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return y[0]

    func = Constant()
    for _ in range(2):
        with warnings.catch_warnings(), use_engine("eager"):
            warnings.simplefilter("error")
            with pytest.raises(UserWarning, match="broadcast it"):
                odeint(func, torch.ones(5, 2), T, method="rk4")


STATE = torch.ones(4, 3, dtype=torch.float64)
PAIR = (STATE, torch.ones(4, 1, dtype=torch.float64))
OUTPUTS: dict[str, tuple[Callable[..., Any], Any, type[Exception], tuple[str, ...]]] = {
    "None": (lambda t, y: None, STATE, TypeError, ("func", "tensor", "NoneType")),
    "a tuple for a tensor": (lambda t, y: (y,), STATE, TypeError, ("func", "tensor", "tuple")),
    "a tensor for a tuple": (lambda t, y: y[0], PAIR, TypeError, ("func", "tuple of 2", "Tensor")),
    "too few components": (lambda t, y: y[:1], PAIR, ValueError, ("func", "tuple of 2", "got 1")),
    "another shape": (lambda t, y: y[:, :2], STATE, ValueError, ("func", "(4, 3)", "(4, 2)")),
    "an outer sum": (lambda t, y: y[:, 0] + y[:, :1], STATE, ValueError, ("func", "(4, 3)", "(4, 4)")),
    "another component's shape": (
        lambda t, y: (y[0], y[0]),
        PAIR,
        ValueError,
        ("func", "component 1", "(4, 1)", "(4, 3)"),
    ),
    "complex for real": (lambda t, y: y * 1j, STATE, TypeError, ("func", "real", "complex128")),
}


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_bad_output_of_the_function(name: str, method: str) -> None:
    func, y0, kind, words = OUTPUTS[name]
    with use_engine("eager"), pytest.raises(kind) as caught:
        odeint(func, y0, T, method=method)
    for word in words:
        assert word in str(caught.value)
