"""What the CUDA engine takes."""

from __future__ import annotations

from flashode.engines.compiled.backend import Work
from flashode.engines.cuda.choice import TooLarge, forward_mapping, reverse_mapping
from flashode.engines.cuda.machine import Machine


def refusal(work: Work, machine: Machine) -> str | None:
    """Why it does not do this, in words, or None."""
    if work.settings.to_event:
        return "it ends at an event, and the CUDA engine looks for none"
    for method in work.methods:
        if method.equations != "none":
            return "its method is implicit, and the CUDA engine solves no equations"
    properties = machine.properties(work.settings.device)
    dtype = work.settings.dtype
    stages = max(method.stages for method in work.methods)
    try:
        forward_mapping(work.program, work.batch, dtype, stages, properties, record=False)
        reverse_mapping(work.program, work.batch, dtype, properties)
    except TooLarge as error:
        return str(error)
    return None
