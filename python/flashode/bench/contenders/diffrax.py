"""diffrax, compiled by jax (Kidger, "On Neural Differential Equations", 2021).

Its step sizes are those of the whole batch, like ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flashode.bench.contenders import (
    CONTINUOUS,
    DISCRETE,
    FORWARD,
    SEMINORM,
    Evaluations,
    Prepared,
    Unsupported,
    register,
)
from flashode.bench.tasks.answers import Answer
from flashode.bench.tasks.workloads import Workload

_theirs = partial(register, "diffrax", packages=("diffrax", "jax"))

# Checkpoints of the reverse pass are laid out for so many steps at most: diffrax's own default, where the
# number is not known.
MOST_STEPS = 4096


@_theirs(FORWARD, label="diffrax")
def _forward(workload: Workload) -> Prepared:
    return _prepare(workload, FORWARD)


@_theirs(DISCRETE, label="diffrax checkpointed")
def _checkpointed(workload: Workload) -> Prepared:
    return _prepare(workload, DISCRETE)


@_theirs(CONTINUOUS, label="diffrax backsolve")
def _backsolve(workload: Workload) -> Prepared:
    return _prepare(workload, CONTINUOUS)


@_theirs(SEMINORM, label="diffrax backsolve, seminorm")
def _backsolve_seminorm(workload: Workload) -> Prepared:
    return _prepare(workload, SEMINORM)


def _prepare(workload: Workload, mode: str) -> Prepared:
    import jax
    import jax.numpy as jnp

    if workload.field.arrays is None:
        raise Unsupported("the field is not written in jax")
    try:
        device = jax.devices(workload.device)[0]
    except RuntimeError:
        raise Unsupported(f"jax sees no device of the kind {workload.device}") from None
    if workload.jumps:
        raise Unsupported("the field jumps")
    jax.config.update("jax_enable_x64", workload.precision == "float64")
    field, y0, times = workload.make(device="cpu")

    def placed(tensor: Tensor) -> Any:
        return jax.device_put(tensor.detach().numpy(), device)

    parameters = list(map(placed, field.parameters()))
    start: Any = placed(y0) if isinstance(y0, Tensor) else tuple(map(placed, y0))
    solve, stages = _solver(workload, mode, workload.field.arrays(jnp), times, placed(times))

    def states(parameters: Sequence[Any]) -> tuple[Any, Any]:
        ys, steps = solve(parameters, start)
        return (jnp.concatenate(ys, -1) if isinstance(ys, tuple) else ys), steps

    def loss(parameters: Sequence[Any]) -> tuple[Any, Any]:
        ys, steps = states(parameters)
        return jnp.abs(ys).mean(), (ys, steps)

    if mode == FORWARD:
        compiled = jax.jit(lambda parameters: (*states(parameters), ()))
    else:
        differentiated = jax.grad(loss, has_aux=True)

        def train(parameters: Sequence[Any]) -> tuple[Any, Any, Any]:
            gradients, (ys, steps) = differentiated(parameters)
            return ys, steps, gradients

        compiled = jax.jit(train)

    def run() -> Any:
        return jax.block_until_ready(compiled(parameters))

    def read(raw: Any) -> Answer:
        ys, _, gradients = raw
        return Answer(np.asarray(ys, np.float64), tuple(np.asarray(g, np.float64) for g in gradients))

    # diffrax tells its steps; the slope at the start is evaluated once more.
    return Prepared(run, read, lambda: Evaluations(int(np.max(run()[1])) * stages + 1))


def _solver(
    workload: Workload, mode: str, field: Callable[..., Any], times: Tensor, points: Any
) -> tuple[Callable[[Sequence[Any], Any], tuple[Any, Any]], int]:
    """A function of parameters and start that gives states and steps, and the evaluations of one step."""
    import diffrax

    solver = _method(workload.method)
    control, first = _control(workload, times)
    most = MOST_STEPS if first is None else round(workload.times.length / first)
    adjoint = diffrax.RecursiveCheckpointAdjoint()
    if mode == CONTINUOUS:
        adjoint = diffrax.BacksolveAdjoint()
    if mode == SEMINORM:
        if not workload.adaptive:
            raise Unsupported("given steps have no error norm")
        norm = diffrax.adjoint_rms_seminorm
        reverse = diffrax.PIDController(rtol=workload.rtol, atol=workload.atol, norm=norm)
        adjoint = diffrax.BacksolveAdjoint(stepsize_controller=reverse)

    def solve(parameters: Sequence[Any], y0: Any) -> tuple[Any, Any]:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: field(args, t, y)),
            solver,
            points[0],
            points[-1],
            first,
            y0,
            args=parameters,
            saveat=diffrax.SaveAt(ts=points),
            stepsize_controller=control,
            adjoint=adjoint,
            max_steps=None if mode == FORWARD else most,
        )
        return solution.ys, solution.stats["num_steps"]

    tableau = solver.tableau
    stages = tableau.num_stages - 1 if tableau.fsal else tableau.num_stages
    return solve, stages


def _control(workload: Workload, times: Tensor) -> tuple[Any, float | None]:
    """The step size controller and the first step."""
    import diffrax

    if workload.adaptive:
        return diffrax.PIDController(rtol=workload.rtol, atol=workload.atol), None
    between = times.to(torch.float64).diff()
    return diffrax.ConstantStepSize(), workload.step_size or float(between[0])


def _method(name: str) -> Any:
    import diffrax

    solvers = {
        "dopri5": diffrax.Dopri5,
        "dopri8": diffrax.Dopri8,
        "tsit5": diffrax.Tsit5,
        "bosh3": diffrax.Bosh3,
        "rk4": _rule_of_three_eighths,
    }
    if name not in solvers:
        raise Unsupported(f"diffrax has no {name}")
    return solvers[name]()


def _rule_of_three_eighths() -> Any:
    """Kutta's 3/8 rule, which torchdiffeq calls rk4 and diffrax does not have."""
    import diffrax

    class ThreeEighths(diffrax.AbstractERK):  # type: ignore[misc]
        tableau = diffrax.ButcherTableau(
            c=np.array([1 / 3, 2 / 3, 1.0]),
            b_sol=np.array([1 / 8, 3 / 8, 3 / 8, 1 / 8]),
            b_error=np.zeros(4),
            a_lower=(np.array([1 / 3]), np.array([-1 / 3, 1.0]), np.array([1.0, -1.0, 1.0])),
        )
        interpolation_cls = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

        def order(self, terms: Any) -> int:
            return 4

    return ThreeEighths()
