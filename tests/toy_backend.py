"""A backend as small as one can be: the Program interpreted in plain torch, one explicit step after another.

It shows what a new engine has to bring: this file, a row of the registry and a column of the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from flashode.declined import Declined
from flashode.engines.compiled.backend import Work
from flashode.engines.compiled.engine import CompiledEngine
from flashode.engines.compiled.outcome import ForwardResult, Outcome
from flashode.engines.compiled.requests import (
    CalledFunction,
    ContinuousRequest,
    DiscreteRequest,
    EvaluatedField,
    ForwardRequest,
    Request,
)
from flashode.engines.compiled.scope import Demand
from flashode.methods import FloatTableau, Tableau
from flashode.problem import AdaptiveOptions, Continuous, FixedOptions, Integrator


@dataclass
class Log:
    """What the reverse needs: where the solve started, the points that it stepped on, and the outputs."""

    y0: Tensor
    points: list[float]
    steps: list[float]
    outputs: list[int]  # the step that each output but the first lies in


@dataclass
class Cost:
    """An outcome."""

    done: bool = True
    status: Any = None
    t: float = 0.0
    dt: float = 0.0
    trajectory: int = -1
    row: int = 0
    times_reached: int = 0
    evaluations: int = 0
    accepted: int = 0
    rejected: int = 0
    nan_met: bool = False
    unconverged: int = 0
    unconverged_t: float = 0.0
    event_t: float = 0.0
    miss: float = 0.0
    miss_t: float = 0.0
    size: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0


class ToyBackend:
    """Explicit methods, discrete gradients."""

    name = "toy"
    device = "cpu"
    calls_functions = True

    def accepts(self, work: Work) -> Declined | None:
        settings = work.settings
        method, options = settings.integrator.method, settings.integrator.options
        if isinstance(work.gradient, Continuous):
            return Declined("the toy has no adjoint equations")
        if method.equations != "none":
            return Declined("the toy solves no equations")
        if settings.to_event or settings.every_step:
            return Declined("the toy finds no times")
        if isinstance(options, FixedOptions) and (options.perturb or options.interp != "linear"):
            return Declined("the toy neither perturbs nor draws curves")
        return None

    def pays(self, work: Work, demand: Demand) -> Declined | None:
        return None

    def kernels(self, requests: Sequence[Request]) -> tuple[()]:
        return ()

    def forward(self, request: ForwardRequest) -> ForwardResult:
        times = request.times.tolist()
        log = Log(request.y0.clone(), [times[0]], [], [])
        cost: Any = Cost(times_reached=1)
        adaptive = isinstance(request.integrator.options, AdaptiveOptions)
        _choose_steps(request, log, cost) if adaptive else _take_steps(request, log, cost)
        if cost.done:
            states = _states(request.field, request.integrator, log, request.times, _Points(log), log.y0)
            request.states.copy_(states.view_as(request.states))
        return ForwardResult(cost, log if request.record else None, len(log.steps))

    def discrete_vjp(self, request: DiscreteRequest) -> None:
        log, field = request.log, request.field
        points, times, y0 = _Points(log), request.times.clone(), log.y0.clone()
        c = None if field.c is None else field.c.clone()
        parameters = tuple(p.detach().clone() for p in field.parameters)
        sources = [y0, times, points.values, *parameters, *([] if c is None else [c])]
        with torch.enable_grad():
            for source in sources:
                source.requires_grad_()
            again = field._replace(parameters=parameters, c=c)
            states = _states(again, request.integrator, log, times, points, y0)
        gradients = torch.autograd.grad(
            states, sources, request.grad_states.reshape(states.shape), materialize_grads=True
        )
        request.grad_y0.copy_(gradients[0].view_as(request.grad_y0))
        if request.grad_times is not None and request.grad_grid is not None:
            request.grad_times.add_(gradients[1])
            request.grad_grid.add_(gradients[2][: len(request.grad_grid)])
        for total, gradient in zip(request.grad_parameters, gradients[3:], strict=False):
            if total is not None:
                total += gradient
        if request.grad_c is not None:
            request.grad_c.copy_(gradients[-1].view_as(request.grad_c))

    def continuous_vjp(self, request: ContinuousRequest) -> Outcome:
        raise AssertionError("it accepts no work that asks for this")


def engine() -> CompiledEngine:
    """The engine: what the registry's row gives."""
    return CompiledEngine(ToyBackend())


class _Points:
    """The points that steps start and end on; those of a method that chooses them move with the first."""

    def __init__(self, log: Log) -> None:
        self.values = torch.tensor(log.points, dtype=torch.float64)
        self.fixed = log.points

    def at(self, i: int, together: bool) -> Tensor:
        return self.values[0] + (self.fixed[i] - self.fixed[0]) if together else self.values[i]


def _states(
    field: EvaluatedField, integrator: Integrator, log: Log, times: Tensor, points: _Points, y0: Tensor
) -> Tensor:
    """The states at the output times, by the steps of the log: ``(times, elements)``."""
    together = isinstance(integrator.options, AdaptiveOptions)
    y, outputs = y0.reshape(-1), [y0.reshape(-1)]
    for i in range(len(log.steps)):
        start, end = points.at(i, together), points.at(i + 1, together)
        ends, _ = _step(field, _tableau(integrator), start, end - start, y)
        for j, step in enumerate(log.outputs, start=1):
            if step == i and together:  # it lies at the end
                outputs.append(ends + _rates(field, end, ends) * (times[j] - end).to(y.dtype))
            elif step == i and float(times[j]) == float(end):
                outputs.append(ends)
            elif step == i:
                outputs.append(y + (ends - y) * ((times[j] - start) / (end - start)).to(y.dtype))
        y = ends
    return torch.stack(outputs)


def _take_steps(request: ForwardRequest, log: Log, cost: Any) -> None:
    log.points = request.grid.tolist()
    log.steps = [0.0] * (len(log.points) - 1)
    for t in request.times.tolist()[1:]:
        log.outputs.append(next(i for i, end in enumerate(log.points[1:]) if end >= t))
    cost.evaluations = len(log.steps) * len(_tableau(request.integrator).b)
    cost.accepted = len(log.steps)


def _choose_steps(request: ForwardRequest, log: Log, cost: Any) -> None:
    """Steps whose error is small enough, and that end on every time that counts."""
    options, tableau = request.integrator.options, _tableau(request.integrator)
    assert isinstance(options, AdaptiveOptions)
    outputs = request.times.tolist()[1:]
    t, y, size = log.points[0], log.y0.reshape(-1), options.first_step or 1e-3
    method = request.integrator.method
    assert isinstance(method, Tableau)
    while outputs:
        stops = [outputs[0], *(s for s in (*options.step_t, *options.jump_t) if t < s < outputs[0])]
        size = min(max(size, options.min_step), options.max_step)
        stopped = t + size >= min(stops)
        end = min(stops) if stopped else t + size
        y1, error = _step(request.field, tableau, torch.tensor(t), torch.tensor(end - t), y)
        cost.evaluations += len(tableau.b)
        norm = _norm(request, y, y1, error)
        if not math.isfinite(norm) or cost.accepted + cost.rejected >= options.max_num_steps:
            status = "nonfinite_field" if not math.isfinite(norm) else "too_many_steps"
            cost.done, cost.t, cost.status = False, t, SimpleNamespace(name=status)
            return
        growth = options.safety * max(norm, 1e-10) ** (-1 / method.order)
        if norm <= 1 or end - t <= options.min_step:
            log.points.append(end)
            log.steps.append(end - t)
            cost.accepted += 1
            if end == outputs[0]:
                log.outputs.append(len(log.steps) - 1)
                cost.times_reached += 1
                outputs.pop(0)
            t, y = end, y1
            size = max(size, 1e-12) if stopped else (end - t + size)
            size *= min(options.ifactor, max(growth, 1.0)) if not stopped else 1.0
        else:
            cost.rejected += 1
            size = (end - t) * max(growth, options.dfactor)


def _norm(request: ForwardRequest, y0: Tensor, y1: Tensor, error: Tensor) -> float:
    rtol = request.integrator.rtol if request.rtol is None else request.rtol.reshape(-1)
    atol = request.integrator.atol if request.atol is None else request.atol.reshape(-1)
    scaled = error / (atol + rtol * torch.maximum(y0.abs(), y1.abs()))
    if isinstance(request.norm, CalledFunction):
        request.norm.state.copy_(scaled.view_as(request.norm.state))
        return request.norm.function()
    sizes = [rows * request.field.shape.batch for rows in request.field.shape.segments]
    return max(float(part.square().mean().sqrt()) for part in scaled.split(sizes))


def _tableau(integrator: Integrator) -> FloatTableau:
    assert isinstance(integrator.method, Tableau)
    return integrator.method.floats()


def _step(
    field: EvaluatedField, tableau: FloatTableau, t: Tensor, dt: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    """The state at the end of a step, and what the embedded solution differs by."""
    k: list[Tensor] = []
    small = dt.to(y.dtype)
    for entries, c in zip(tableau.a, tableau.c, strict=True):
        inner = sum((a * slope for a, slope in zip(entries, k, strict=True)), torch.zeros_like(y))
        k.append(_rates(field, t + c * dt, y + small * inner))
    y1 = y + small * sum(b * slope for b, slope in zip(tableau.b, k, strict=True))
    if not tableau.b_error:
        return y1, torch.zeros_like(y)
    return y1, small * sum(b * slope for b, slope in zip(tableau.b_error, k, strict=True))


def _rates(field: EvaluatedField, t: Tensor, y: Tensor) -> Tensor:
    """dy/ds of a flat state at solver time."""
    batch, segments, direction = field.shape.batch, field.shape.segments, field.shape.direction
    blocks = y.split([rows * batch for rows in segments])
    rows = torch.cat([block.view(batch, -1) for block in blocks], 1)
    time = (direction * t).to(y.dtype).expand(batch)
    rates = direction * field.program.interpret(time, rows, field.parameters, field.c)
    return torch.cat([part.reshape(-1) for part in rates.split(list(segments), 1)])
