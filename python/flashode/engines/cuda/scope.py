"""What the CUDA engine takes."""

from __future__ import annotations

import torch

from flashode.engines.compiled.backend import Work
from flashode.engines.cuda.machine import Machine
from flashode.engines.cuda.choice import choose


def refusal(work: Work, machine: Machine) -> str | None:
    """Why it does not do this, in words, or None."""
    for method in work.methods:
        if method.equations != "none":
            return "its method is implicit, and the CUDA engine solves no equations"
    stages = max(method.stages for method in work.methods)
    properties = machine.properties(work.settings.device)
    mapping = choose(work.program, work.batch, work.settings.dtype, stages, properties)
    return mapping if isinstance(mapping, str) else None
