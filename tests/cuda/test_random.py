"""Random Programs on the host's machine, against the native engine."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from torch import Tensor

from cuda.host import Host
from cuda.solving import cuda_on
from flashode import use_engine
from flashode.engines import choose
from flashode.engines.protocol import Forward
from flashode.problem import DISCRETE, make_problem
from flashode.program import Program
from handmade import capture_of
from random_programs import random_programs

TIMES = torch.tensor([0.1, 0.35, 0.6], dtype=torch.float64)
# Relative to the largest number of a solution.
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-11}


@cache
def host() -> Host:
    return Host()


@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    random_programs(),
    st.sampled_from((3, 1, 8, 11, 70)),
    st.integers(0, 99),
    st.sampled_from(("dopri5", "rk4")),
    st.sampled_from([*CLOSE]),
)
def test_same_as_the_native_engine(
    program: Program, batch: int, seed: int, method: str, dtype: torch.dtype
) -> None:
    note(f"{program}\n# {batch} trajectories, seed {seed}, {method}, {dtype}")
    with use_engine("native"):
        native = solved(program, batch, seed, method, dtype)
    with cuda_on(host()):
        cuda, other = (solved(program, batch, seed, method, dtype) for host().order in (seed, seed + 1))
    assert torch.equal(cuda.states.nan_to_num(), other.states.nan_to_num())
    close = CLOSE[dtype] * float(native.states.abs().max())
    torch.testing.assert_close(cuda.states, native.states, rtol=0, atol=close)
    assert cuda.statistics == native.statistics


def solved(program: Program, batch: int, seed: int, method: str, dtype: torch.dtype) -> Forward:
    """A solve of random states and parameters, in the engine that the caller asks for."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)

    parameters = [draw(*shape) for shape in program.parameter_shapes]
    y0 = draw(batch, program.widths[1])
    carried = (draw(batch, program.widths[2]),) if program.widths[2] else ()

    def field(t: Tensor, y: Tensor) -> Tensor:
        return program.interpret(t, y, parameters, *carried)

    captured = replace(capture_of(program, parameters), carried=carried)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flashode.engines.compiled.engine.capture", lambda *_, **__: captured)
        tolerance = 1e-3 if dtype == torch.float32 else 1e-6
        problem = make_problem(field, y0, TIMES, rtol=tolerance, atol=tolerance, method=method, options=None)
        return choose(problem, DISCRETE).forward(record=False)
