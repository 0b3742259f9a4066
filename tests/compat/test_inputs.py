"""Bad arguments raise at once, naming the argument, what was given and what is accepted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from flashode import METHODS, odeint, odeint_adjoint, use_engine
from problems import Network, Pair

Y0 = torch.ones(4, 3, dtype=torch.float64)
T = torch.linspace(0, 1, 3, dtype=torch.float64)
PAIR = (torch.ones(4, 3, dtype=torch.float64), torch.ones(4, 1, dtype=torch.float64))
FIXED = {"method": "rk4"}
NOT_A_NUMBER: Any = object()

# What is given, the kind of error, and words that its message must contain.
BAD: dict[str, tuple[dict[str, Any], type[Exception], tuple[str, ...]]] = {
    "func": ({"func": 3}, TypeError, ("func", "callable", "int")),
    "func a class": ({"func": Network}, TypeError, ("func", "(t, y)", "the class Network", "Network(...)")),
    "func of one argument": (
        {"func": torch.nn.Linear(3, 3).double()},
        TypeError,
        ("func must be a callable of (t, y)", "Linear, which takes (input: torch.Tensor)"),
    ),
    "y0 sparse": ({"y0": Y0.to_sparse()}, TypeError, ("y0", "dense", "torch.sparse_coo")),
    "t sparse": ({"t": T.to_sparse()}, TypeError, ("t must", "dense", "torch.sparse_coo")),
    "event_fn a class": (
        {"t": T[:2], "event_fn": Network},
        TypeError,
        ("event_fn", "(t, y) or None", "the class Network"),
    ),
    "event_fn of one argument": (
        {"t": T[:2], "event_fn": lambda y: y.sum()},
        TypeError,
        ("event_fn must be a callable of (t, y)", "which takes (y)"),
    ),
    "y0 of integers": (
        {"y0": torch.ones(3, dtype=torch.int64)},
        TypeError,
        ("y0", "floating", "torch.int64"),
    ),
    "y0 of booleans": ({"y0": torch.ones(3) > 0}, TypeError, ("y0", "floating", "torch.bool")),
    "y0 a list": ({"y0": [torch.ones(3)]}, TypeError, ("y0", "tuple of tensors", "list")),
    "y0 a number": ({"y0": 1.0}, TypeError, ("y0", "tensor", "float")),
    "y0 an empty tuple": ({"y0": ()}, ValueError, ("y0", "empty tuple")),
    "y0 a tuple of numbers": ({"y0": (torch.ones(3), 1.0)}, TypeError, ("y0[1]", "tensor", "float")),
    "y0 a tuple with integers": (
        {"y0": (torch.ones(3), torch.ones(2).int())},
        TypeError,
        ("y0[1]", "torch.int32"),
    ),
    "t a list": ({"t": [0.0, 1.0]}, TypeError, ("t must", "tensor", "list")),
    "t of integers": ({"t": torch.arange(3)}, TypeError, ("t must", "floating", "torch.int64")),
    "t complex": ({"t": torch.zeros(2, dtype=torch.complex64)}, TypeError, ("t must", "torch.complex64")),
    "t two-dimensional": ({"t": T[None]}, ValueError, ("t must", "one-dimensional", "(1, 3)")),
    "t 0-d": ({"t": T[0]}, ValueError, ("t must", "one-dimensional", "()")),
    "t empty": ({"t": T[:0]}, ValueError, ("t must", "at least one")),
    "t constant": ({"t": torch.zeros(2)}, ValueError, ("t must", "strictly", "t[0] = 0.0 and t[1] = 0.0")),
    "t not monotone": (
        {"t": torch.tensor([0.0, 2.0, 1.0])},
        ValueError,
        ("t must", "strictly", "t[1] = 2.0 and t[2] = 1.0"),
    ),
    "t decreasing, then not": (
        {"t": torch.tensor([2.0, 1.0, 1.0])},
        ValueError,
        ("t must", "strictly", "t[1] = 1.0 and t[2] = 1.0"),
    ),
    "t NaN": ({"t": torch.tensor([0.0, math.nan, 1.0])}, ValueError, ("t must be finite", "t[1] = nan")),
    "t infinite": ({"t": torch.tensor([0.0, math.inf])}, ValueError, ("t must", "finite", "t[1] = inf")),
    "rtol negative": ({"rtol": -1e-3}, ValueError, ("rtol", "at least 0", "-0.001")),
    "rtol NaN": ({"rtol": math.nan}, ValueError, ("rtol", "at least 0", "nan")),
    "rtol a string": ({"rtol": "tight"}, TypeError, ("rtol", "a number", "'tight'")),
    "rtol missing": ({"rtol": None}, TypeError, ("rtol", "a number", "None")),
    "rtol an object": ({"rtol": NOT_A_NUMBER}, TypeError, ("rtol", "a number", "object")),
    "rtol requires grad": ({"rtol": torch.tensor(0.1, requires_grad=True)}, ValueError, ("rtol", "grad")),
    "atol negative somewhere": (
        {"atol": torch.tensor([1.0, -1.0, 1.0])},
        ValueError,
        ("atol", "-1.0 at index [1]"),
    ),
    "atol of another shape": ({"atol": torch.ones(2)}, ValueError, ("atol", "broadcast", "(4, 3)", "(2,)")),
    "atol requires grad": ({"atol": torch.ones(3, requires_grad=True)}, ValueError, ("atol", "grad")),
    "rtol of two components for three": (
        {"func": Pair(), "y0": PAIR, "rtol": (1e-3, 1e-3, 1e-3)},
        ValueError,
        ("rtol", "2 entries", "got 3"),
    ),
    "method unknown": ({"method": "rk45"}, ValueError, ("method", *map(repr, METHODS), "'rk45'")),
    "method an object": ({"method": METHODS["rk4"]}, TypeError, ("method", "string", "Tableau")),
    "event_fn with three times": (
        {"event_fn": lambda t, y: y.sum()},
        ValueError,
        ("t must hold two times", "event_fn", "got 3"),
    ),
    "event_fn of SciPy's": (
        {"t": T[:2], "method": "scipy_solver", "event_fn": lambda t, y: y.sum()},
        ValueError,
        ("event_fn must be None", "'scipy_solver'"),
    ),
    "max_iters": (
        {"method": "gl4", "options": {"max_iters": 0}},
        ValueError,
        ("options['max_iters']", "positive integer", "got 0"),
    ),
    "max_iters between integers": (
        {"method": "gl4", "options": {"max_iters": 2.5}},
        ValueError,
        ("options['max_iters']", "positive integer", "got 2.5"),
    ),
    "max_order": (
        {"method": "explicit_adams", "options": {"max_order": 13}},
        ValueError,
        ("options['max_order']", "from 1 to 12", "got 13"),
    ),
    "max_order between integers": (
        {"method": "implicit_adams", "options": {"max_order": 2.5}},
        ValueError,
        ("options['max_order']", "from 1 to 12", "got 2.5"),
    ),
    "solver": (
        {"method": "scipy_solver", "options": {"solver": 3}},
        TypeError,
        ("options['solver']", "string", "3"),
    ),
    "solver unknown": (
        {"method": "scipy_solver", "options": {"solver": "FOO"}},
        ValueError,
        ("options['solver']", "RK45", "RK23", "DOP853", "Radau", "BDF", "LSODA", "'FOO'"),
    ),
    "options a list": ({"options": [1]}, TypeError, ("options", "dict", "[1]")),
    "options empty and a list": ({"options": []}, TypeError, ("options", "dict", "[]")),
    "first_step zero": (
        {"options": {"first_step": 0.0}},
        ValueError,
        ("options['first_step']", "positive", "0.0"),
    ),
    "first_step a string": (
        {"options": {"first_step": "small"}},
        TypeError,
        ("options['first_step']", "'small'"),
    ),
    "min_step negative": ({"options": {"min_step": -1.0}}, ValueError, ("options['min_step']", "-1.0")),
    "max_step zero": ({"options": {"max_step": 0}}, ValueError, ("options['max_step']", "positive", "got 0")),
    "min_step above max_step": (
        {"options": {"min_step": 0.2, "max_step": 0.1}},
        ValueError,
        ("options['min_step']", "options['max_step']", "0.2", "0.1"),
    ),
    "safety": ({"options": {"safety": math.nan}}, ValueError, ("options['safety']", "nan")),
    "ifactor": ({"options": {"ifactor": 0.5}}, ValueError, ("options['ifactor']", "at least 1", "0.5")),
    "dfactor": ({"options": {"dfactor": 1.5}}, ValueError, ("options['dfactor']", "at most 1", "1.5")),
    "max_num_steps": (
        {"options": {"max_num_steps": 0}},
        ValueError,
        ("options['max_num_steps']", "positive", "got 0"),
    ),
    "max_num_steps between integers": (
        {"options": {"max_num_steps": 2.5}},
        ValueError,
        ("options['max_num_steps']", "positive integer", "got 2.5"),
    ),
    "max_num_steps NaN": (
        {"options": {"max_num_steps": math.nan}},
        ValueError,
        ("options['max_num_steps']", "nan"),
    ),
    "dtype": ({"options": {"dtype": "float32"}}, TypeError, ("options['dtype']", "torch.dtype", "'float32'")),
    "dtype of integers": ({"options": {"dtype": torch.int64}}, TypeError, ("options['dtype']", "floating")),
    "norm": ({"options": {"norm": "rms"}}, TypeError, ("options['norm']", "callable", "'rms'")),
    "step_t": ({"options": {"step_t": 0.5}}, TypeError, ("options['step_t']", "sequence", "0.5")),
    "step_t two-dimensional": (
        {"options": {"step_t": T[None, :1]}},
        TypeError,
        ("options['step_t']", "one-dim", "shape (1, 1)"),
    ),
    "jump_t infinite": (
        {"options": {"jump_t": [math.inf]}},
        ValueError,
        ("options['jump_t']", "finite", "got options['jump_t'][0] = inf"),
    ),
    "step_t repeated": ({"options": {"step_t": [0.5, 0.5]}}, ValueError, ("step_t", "repeated", "0.5 twice")),
    "step_t is jump_t": (
        {"options": {"step_t": [0.5], "jump_t": torch.tensor([0.5])}},
        ValueError,
        ("step_t", "jump_t", "repeated"),
    ),
    "step_size negative": (
        {**FIXED, "options": {"step_size": -0.1}},
        ValueError,
        ("options['step_size']", "-0.1"),
    ),
    "step_size an object": (
        {**FIXED, "options": {"step_size": "a"}},
        TypeError,
        ("options['step_size']", "'a'"),
    ),
    "grid_constructor": (
        {**FIXED, "options": {"grid_constructor": T}},
        TypeError,
        ("grid_constructor", "callable"),
    ),
    "step_size and grid": (
        {**FIXED, "options": {"step_size": 0.1, "grid_constructor": lambda f, y, t: t}},
        ValueError,
        ("options['step_size']", "options['grid_constructor']", "exclusive"),
    ),
    "interp": (
        {**FIXED, "options": {"interp": "spline"}},
        ValueError,
        ("options['interp']", "'cubic'", "'spline'"),
    ),
    "perturb": ({**FIXED, "options": {"perturb": "yes"}}, TypeError, ("options['perturb']", "True", "'yes'")),
    "perturb another number": ({**FIXED, "options": {"perturb": 2}}, TypeError, ("options['perturb']", "2")),
    "perturb two tensors": (
        {**FIXED, "options": {"perturb": torch.ones(2) > 0}},
        TypeError,
        ("options['perturb']", "True or False"),
    ),
    "grid no tensor": (
        {**FIXED, "options": {"grid_constructor": lambda f, y, t: [0.0, 1.0]}},
        TypeError,
        ("grid_constructor", "tensor", "list"),
    ),
    "grid too short": (
        {**FIXED, "options": {"grid_constructor": lambda f, y, t: t[:-1]}},
        ValueError,
        ("grid_constructor", "ends with t[-1]"),
    ),
    "grid not ordered": (
        {**FIXED, "options": {"grid_constructor": lambda f, y, t: t[[0, 1, 0, 2]]}},
        ValueError,
        ("grid_constructor", "ordered", "got grid[1] = 0.5 and grid[2] = 0.0"),
    ),
}


@pytest.mark.parametrize("solve", [odeint, odeint_adjoint])
@pytest.mark.parametrize("name", BAD)
def test_bad_argument(solve: Callable[..., Any], name: str) -> None:
    bad, kind, words = BAD[name]
    arguments = {"func": Network(), "y0": Y0, "t": T, **bad}
    if solve is odeint_adjoint and "func" not in bad:
        arguments["adjoint_params"] = ()
    with use_engine("eager"), pytest.raises(kind) as caught:
        solve(arguments.pop("func"), arguments.pop("y0"), arguments.pop("t"), **arguments)
    assert type(caught.value) is kind
    for word in words:
        assert word in str(caught.value)


NORMS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "a vector": (lambda y: y.abs().amax(0), ("one number", "shape (3,)")),
    "nothing": (lambda y: None, ("one number", "NoneType")),
    "no elements": (lambda y: y[:0], ("one number", "shape (0, 3)")),
}


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_returns_one_number(engine: str, name: str) -> None:
    norm, words = NORMS[name]
    with pytest.raises(TypeError) as caught:
        odeint(lambda t, y: -y, Y0, T, options={"norm": norm})
    for word in ("options['norm']", *words):
        assert word in str(caught.value)


def test_so_does_the_adjoint_s() -> None:
    y0 = Y0.clone().requires_grad_()
    with use_engine("eager"):
        y = odeint_adjoint(Network(), y0, T, adjoint_options={"norm": lambda state: state[1].abs().amax(0)})
        with pytest.raises(TypeError, match=r"adjoint_options\['norm'\] must return one .*shape \(3,\)"):
            y.sum().backward()


def test_a_norm_may_return_a_number_in_any_wrapping(engine: str) -> None:
    def solved(norm: Callable[[Tensor], Any]) -> Tensor:
        return odeint(lambda t, y: -y, Y0, T, options={"norm": norm})

    plain = solved(lambda y: y.abs().max())
    assert torch.equal(solved(lambda y: y.abs().max()[None, None]), plain)
    assert torch.equal(solved(lambda y: y.abs().max() + 0j), plain)


@pytest.mark.parametrize("perturb", [1, torch.tensor(True)], ids=str)
def test_true_may_be_written_otherwise(perturb: Any) -> None:
    def solved(value: Any) -> Tensor:
        return odeint(lambda t, y: y * (t > 0.5), Y0, T, method="rk4", options={"perturb": value})

    with use_engine("eager"):
        assert torch.equal(solved(perturb), solved(True))
        assert not torch.equal(solved(perturb), solved(False))
        assert torch.equal(solved(None), solved(False))


def test_whole_numbers_may_be_floats() -> None:
    def solved(method: str, **options: Any) -> Tensor:
        return odeint(Network(), Y0, T, method=method, options=options)

    with use_engine("eager"):
        assert torch.equal(solved("gl4", max_iters=50.0), solved("gl4", max_iters=50))
        assert torch.equal(
            solved("explicit_adams", max_order=torch.tensor(5.0)), solved("explicit_adams", max_order=5)
        )
        for steps in (math.inf, 1e12, torch.tensor(1000.0)):
            assert torch.equal(solved("dopri5", max_num_steps=steps), solved("dopri5"))


def test_min_step_is_only_for_lsoda() -> None:
    arguments: dict[str, Any] = {"method": "scipy_solver"}
    options = {"solver": "RK45", "min_step": 1e-3}
    with pytest.warns(UserWarning, match=r"options\['min_step'\] is left out: .*'LSODA'.*'RK45'") as caught:
        y = odeint(lambda t, y: -y, Y0, T, options=options, **arguments)
    assert len(caught) == 1
    assert torch.equal(y, odeint(lambda t, y: -y, Y0, T, options={"solver": "RK45"}, **arguments))


def test_another_dtype_and_missing_axes_of_one_fit() -> None:
    with use_engine("eager"):
        single = odeint(lambda t, y: y.double(), torch.ones(2), T)
        assert single.dtype == torch.float32
        pair = odeint(lambda t, y: (y[0], y[1][:, 0]), PAIR, T)
        assert pair[1].shape == (3, 4, 1)


def test_unknown_options_warn() -> None:
    with use_engine("eager"):
        with pytest.warns(UserWarning, match="dopri5 does not know 'step_size'.*first_step"):
            odeint(Network(), Y0, T, options={"step_size": 0.1})
        with pytest.warns(UserWarning, match="rk4 does not know 'first_step'.*step_size"):
            odeint(Network(), Y0, T, method="rk4", options={"first_step": 0.1})
        with pytest.warns(UserWarning, match="adjoint_options.*'colour'"):
            odeint_adjoint(Network(), Y0, T, adjoint_options={"colour": 1})


def test_an_option_of_none_is_not_given() -> None:
    with use_engine("eager"):
        none = {"first_step": None, "step_t": None, "jump_t": None, "norm": None}
        assert torch.equal(odeint(Network(), Y0, T, options=none), odeint(Network(), Y0, T))
        none = {"step_size": None, "grid_constructor": None}
        assert torch.equal(
            odeint(Network(), Y0, T, method="rk4", options=none), odeint(Network(), Y0, T, method="rk4")
        )


def test_options_are_left_alone() -> None:
    options = {"norm": torch.amax, "first_step": 0.1}
    arguments = dict(options)
    with use_engine("eager"):
        odeint_adjoint(Network(), Y0, T, options=options)
    assert options == arguments


@pytest.mark.parametrize("shape", [(0,), (0, 3), (4, 0)])
@pytest.mark.parametrize("method", ["dopri5", "rk4", "trbdf2", "gl4", "implicit_adams", "explicit_adams"])
def test_empty_state(shape: tuple[int, ...], method: str) -> None:
    with use_engine("eager"):
        y = odeint(lambda t, y: -y, torch.zeros(shape), torch.linspace(0, 1, 6), method=method)
    assert y.shape == (6, *shape)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_low_precision(kind: torch.dtype) -> None:
    with use_engine("eager"):
        y = odeint(lambda t, y: -y, torch.ones(3, dtype=kind), T, rtol=1e-2, atol=1e-2)
    assert y.dtype == kind
    torch.testing.assert_close(
        y[-1].double(), torch.full((3,), math.exp(-1), dtype=torch.float64), rtol=0, atol=0.02
    )


def test_time_of_another_device_moves() -> None:
    class Elsewhere(Tensor):
        """A tensor that says it is on another device."""

        @property
        def device(self) -> torch.device:
            return torch.device("meta")

    t = T.as_subclass(Elsewhere)
    with use_engine("eager"), pytest.warns(UserWarning, match="t is on meta and y0 on cpu"):
        y = odeint(Network(), Y0, t)
    torch.testing.assert_close(y.as_subclass(Tensor), odeint(Network(), Y0, T), rtol=1e-12, atol=1e-12)
