"""How many blocks a multiprocessor holds, from what a kernel takes.

Numbers are those of the CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
"""

from __future__ import annotations

from benchmarks.gpu.machines import Launch
from flashode.engines.cuda.machine import Properties

WARP = 32
# Registers of a multiprocessor; in portions of how many a warp gets them; and warps go to its four parts.
REGISTERS = 65_536
PORTION = 256
PARTS = 4
# In portions of how many bytes a block gets shared memory.
SHARED_PORTION = 128
# Most blocks, by architecture.
BLOCKS = {"sm_80": 32, "sm_86": 16, "sm_87": 16, "sm_89": 24, "sm_90": 32, "sm_100": 32, "sm_120": 24}


def predicted(launch: Launch, properties: Properties) -> int:
    """Blocks on a multiprocessor at a time, by registers, shared memory, threads and their greatest number.

    The host has no registers, gives out shared memory by the byte, and counts no blocks.
    """
    shared = launch.shared_bytes + launch.resources.shared_bytes + properties.reserved_bytes
    by_threads = properties.threads_together // launch.threads
    if properties.architecture not in BLOCKS:
        return min(properties.shared_bytes_together // shared, by_threads)
    of_warp = -(-launch.resources.registers * WARP // PORTION) * PORTION
    warps = REGISTERS // of_warp // PARTS * PARTS
    return min(
        properties.shared_bytes_together // (-(-shared // SHARED_PORTION) * SHARED_PORTION),
        by_threads,
        warps // -(-launch.threads // WARP),
        BLOCKS[properties.architecture],
    )
