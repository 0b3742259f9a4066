"""Solves of random Programs by the Numba engine, and their gradients, against the native engine."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from flashode import use_engine
from flashode.program import Program
from numba_solving import numba_with
from random_programs import random_programs
from random_solves import gradients, solved

pytestmark = pytest.mark.usefixtures("compiled")

# Relative to the largest number of a solution, and of a gradient.
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-11}
CLOSE_GRADIENTS = {torch.float32: 2e-3, torch.float64: 1e-9}
BATCHES = (3, 1, 8, 11, 150)

random = settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # each field is compiled: to look for a smaller one would take minutes
    suppress_health_check=[HealthCheck.too_slow],
)


@random
@given(
    random_programs(),
    st.sampled_from(BATCHES),
    st.integers(0, 99),
    st.sampled_from(("dopri5", "rk4")),
    st.sampled_from([*CLOSE]),
)
def test_solves(program: Program, batch: int, seed: int, method: str, dtype: torch.dtype) -> None:
    note(f"{program}\n# {batch} trajectories, seed {seed}, {method}, {dtype}")
    with use_engine("native"):
        native = solved(program, batch, seed, method, dtype)
    with numba_with(threads=2):
        own = solved(program, batch, seed, method, dtype)
    close = CLOSE[dtype] * float(native.states.abs().max())
    torch.testing.assert_close(own.states, native.states, rtol=0, atol=close)
    assert own.statistics == native.statistics


@random
@given(
    random_programs(),
    st.sampled_from(BATCHES),
    st.integers(0, 99),
    st.sampled_from(("dopri5", "rk4", "bosh3", "adaptive_heun")),
    st.sampled_from([*CLOSE_GRADIENTS]),
    st.booleans(),
    st.booleans(),
)
def test_gradients(
    program: Program, batch: int, seed: int, method: str, dtype: torch.dtype, adjoint: bool, of_times: bool
) -> None:
    note(f"{program}\n# {batch} trajectories, seed {seed}, {method}, {dtype}, {adjoint=}, {of_times=}")
    call = program, batch, seed, method, dtype, adjoint, of_times
    with use_engine("native"):
        native, native_counts = gradients(*call)
    with numba_with(threads=2):
        own, counts = gradients(*call)
    # Steps back are chosen by gradients, which in float32 are no more alike than is said above.
    assert counts == native_counts or dtype == torch.float32
    for mine, its in zip(own, native, strict=True):
        largest = float(its.abs().nan_to_num().max()) if its.numel() else 0.0
        torch.testing.assert_close(mine, its, rtol=0, atol=CLOSE_GRADIENTS[dtype] * largest, equal_nan=True)
