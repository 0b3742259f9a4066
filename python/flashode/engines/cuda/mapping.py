"""How a batch is spread over the threads of a device."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mapping:
    """What a kernel's text has to know of it.

    Attributes:
        lanes: Trajectories of a tile; a power of two.
        threads: Of a block, which has a tile at a time.
        stages_in_shared: Whether a step's stages are in shared memory, not in global memory.
        shared_parameters: Numbers of parameters that shared memory has room for; the largest stay outside.
        accumulators_in_shared: Whether gradients in parameters are added up in shared memory.
    """

    lanes: int
    threads: int
    stages_in_shared: bool
    shared_parameters: int
    accumulators_in_shared: bool = True
