"""What a reverse pass is asked for, with the memory that it writes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flashode.engines.compiled.field import CapturedField
from flashode.engines.compiled.layout import context_ranges
from flashode.engines.compiled.parameter_gradients import gradient_memory, reached_from
from flashode.engines.compiled.requests import ContinuousRequest, DiscreteRequest
from flashode.memory import Kind
from flashode.problem import Continuous, Problem


@dataclass
class Record:
    """What a forward solve keeps for its reverse, beside the checkpoints.

    Attributes:
        log: The backend's account of the steps.
        parameters: The tensors whose memory it reads, contiguous. Those without a gradient are copies:
            nothing keeps their owner from changing them before the reverse pass.
        times: Output times, float64.
        points: How many the grid has; of an adaptive method's steps only the start is one.
        kinds: Of the checkpoints, the last of them a copy of what belongs to trajectories, if anything.
    """

    log: Any
    parameters: tuple[Tensor, ...]
    times: Tensor
    points: int
    kinds: tuple[Kind, ...]


def discrete_request(
    problem: Problem,
    field: CapturedField,
    record: Record,
    with_time: bool,
    chunks: tuple[Tensor | None, ...],
    c: Tensor | None,
    cotangents: Tensor,
) -> DiscreteRequest:
    """The exact reverse of a recorded solve.

    Args:
        problem: What was solved.
        field: Its function.
        record: Of the solve.
        with_time: Whether gradients in times are wanted.
        chunks: The solve's checkpoints.
        c: What belonged to trajectories.
        cotangents: The gradient in the outputs.
    """
    wanted = tuple([p.requires_grad for p in field.inputs])
    return DiscreteRequest(
        field.evaluated(record.parameters, c, wanted),
        problem.integration.integrator,
        record.log,
        chunks,
        record.times,
        cotangents,
        grad_y0=problem.y0.new_empty(problem.y0.shape),
        grad_c=None if c is None else torch.empty_like(c),
        grad_times=torch.zeros_like(record.times) if with_time else None,
        grad_grid=record.times.new_zeros(record.points) if with_time else None,
        grad_parameters=gradient_memory(record.parameters, wanted),
    )


def continuous_request(
    problem: Problem,
    adjoint: Continuous,
    field: CapturedField,
    parameters: Sequence[Tensor],
    c: Tensor | None,
    times: Tensor,
    grids: list[list[float]],
    states: Tensor,
    cotangents: Tensor,
) -> ContinuousRequest:
    """The adjoint equations, backwards.

    Args:
        problem: What was solved.
        adjoint: How its adjoint equations are.
        field: Its function.
        parameters: Memory of the field's inputs, as they were.
        c: What belonged to trajectories.
        times: Solver times of the outputs, float64 on the CPU.
        grids: Of a fixed-step method, one for each output interval.
        states: The solution.
        cotangents: The gradient in it.
    """
    wanted = reached_from(field.inputs, adjoint.parameters)
    reached = reached_from(field.carried, adjoint.parameters)
    return ContinuousRequest(
        field.evaluated(tuple(parameters), c, wanted),
        adjoint.integration.integrator,
        adjoint.norm == "seminorm",
        times,
        grids,
        states,
        cotangents,
        grad_y0=problem.y0.new_empty(problem.y0.shape),
        grad_c=None if c is None else torch.empty_like(c),
        grad_times=torch.zeros_like(times) if problem.t.requires_grad else None,
        grad_parameters=gradient_memory(parameters, wanted),
        measured_c=[rows for rows, it in zip(context_ranges(field.carried), reached, strict=True) if it],
        transposes=field.transposes(),
    )
