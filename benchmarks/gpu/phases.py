"""The phases, in their order, and the seconds that each may take: eight minutes together."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.gpu.findings import Recorder
from benchmarks.gpu.machines import Watched


@dataclass(frozen=True)
class Phase:
    """One phase.

    Attributes:
        name: Of it, and of the file in this folder whose ``run`` it is.
        title: For a reader.
        seconds: That it may take, its process's start included.
    """

    name: str
    title: str
    seconds: float

    @property
    def run(self) -> Callable[[Watched, bool, Recorder], None]:
        """Given the machine, whether that is the host, and who takes what it finds."""
        run: Callable[[Watched, bool, Recorder], None] = importlib.import_module(
            f"benchmarks.gpu.{self.name}"
        ).run
        return run


PHASES: Mapping[str, Phase] = {
    phase.name: phase
    for phase in (
        Phase("device", "Versions, device, kernels and their occupancy", 45),
        Phase("parity", "The same as the native engine", 80),
        Phase("programs", "Random Programs", 50),
        Phase("sanitizer", "Memory, races and barriers, watched", 80),
        Phase("tuning", "Barriers between blocks, mappings", 40),
        Phase("speed", "Workloads beside other solvers", 155),
        Phase("profile", "Counters of the hardware", 30),
    )
}
