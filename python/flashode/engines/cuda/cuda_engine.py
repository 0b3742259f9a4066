"""The CUDA engine, which leaves the GPU alone until a solve's tensors are there."""

from __future__ import annotations

from functools import cache

import torch

from flashode.declined import Declined, Reason
from flashode.engines.compiled.engine import CompiledEngine
from flashode.engines.compiled.plan import CompiledPlan
from flashode.engines.compiled.scope import refusal
from flashode.engines.cuda.backend import CudaBackend
from flashode.engines.cuda.driver import Driver, driver
from flashode.problem import Gradient, Problem

_CAPTURING = Reason(
    "a CUDA graph is being captured, and a solve reads what its kernels find before it goes on",
    "solve outside of torch.cuda.graph",
)


class CudaEngine:
    """A compiled engine on the machine's GPUs, where these and what compiles for them can be used."""

    name = CudaBackend.name

    def plan(self, problem: Problem, gradient: Gradient) -> CompiledPlan | Declined:
        """A plan, or the first thing that keeps this problem from running here."""
        device = problem.settings.device
        if device.type != Driver.device_type:
            # Who insists on this engine has not started CUDA with that, and may still fork.
            refused = refusal(problem, gradient, Driver.device_type)
            assert refused is not None
            return refused
        with torch.cuda.device(device):
            if torch.cuda.is_current_stream_capturing():
                return Declined(_CAPTURING)
        engine = _on_driver()
        return engine if isinstance(engine, Declined) else engine.plan(problem, gradient)


@cache
def _on_driver() -> CompiledEngine | Declined:
    machine = driver()
    return machine if isinstance(machine, Declined) else CompiledEngine(CudaBackend(machine))
