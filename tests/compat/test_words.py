"""What messages say: short whatever was given, in our words, with what to write instead."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from flashode import SolverError, odeint, odeint_adjoint, odeint_dense, odeint_event, use_engine
from problems import Network

Y0 = torch.ones(4, 3, dtype=torch.float64)
T = torch.linspace(0, 1, 3, dtype=torch.float64)
MANY = 5000
LARGE: dict[str, Any] = {
    "a list": [1j] * MANY,
    "numbers": [-1.0] * MANY,
    "a tensor": torch.full((MANY,), -1.0),
    "a matrix": torch.full((MANY, 2), math.nan),
    "an array": np.full(MANY, -1.0),
    "a string": "x" * MANY,
    "a dict": {str(i): i for i in range(MANY)},
    "an unordered tensor": torch.linspace(0, 1, MANY).roll(1),
    "its parts": (torch.full((MANY,), -1.0),) * 9,
}
OPTIONS = {
    "dopri5": ("first_step", "min_step", "safety", "max_num_steps", "dtype", "norm", "step_t", "jump_t"),
    "gl4": ("step_size", "interp", "perturb", "max_iters", "norm", "grid_constructor"),
    "explicit_adams": ("max_order",),
    "scipy_solver": ("solver",),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LARGE)
def test_messages_are_short_whatever_is_given(name: str) -> None:
    large = LARGE[name]
    calls: list[dict[str, Any]] = [
        {argument: large}
        for argument in ("func", "y0", "t", "rtol", "atol", "method", "options", "verify", "event_fn")
    ]
    calls += [
        {"method": method, "options": {option: large}}
        for method, options in OPTIONS.items()
        for option in options
    ]
    calls += [
        {"adjoint_params": (), argument: large}
        for argument in (
            "adjoint_rtol",
            "adjoint_atol",
            "adjoint_method",
            "adjoint_options",
            "adjoint_params",
        )
    ]
    calls += [{"adjoint_options": {"norm": large}, "adjoint_params": ()}]
    calls += [{"method": "rk4", "options": {"grid_constructor": lambda f, y, t: large}}]
    calls += [{"func": lambda t, y: large}]
    refused = 0
    for changed in calls:
        arguments = {"func": lambda t, y: -y, "y0": Y0, "t": T, **changed}
        solve = odeint_adjoint if any(key.startswith("adjoint") for key in changed) else odeint
        message = ""
        try:
            with use_engine("eager"):
                solve(arguments.pop("func"), arguments.pop("y0"), arguments.pop("t"), **arguments)
        except (TypeError, ValueError, SolverError) as error:
            message = str(error)
        refused += bool(message)
        assert len(message) < 420, changed
    assert refused > len(calls) / 2


def test_so_are_warnings() -> None:
    options = {f"option{i}": 0 for i in range(MANY)}
    with use_engine("eager"), pytest.warns(UserWarning, match="does not know 'option0', ") as caught:
        odeint(Network(), Y0, T, options=options)
    assert len(str(caught[0].message)) < 300


def test_an_option_given_as_an_argument() -> None:
    for solve in (odeint, odeint_adjoint):
        with pytest.raises(
            TypeError, match=rf"{solve.__name__}\(\) takes 'step_size' .* options={{'step_size': \.\.\.}}"
        ):
            solve(Network(), Y0, T, method="rk4", step_size=0.1)  # type: ignore[call-arg]
    words = r"odeint_dense\(\) takes 'first_step', 'norm' .* options={'first_step': \.\.\., 'norm': \.\.\.}"
    with pytest.raises(TypeError, match=words):
        odeint_dense(Network(), Y0, 0.0, 1.0, first_step=0.1, norm=torch.amax)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"odeint\(\) takes 'step_size'"):
        odeint_event(Network(), Y0, 0.0, event_fn=lambda t, y: y.sum(), step_size=0.1)
    with pytest.raises(TypeError, match=r"odeint\(\) got an unexpected keyword argument 'tolerance'"):
        odeint(Network(), Y0, T, tolerance=0.1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("func", "takes"),
    [(lambda: None, r"\(\)"), (lambda t, y, u: y, r"\(t, y, u\)"), (torch.sin, None)],
    ids=["none", "three", "torch's own"],
)
def test_a_function_of_another_number_of_arguments(
    func: Callable[..., Any], takes: str | None, engine: str
) -> None:
    """Of what has no signature torch's words are kept."""
    words = None if takes is None else rf"^func must be a callable of \(t, y\), got .*, which takes {takes}$"
    with use_engine("eager"), pytest.raises(TypeError, match=words):
        odeint(func, Y0, T)


def test_an_error_of_the_function_s_own_passes() -> None:
    def broken(t: Tensor, y: Tensor) -> Tensor:
        raise TypeError("mine")

    with use_engine("eager"), pytest.raises(TypeError, match=r"^mine$"):
        odeint(broken, Y0, T)


def test_a_class_that_makes_tensors_is_a_function() -> None:
    class Rate:
        def __new__(cls, t: Tensor, y: Tensor) -> Any:
            return -y

    with use_engine("eager"):
        assert torch.equal(odeint(Rate, Y0, T), odeint(lambda t, y: -y, Y0, T))


LAYOUTS: dict[str, Callable[[], Tensor]] = {
    "torch.sparse_coo": Y0.to_sparse,
    "torch.sparse_csr": Y0.to_sparse_csr,
    "torch.sparse_bsr": lambda: Y0.to_sparse_bsr((2, 3)),
    "torch._mkldnn": lambda: Y0.float().to_mkldnn(),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "nested one": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_other_than_dense_ones(layout: str, engine: str) -> None:
    y0 = LAYOUTS[layout]()
    with pytest.raises(TypeError, match=rf"^y0 must be a dense tensor, got .*{layout}"):
        odeint(lambda t, y: -y, y0, T)
    with pytest.raises(TypeError, match=rf"^y0\[1\] must be a dense tensor, got .*{layout}"):
        odeint(lambda t, y: -y, (Y0, y0), T)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_layout_after_a_dense_state_of_the_same_shape(engine: str) -> None:
    net, y0 = Network(), Y0
    odeint(net, y0, T)
    odeint(net, y0, T)
    for state, times in ((y0.to_sparse(), T), (y0.to_sparse_csr(), T), (y0, T.to_sparse())):
        with pytest.raises(TypeError, match="must be a dense tensor, got the layout"):
            odeint(net, state, times)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_quantized_numbers() -> None:
    y0 = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    with pytest.raises(TypeError, match=r"^y0 must have a floating-point or complex dtype, got torch.qint8"):
        odeint(lambda t, y: -y, y0, T)


def test_a_class_or_a_module_of_one_argument_natively() -> None:
    with pytest.raises(TypeError, match=r"^func must be a callable of \(t, y\), got the class Linear: "):
        odeint(torch.nn.Linear, Y0, T)
    with pytest.raises(
        TypeError, match=r"^func must be a callable of \(t, y\), got Linear, which takes \(input"
    ):
        odeint(torch.nn.Linear(3, 3).double(), Y0, T)
