"""Random Programs on the host's machine, against the native engine."""

from __future__ import annotations

from functools import cache

import torch
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from cuda.host import Host
from cuda.solving import cuda_on
from flashode import use_engine
from flashode.program import Program
from random_programs import random_programs
from random_solves import solved

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
