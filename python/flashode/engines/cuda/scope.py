"""What the CUDA engine takes."""

from __future__ import annotations

import math

import torch

from flashode.declined import Reason
from flashode.engines.compiled.backend import Work
from flashode.engines.compiled.memo import memo_of
from flashode.engines.cuda.choice import (
    TooLarge,
    event_mapping,
    forward_mapping,
    reverse_mapping,
    shared_by,
)
from flashode.engines.cuda.machine import CompilationError, Machine, Properties
from flashode.engines.cuda.mapping import Mapping
from flashode.engines.cuda.remembered import remembered
from flashode.engines.cuda.source import blocks_together
from flashode.methods import Tableau
from flashode.problem import Continuous

# A kernel takes 32,764 bytes of arguments: addresses of parameters, 8 bytes each, and no more than 8,000 of
# others.
_MOST_PARAMETERS = 3_000


# Each has its own instructions wherever a kernel reads or writes states or measures errors; so many compile
# in some ten seconds.
_MOST_COMPONENTS = 32
# Of a device's memory, for gradients that are yet to be added up.
_MOST_OF_MEMORY = 0.25


def refusal(work: Work, machine: Machine) -> str | None:
    """Why it does not do this, in words, or None."""
    stages = 0
    for method in work.methods:
        assert isinstance(method, Tableau)
        if method.equations != "none":
            return "its method is implicit, and the CUDA engine solves no equations"
        stages = max(stages, method.stages)
    segments = len(work.settings.structure.shapes)
    if segments > _MOST_COMPONENTS:
        return f"its state has {segments} components, more than {_MOST_COMPONENTS}"
    # An event's kernel has those of two fields.
    most = _MOST_PARAMETERS // (2 if work.settings.to_event else 1)
    parameters = len(work.program.parameter_shapes)
    if parameters > most:
        return f"it reads {parameters:,} tensors, more than {most:,}"
    try:
        _mapping(work, machine.properties(work.settings.device), stages)
    except (CompilationError, TooLarge) as error:
        return str(error)
    return None


def _mapping(work: Work, properties: Properties, stages: int) -> Mapping:
    """That of the reverse pass, or of an event; it takes long to find.

    Raises:
        TooLarge: There is none, or none of the solve itself.
    """
    program, batch, dtype = work.program, work.batch, work.settings.dtype
    to_event = work.settings.to_event

    def find() -> Mapping:
        if work.of_event:
            return event_mapping(program, dtype, properties)
        shared = shared_by(properties, to_event=to_event)
        forward_mapping(program, batch, dtype, stages, shared, record=to_event)
        return reverse_mapping(program, batch, dtype, shared)

    memo = memo_of(program).by_backend.setdefault("cuda", {})
    key = batch, dtype, properties, stages, to_event, work.of_event
    return remembered(memo, "mapping", key, find)


def too_many_gradients(work: Work, machine: Machine) -> Reason | None:
    """Why it does not differentiate this: each block adds up the gradients in all parameters for itself."""
    if work.of_event:
        return None
    dtype, properties = work.settings.dtype, machine.properties(work.settings.device)
    stages = [method.stages for method in work.methods if isinstance(method, Tableau)]
    mapping = _mapping(work, properties, max(stages))
    numbers = sum(map(math.prod, work.program.parameter_shapes))
    continuous = isinstance(work.gradient, Continuous)
    if continuous:
        number_bytes = stages[-1] * dtype.itemsize
    else:
        number_bytes = torch.float64.itemsize + (0 if mapping.accumulators_in_shared else dtype.itemsize)
    resident = properties.multiprocessors * blocks_together(dtype, mapping, many_registers=continuous)
    needed = min(-(-work.batch // mapping.lanes), resident) * numbers * number_bytes
    limit = int(properties.memory_bytes * _MOST_OF_MEMORY)
    if needed <= limit:
        return None
    what = f"gradients in its {numbers:,} parameters take {needed:,} bytes of the device, more than {limit:,}"
    return Reason(what, "solve fewer trajectories at a time")
