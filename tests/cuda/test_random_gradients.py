"""Gradients of random Programs on the host's machine, against the native engine."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from torch import Tensor

import flashode
from cuda.host import Host
from cuda.solving import cuda_on
from flashode import use_engine
from flashode.program import C, Program, Y
from handmade import capture_of
from random_programs import random_programs

# Relative to the largest number of a gradient.
CLOSE = {torch.float32: 2e-3, torch.float64: 1e-9}


@cache
def host() -> Host:
    return Host()


@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # each kernel is compiled: to look for a smaller one would take minutes
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    random_programs(),
    st.sampled_from((3, 1, 8, 11, 70)),
    st.integers(0, 99),
    st.sampled_from(("dopri5", "rk4", "bosh3", "adaptive_heun")),
    st.sampled_from([*CLOSE]),
    st.booleans(),
    st.booleans(),
)
def test_same_as_the_native_engine(
    program: Program, batch: int, seed: int, method: str, dtype: torch.dtype, adjoint: bool, of_times: bool
) -> None:
    note(f"{program}\n# {batch} trajectories, seed {seed}, {method}, {dtype}, {adjoint=}, {of_times=}")
    call = program, batch, seed, method, dtype, adjoint, of_times
    with use_engine("native"):
        native, native_counts = gradients(*call)
    with cuda_on(host()):
        (cuda, counts), (other, _) = (gradients(*call) for host().order in (seed, seed + 1))
    # Steps back are chosen by gradients, which in float32 are no more alike than is said above.
    assert counts == native_counts or dtype == torch.float32
    for own, its in zip(cuda, other, strict=True):
        assert torch.equal(own.nan_to_num(), its.nan_to_num())
    for own, its in zip(cuda, native, strict=True):
        largest = float(its.abs().nan_to_num().max()) if its.numel() else 0.0
        torch.testing.assert_close(own, its, rtol=0, atol=CLOSE[dtype] * largest, equal_nan=True)


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
    t = torch.tensor([0.1, 0.35, 0.6], dtype=torch.float64, requires_grad=of_times)

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
