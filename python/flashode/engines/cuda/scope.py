"""What the CUDA engine takes."""

from __future__ import annotations

from flashode.engines.compiled.backend import Work
from flashode.engines.cuda.choice import (
    TooLarge,
    event_mapping,
    forward_mapping,
    reverse_mapping,
    shared_by,
)
from flashode.engines.cuda.machine import CompilationError, Machine
from flashode.methods import Tableau

# A kernel takes 32,764 bytes of arguments: addresses of parameters, 8 bytes each, and no more than 8,000 of
# others.
_MOST_PARAMETERS = 3_000


# Each has its own instructions wherever a kernel reads or writes states or measures errors; so many compile
# in some ten seconds.
_MOST_COMPONENTS = 32


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
    dtype, to_event = work.settings.dtype, work.settings.to_event
    # An event's kernel has those of two fields.
    parameters, most = len(work.program.parameter_shapes), _MOST_PARAMETERS // (2 if to_event else 1)
    if parameters > most:
        return f"it reads {parameters:,} tensors, more than {most:,}"
    try:
        properties = machine.properties(work.settings.device)
        if work.of_event:
            event_mapping(work.program, dtype, properties)
        else:
            shared = shared_by(properties, to_event)
            forward_mapping(work.program, work.batch, dtype, stages, shared, record=to_event)
            reverse_mapping(work.program, work.batch, dtype, shared)
    except (CompilationError, TooLarge) as error:
        return str(error)
    return None
