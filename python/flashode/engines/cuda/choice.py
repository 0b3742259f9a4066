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
from flashode.program import INPUTS, Dense, Program, Y

_MOST_LANES = 64
_LEAST_THREADS = 32
_MOST_THREADS = 256
# Numbers of a layer's output that a thread is to have: of a block that shares its multiprocessor with others,
# few loads for each product; of one that is alone there, little to do one after the other.
_NUMBERS_AMONG_OTHERS = 8
_NUMBERS_ALONE = 2
# The same of the gradient in a layer's weights, which is as large for few trajectories as for many.
_NUMBERS_OF_WEIGHTS = 16


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
        for mapping in _candidates(program, lanes, _threads(program, lanes)):
            if needed(mapping) <= properties.shared_bytes:
                return mapping
        if lanes == least:
            raise TooLarge(_too_large(needed(mapping), properties))
        lanes //= 2


def reverse_mapping(
    program: Program, batch: int, dtype: torch.dtype, properties: Properties, lanes: int | None = None
) -> Mapping:
    """That of a reverse pass; of one over tiles that a solve has recorded, with as many lanes as these.

    Raises:
        TooLarge: There is none.
    """

    def needed(mapping: Mapping) -> int:
        parameters = range(len(program.parameter_shapes))
        text = VjpText(program, [program.widths[Y]], dtype, mapping, range(INPUTS), parameters)
        return text.shared_bytes

    lanes = _first_lanes(batch, properties) if lanes is None else lanes
    while True:
        for mapping in _candidates(program, lanes, _reverse_threads(program, lanes)):
            for in_shared in (True, False):
                candidate = replace(mapping, stages_in_shared=False, accumulators_in_shared=in_shared)
                if needed(candidate) <= properties.shared_bytes:
                    return candidate
        if lanes == 1:
            raise TooLarge(_too_large(needed(candidate), properties))
        lanes //= 2


def shared_by(properties: Properties, *, to_event: bool) -> Properties:
    """What a field has of a block's memory: half of it where another one tells an event."""
    return replace(properties, shared_bytes=properties.shared_bytes // 2) if to_event else properties


def event_mapping(program: Program, dtype: torch.dtype, properties: Properties) -> Mapping:
    """That of an event's field.

    Raises:
        TooLarge: There is none.
    """
    return forward_mapping(program, 1, dtype, 0, shared_by(properties, to_event=True), record=False)


def _first_lanes(batch: int, properties: Properties) -> int:
    """One tile for each multiprocessor, of no more trajectories than are good."""
    lanes = 1
    while lanes < _MOST_LANES and lanes * properties.multiprocessors < batch:
        lanes *= 2
    return lanes


def _threads(program: Program, lanes: int) -> int:
    """By the value with the most numbers, of which those that all trajectories share have one a row."""
    shared = INPUTS + program.shared
    numbers = max(lanes * max(program.widths[Y : Y + 1] + program.widths[shared:]), *program.widths)
    return _rounded(numbers // (_NUMBERS_ALONE if lanes < _MOST_LANES else _NUMBERS_AMONG_OTHERS))


def _reverse_threads(program: Program, lanes: int) -> int:
    """The same, and by the layer with the most weights."""
    layers = [op.weight for op in program.ops if isinstance(op, Dense)]
    weights = max((math.prod(program.parameter_shapes[weight]) for weight in layers), default=0)
    return max(_threads(program, lanes), _rounded(weights // _NUMBERS_OF_WEIGHTS))


def _rounded(threads: int) -> int:
    """The next number of threads that a block may have."""
    return min(max(1 << (threads - 1).bit_length(), _LEAST_THREADS), _MOST_THREADS)


def _candidates(program: Program, lanes: int, threads: int) -> Iterator[Mapping]:
    """The best first: values always are in shared memory, stages and parameters if it has room for them."""
    numbers = sum(math.prod(shape) for shape in program.parameter_shapes)
    for shared_parameters in (2 * numbers, 0):
        for stages_in_shared in (True, False):
            yield Mapping(lanes, threads, stages_in_shared, shared_parameters)


def _too_large(needed: int, properties: Properties) -> str:
    return (
        f"an evaluation of one trajectory takes {needed:,} bytes of shared memory, more than the "
        f"{properties.shared_bytes:,} that a block may have"
    )
