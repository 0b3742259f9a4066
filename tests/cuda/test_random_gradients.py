"""Gradients of random Programs on the host's machine, against the native engine."""

from __future__ import annotations

from functools import cache

import torch
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from cuda.host import Host
from cuda.solving import cuda_on
from flashode import use_engine
from flashode.program import Program
from random_programs import random_programs
from random_solves import gradients

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
