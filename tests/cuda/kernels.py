"""Small kernels for tests of the machine: their texts, and how the host runs them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from cuda.host import Host

_CPU = torch.device("cpu")


def kernel_text(body: str, *, threads: int, memory: int) -> str:
    """A kernel ``test(q)`` with the addresses ``q.memory[i]`` and the number ``q.round``.

    Args:
        body: Its statements.
        threads: Of a block.
        memory: How many addresses there are.
    """
    return f"""#include "cuda/reduction.hpp"

namespace {{

using namespace flashode::cuda;

struct Arguments {{
    double* memory[{memory}];
    std::uint64_t round;
}};

constexpr int THREADS = {threads};

}}  // namespace

FLASHODE_KERNEL(THREADS, 1) test([[maybe_unused]] FLASHODE_ARGUMENTS Arguments q) {{
{body}
}}
"""


def run(
    host: Host, text: str, memory: Sequence[Tensor], *, blocks: int, threads: int, shared_bytes: int = 0
) -> None:
    """Runs one.

    Raises:
        RuntimeError: The machine has found a fault.
    """
    addresses = (ctypes.c_uint64 * (len(memory) + 1))(*[part.data_ptr() for part in memory], 1)
    kernel = host.kernel(text, "test", _CPU)
    assert kernel.launch(blocks, threads, shared_bytes, bytes(addresses))
