"""Random Programs as machine code, against their interpretation in plain torch."""

from __future__ import annotations

import random

import pytest
import torch

from flashode.program import C, T
from numba_tiles import compare
from program_grammar import random_program


@pytest.mark.parametrize("seed", range(24))
def test_the_code_is_the_interpreter(seed: int) -> None:
    program = random_program(random.Random(seed).randint)
    # Both precisions, and some of what a vjp may be asked for.
    dtype = (torch.float64, torch.float32)[seed % 2]
    wanted = [i for i in range(len(program.parameter_shapes)) if (seed // 4 + i) % 3]
    sources = [value for value, chosen in ((T, seed % 5), (C, seed % 3)) if chosen and program.widths[value]]
    compare(program, dtype, sources, wanted, seed)
