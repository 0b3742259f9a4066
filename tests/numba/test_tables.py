"""Searches and lookups as machine code, against their interpretation in plain torch."""

from __future__ import annotations

import pytest
import torch

from flashode.engines.numba.fields.field_code import field_code
from flashode.program import C, T
from numba_tiles import Inputs, compare, evaluate
from tables import PROGRAMS, outside

DTYPES = (torch.float32, torch.float64)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, dtype: torch.dtype) -> None:
    program = PROGRAMS[name]
    compare(program, dtype, (T, C), range(len(program.parameter_shapes)))
    compare(program, dtype, (), range(0, len(program.parameter_shapes), 2))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_index_outside_of_a_table_gives_no_number(dtype: torch.dtype) -> None:
    program, y, rates = outside(dtype)
    inputs = Inputs(0.0, y, y[:, :0], [torch.tensor([10.0, 11.0], dtype=dtype)])
    own = evaluate(program, field_code(program, dtype), inputs)
    assert torch.equal(own.nan_to_num(-1.0), rates.nan_to_num(-1.0))
