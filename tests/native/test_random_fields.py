"""Random fields: the function itself, its Program interpreted, and the compiled engine must agree."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import HealthCheck, given, note, settings
from torch import Tensor

import flashode
from flashode import use_engine
from flashode.engines import choose
from flashode.problem import DISCRETE, make_problem
from problems import parts
from random_fields import RandomField, random_fields

STEP = torch.tensor([0.3, 1.3], dtype=torch.float64)
TIMES = torch.tensor([0.1, 0.35, 0.6], dtype=torch.float64)


@settings(
    max_examples=50,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(random_fields())
def test_every_way_to_evaluate_a_field_agrees(drawn: RandomField) -> None:
    note(str(drawn))
    field, parameters, y0 = drawn.build()
    explanation = flashode.explain(field, y0, STEP)
    if drawn.mixing and explanation.engine is None:
        return
    assert explanation.engine == "native", str(explanation)
    batch, *features = drawn.states[0]
    # A batch of one is one trajectory however it is looked at.
    rows = bool(features and not drawn.mixing)
    # Of more tensors with as many rows as there are trajectories not every subset is tried.
    ambiguous = drawn.contexts and sum(shape[:1] == (batch,) for shape in drawn.shapes) > 3
    assert batch == 1 or ambiguous or explanation.batched == rows, str(explanation)
    check_program(field, parameters, y0)
    check_solves(field, parameters, y0, flashode.odeint)
    check_solves(field, parameters, y0, flashode.odeint_adjoint, adjoint_params=parameters)
    if explanation.batched and not drawn.contexts:
        larger = tuple(torch.cat([part, 0.5 * part[:1]]) for part in parts(y0))
        check_solves(field, parameters, _like(y0, larger), flashode.odeint)


def check_program(field: Any, parameters: list[Tensor], y0: Any) -> None:
    """One step of Euler is the state plus the field: by the function, by the interpreter, by the kernel."""

    def expected(t: Tensor, state: Any) -> Any:
        slopes = parts(field(t[0], state))
        return [y + (t[1] - t[0]) * slope for y, slope in zip(parts(state), slopes, strict=True)]

    def interpreted(t: Tensor, state: Any) -> Any:
        problem = make_problem(field, state, t, rtol=1e-7, atol=1e-9, method="euler", options=None)
        plan = choose(problem, DISCRETE)
        states, _ = plan.differentiable(problem.t, problem.y0, plan.parameters)
        return [ys[1] for ys in parts(problem.unflatten(states))]

    def compiled(t: Tensor, state: Any) -> Any:
        return [ys[1] for ys in parts(flashode.odeint(field, state, t, method="euler"))]

    results = []
    for step in (expected, interpreted, compiled):
        t, state = STEP.clone().requires_grad_(), _leaves(y0)
        results.append(_with_gradients(step(t, _like(y0, state)), [t, *state, *parameters]))
    _compare(results[0], results[1])
    _compare(results[0], results[2])


def check_solves(field: Any, parameters: list[Tensor], y0: Any, solve: Any, **options: Any) -> None:
    """Solves and their gradients, in the compiled engine and in plain PyTorch."""
    results = []
    for engine in ("native", "eager"):
        t, state = TIMES.clone().requires_grad_(), _leaves(y0)
        with use_engine(engine):
            states = solve(field, _like(y0, state), t, method="rk4", **options)
            results.append(_with_gradients(parts(states), [t, *state, *parameters]))
    _compare(*results)


def _leaves(y0: Any) -> tuple[Tensor, ...]:
    return tuple(part.clone().requires_grad_() for part in parts(y0))


def _like(y0: Any, parts: tuple[Tensor, ...]) -> Any:
    return parts if isinstance(y0, tuple) else parts[0]


def _with_gradients(outputs: Any, inputs: list[Tensor]) -> list[Tensor]:
    weights = [torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view_as(x) + 0.3 for x in outputs]
    loss = sum((x * weight).sum() for x, weight in zip(outputs, weights, strict=True))
    gradients = torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)
    return [*(x.detach() for x in outputs), *gradients]


def _compare(expected: list[Tensor], actual: list[Tensor]) -> None:
    for a, b in zip(expected, actual, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
