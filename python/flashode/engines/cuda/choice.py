"""Which mapping a batch gets on a device."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from flashode.engines.cuda.field_text import FieldText
from flashode.engines.cuda.machine import Properties
from flashode.engines.cuda.mapping import Mapping
from flashode.program import Program, Y

_MOST_LANES = 64
_LEAST_THREADS = 32
_MOST_THREADS = 256
# Numbers of a layer's output that a thread is to have.
_NUMBERS_A_THREAD = 8


def choose(
    program: Program, batch: int, dtype: torch.dtype, stages: int, properties: Properties
) -> Mapping | str:
    """The mapping for a batch, or why there is none.

    One tile for each multiprocessor first, of up to 64 trajectories, as long as it fits: values always are in
    shared memory, stages and parameters where it has room for them.
    """
    lanes = 1
    while lanes < _MOST_LANES and lanes * properties.multiprocessors < batch:
        lanes *= 2
    while True:
        for mapping in _candidates(program, lanes, stages):
            text = FieldText(program, [program.widths[Y]], dtype, mapping)
            needed = text.shared_bytes
            if mapping.stages_in_shared:
                needed += stages * program.widths[Y] * lanes * dtype.itemsize
            if needed <= properties.shared_bytes:
                return mapping
        if lanes == 1:
            return (
                f"an evaluation of one trajectory takes {needed:,} bytes of shared memory, more than the "
                f"{properties.shared_bytes:,} that a block may have"
            )
        lanes //= 2


def _candidates(program: Program, lanes: int, stages: int) -> Iterator[Mapping]:
    """The best first."""
    widest = max(program.widths)
    threads = _LEAST_THREADS
    while threads < _MOST_THREADS and threads * _NUMBERS_A_THREAD < widest * lanes:
        threads *= 2
    numbers = sum(math.prod(shape) for shape in program.parameter_shapes)
    for shared_parameters in (2 * numbers, 0):
        for stages_in_shared in (True, False):
            yield Mapping(lanes, threads, stages_in_shared, shared_parameters)
