"""What the compiled module refuses, and what the engine declines before it would."""

from __future__ import annotations

import importlib
import weakref
from typing import Any

import pytest
import torch
from torch import nn

import flashode
from flashode.engines import EngineDeclined
from flashode.engines.compiled.backend import Work
from flashode.engines.compiled.memo import cost
from flashode.engines.compiled.method import translate as compiled_method
from flashode.engines.compiled.scope import refusal as unsuitable
from flashode.engines.native.program import translate
from flashode.engines.native.scope import refusal
from flashode.methods import TABLEAUX
from flashode.problem import DISCRETE, FixedOptions, Integrator, make_problem
from flashode.problem.options import MOST_TIMES_KEPT
from flashode.program import Binary, Dense, Program, Unary

D = torch.float64


def _module() -> Any:
    return importlib.import_module("flashode._flashode")


def _negation(width: int, *parameter_shapes: tuple[int, ...]) -> Program:
    return Program((1, width, 0, width), (Unary(3, 1, "neg"),), 3, parameter_shapes)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (_negation((1 << 21) - 1), None),
        (
            _negation(1 << 21),
            "an evaluation of one trajectory computes 4,194,305 numbers, more than 4,194,303",
        ),
        (_negation(2, (1 << 13, 1 << 13), (1 << 26 - 13, (1 << 13) - 1)), None),
        (
            _negation(2, (1 << 13, 1 << 14), (3,)),
            "its parameters have 134,217,731 elements, more than 134,217,726",
        ),
    ],
)
def test_the_engine_declines_what_the_module_refuses(program: Program, reason: str | None) -> None:
    module = _module()
    t = torch.tensor([0.0, 1.0])
    problem = make_problem(lambda t, y: y, torch.ones(2), t, rtol=0, atol=0, method="euler", options=None)
    work = Work(program, cost(program), 1, problem.settings, DISCRETE)
    assert refusal(work, module.MAX_ROWS, module.MAX_PARAMETER_ELEMENTS) == reason
    if reason is None:
        translate(program, module)
        return
    with pytest.raises(ValueError, match="more than"):
        translate(program, module)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("MAX_ROWS", "an evaluation of one trajectory computes 5 numbers, more than 4"),
        ("MAX_PARAMETER_ELEMENTS", "its parameters have 6 elements, more than 4"),
    ],
)
def test_a_field_that_is_too_large_is_declined(
    monkeypatch: pytest.MonkeyPatch, limit: str, reason: str
) -> None:
    monkeypatch.setattr(_module(), limit, 4)
    net = nn.Linear(2, 2, dtype=D)
    with pytest.raises(EngineDeclined, match=reason):
        flashode.odeint(lambda t, y: net(y), torch.zeros(3, 2, dtype=D), torch.tensor([0.0, 1.0], dtype=D))


@pytest.mark.parametrize(
    ("op", "operations"),
    [
        (Unary(3, 1, "neg"), 3),
        (Unary(3, 1, "affine", (2.0, 1.0)), 3),
        (Unary(3, 1, "detach"), 3),
        (Unary(3, 1, "floor"), 3),
        (Unary(3, 1, "tanh"), 33),
        (Unary(3, 1, "power", (1.5,)), 33),
        (Binary(3, 1, 1, "mul"), 3),
        (Binary(3, 1, 1, "power"), 33),
        (Binary(3, 1, 1, "atan2"), 33),
        (Binary(3, 1, 1, "fmod"), 33),
        (Binary(3, 1, 1, "remainder"), 33),
    ],
)
def test_functions_are_weighed_by_what_they_cost(op: Unary | Binary, operations: int) -> None:
    assert cost(Program((1, 3, 0, 3), (op,), 3)) == operations


def _euler(module: Any) -> Any:
    return compiled_method(Integrator(TABLEAUX["euler"], FixedOptions(), 0.0, 0.0), module.Method)


@pytest.mark.parametrize(
    ("addresses", "message"),
    [([], "one address for the gradient of each"), ([0], "no address for the gradient of parameter 0")],
)
def test_a_gradient_that_is_wanted_has_an_address(addresses: list[int], message: str) -> None:
    module, weight, y = _module(), torch.eye(2, dtype=D), torch.ones(1, 2, dtype=D)
    program = translate(Program((1, 2, 0, 2), (Dense(3, 1, 0, None, 1),), 3, ((2, 2),)), module)
    times, states = torch.tensor([0.0, 1.0], dtype=D), torch.empty(2, 1, 2, dtype=D)
    field = module.Field(
        program=program,
        parameters=[weight.data_ptr()],
        wants_gradient=[True],
        segments=[2],
        batch=1,
        direction=1.0,
        precision="float64",
    )
    chunks: list[torch.Tensor] = []

    def storage(size: int) -> int:
        chunks.append(torch.empty(size, dtype=D))
        return chunks[-1].data_ptr()

    at = times.data_ptr()
    arguments = {"field": field, "method": _euler(module), "c": 0, "times": at, "time_count": 2}
    outcome, log, _, _ = module.forward(
        **arguments, y0=y.data_ptr(), grid=at, grid_count=2, states=states.data_ptr(), storage=storage
    )
    assert outcome.status == module.Status.done
    arguments |= {"grad_states": states.data_ptr(), "grad_y0": y.data_ptr(), "grad_c": 0}
    arguments |= {"grad_parameters": addresses}
    with pytest.raises(ValueError, match=message):
        module.discrete_vjp(
            **arguments, log=log, checkpoints=[x.data_ptr() for x in chunks], grad_times=0, grad_grid=0
        )
    with pytest.raises(ValueError, match=message):
        module.continuous_vjp(
            **arguments, seminorm=False, grids=[[-1.0, 0.0]], states=states.data_ptr(),
            grad_times=0,
        )  # fmt: skip


def test_settings_of_many_prescribed_times_are_not_remembered() -> None:
    """Each would take megabytes, for as long as the process lives."""
    stops = {"step_t": torch.linspace(0.1, 0.9, MOST_TIMES_KEPT + 1, dtype=D)}
    t = torch.tensor([0.0, 1.0])
    problem = make_problem(lambda t, y: y, torch.ones(2), t, rtol=0, atol=0, method="dopri5", options=stops)
    assert unsuitable(problem, DISCRETE, "cpu") is None
    settings = weakref.ref(problem.settings)
    del problem
    assert settings() is None
