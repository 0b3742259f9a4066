"""Searches and lookups in the compiled engine, against their interpretation in plain torch."""

from __future__ import annotations

import pytest
import torch

from flashode import use_engine
from handmade import euler_step
from random_solves import gradients, solved
from tables import PROGRAMS, outside

D = torch.float64


@pytest.mark.parametrize("batch", [1, 8, 21])
@pytest.mark.parametrize("name", PROGRAMS)
def test_solves_and_gradients(name: str, batch: int) -> None:
    program = PROGRAMS[name]
    results = []
    for engine in ("native", "eager"):
        with use_engine(engine):
            states = solved(program, batch, 3, "rk4", D).states
            exact, _ = gradients(program, batch, 3, "rk4", D, adjoint=False, of_times=True)
            continuous, _ = gradients(program, batch, 3, "rk4", D, adjoint=True, of_times=True)
        results.append([states, *exact, *continuous])
    for native, eager in zip(*results, strict=True):
        torch.testing.assert_close(native, eager, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, D], ids=str)
@pytest.mark.parametrize("batch", [1, 13])
def test_an_index_outside_of_a_table_gives_no_number(batch: int, dtype: torch.dtype) -> None:
    program, y, rates = outside(dtype)
    t, table = torch.tensor([0.0, 1.0], dtype=dtype), torch.tensor([10.0, 11.0], dtype=dtype)
    for state, rate in zip(y.split(batch), rates.split(batch), strict=True):
        if rate.isfinite().all():
            assert torch.equal(euler_step(program, t, state, [table]), state + rate)
            continue
        with pytest.raises(Exception, match="not finite"):
            euler_step(program, t, state, [table])
