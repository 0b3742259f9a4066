"""How many threads a solve on the CPU is to take."""

from __future__ import annotations

import torch

# A step of less work is done by the time that another thread has begun: some microseconds.
_LEAST_SHARED_OPERATIONS = 200_000


def useful_threads(operations: int) -> int:
    """How many there are to be, given the operations of one evaluation of a solve's whole batch."""
    return torch.get_num_threads() if operations >= _LEAST_SHARED_OPERATIONS else 1
