"""Which mapping a batch gets on a device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch

from flashode.engines.cuda.field_text import FieldText
from flashode.engines.cuda.machine import Properties
from flashode.engines.cuda.mapping import Mapping
from flashode.engines.cuda.vjp_text import VjpText
from flashode.program import INPUTS, Program, Y

_MOST_LANES = 64
_LEAST_THREADS = 32
_MOST_THREADS = 256
# Numbers of a layer's output that a thread is to have.
_NUMBERS_A_THREAD = 8


class TooLarge(ValueError):
    """A Program of which not even one trajectory fits into a block's shared memory."""


def forward_mapping(
    program: Program, batch: int, dtype: torch.dtype, stages: int, properties: Properties, record: bool
) -> Mapping:
    """That of a forward solve; if it is recorded, over the tiles of its reverse.

    Raises:
        TooLarge: There is none.
    """
    lanes = _first_lanes(batch, properties)
    if record:
        lanes = reverse_mapping(program, batch, dtype, properties).lanes

    def needed(mapping: Mapping) -> int:
        text = FieldText(program, [program.widths[Y]], dtype, mapping)
        size = stages * program.widths[Y] * mapping.lanes if mapping.stages_in_shared else 0
        return text.shared_bytes + size * dtype.itemsize

    least = lanes if record else 1
    while True:
        for mapping in _candidates(program, lanes):
            if needed(mapping) <= properties.shared_bytes:
                return mapping
        if lanes == least:
            raise TooLarge(_too_large(needed(mapping), properties))
        lanes //= 2


def reverse_mapping(program: Program, batch: int, dtype: torch.dtype, properties: Properties) -> Mapping:
    """That of a reverse pass.

    Raises:
        TooLarge: There is none.
    """

    def needed(mapping: Mapping) -> int:
        parameters = range(len(program.parameter_shapes))
        text = VjpText(program, [program.widths[Y]], dtype, mapping, range(INPUTS), parameters)
        return text.shared_bytes

    lanes = _first_lanes(batch, properties)
    while True:
        for mapping in _candidates(program, lanes):
            for in_shared in (True, False):
                candidate = replace(mapping, stages_in_shared=False, accumulators_in_shared=in_shared)
                if needed(candidate) <= properties.shared_bytes:
                    return candidate
        if lanes == 1:
            raise TooLarge(_too_large(needed(candidate), properties))
        lanes //= 2


def _first_lanes(batch: int, properties: Properties) -> int:
    """One tile for each multiprocessor, of no more trajectories than are good."""
    lanes = 1
    while lanes < _MOST_LANES and lanes * properties.multiprocessors < batch:
        lanes *= 2
    return lanes


def _candidates(program: Program, lanes: int) -> Iterator[Mapping]:
    """The best first: values always are in shared memory, stages and parameters if it has room for them."""
    widest = max(program.widths)
    threads = _LEAST_THREADS
    while threads < _MOST_THREADS and threads * _NUMBERS_A_THREAD < widest * lanes:
        threads *= 2
    numbers = sum(math.prod(shape) for shape in program.parameter_shapes)
    for shared_parameters in (2 * numbers, 0):
        for stages_in_shared in (True, False):
            yield Mapping(lanes, threads, stages_in_shared, shared_parameters)


def _too_large(needed: int, properties: Properties) -> str:
    return (
        f"an evaluation of one trajectory takes {needed:,} bytes of shared memory, more than the "
        f"{properties.shared_bytes:,} that a block may have"
    )
