"""Solves of random Programs, and their gradients, in the engine that the caller asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import flashode
from flashode.engines import choose
from flashode.engines.protocol import Forward
from flashode.problem import DISCRETE, make_problem
from flashode.program import C, Program, Y
from handmade import capture_of

TIMES = torch.tensor([0.1, 0.35, 0.6], dtype=torch.float64)


def solved(program: Program, batch: int, seed: int, method: str, dtype: torch.dtype) -> Forward:
    """A solve of random states and parameters."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)

    parameters = [draw(*shape) for shape in program.parameter_shapes]
    y0 = draw(batch, program.widths[Y])
    carried = (draw(batch, program.widths[C]),) if program.widths[C] else ()

    def field(t: Tensor, y: Tensor) -> Tensor:
        return program.interpret(t, y, parameters, *carried)

    captured = replace(capture_of(program, parameters), carried=carried)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flashode.engines.compiled.engine.capture", lambda *_, **__: captured)
        tolerance = 1e-3 if dtype == torch.float32 else 1e-6
        problem = make_problem(field, y0, TIMES, rtol=tolerance, atol=tolerance, method=method, options=None)
        return choose(problem, DISCRETE).forward(record=False)


def gradients(
    program: Program,
    batch: int,
    seed: int,
    method: str,
    dtype: torch.dtype,
    adjoint: bool,
    of_times: bool,
) -> tuple[list[Tensor], tuple[int, int | None]]:
    """Those in a random state, in random parameters and what belongs to trajectories, and in the times.

    Returns:
        The gradients, and how often the field was evaluated each way.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        drawn = torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)
        return drawn.requires_grad_()

    parameters = [draw(*shape) for shape in program.parameter_shapes]
    y0 = draw(batch, program.widths[Y])
    carried = (draw(batch, program.widths[C]),) if program.widths[C] else ()
    t = TIMES.clone().requires_grad_(of_times)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return program.interpret(t, y, parameters, *carried)

    captured = replace(capture_of(program, parameters), carried=carried)
    solve = flashode.odeint_adjoint if adjoint else flashode.odeint
    own = {"adjoint_params": (*parameters, *carried)} if adjoint else {}
    tolerance = 1e-4 if dtype == torch.float32 else 1e-7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flashode.engines.compiled.engine.capture", lambda *_, **__: captured)
        with flashode.record() as report:
            states = solve(field, y0, t, method=method, rtol=tolerance, atol=tolerance, **own)
        weights = torch.randn(states.shape, dtype=torch.float64, generator=generator).to(dtype)
        sources = [y0, *parameters, *carried, *([t] if of_times else [])]
        grads = torch.autograd.grad(
            (states * weights).sum(), sources, allow_unused=True, materialize_grads=True
        )
        (entry,) = report.solves
        return list(grads), (entry.evaluations, entry.backward_evaluations)
