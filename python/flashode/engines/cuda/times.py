"""Times on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flashode.memory import address
from flashode.problem import AdaptiveOptions, Integrator

# An address, and how many numbers are there.
Numbers = tuple[int, int]


class DeviceTimes:
    """Times, float64, copied to the device together.

    Attributes:
        parts: Where each is.
        memory: All of them.
    """

    def __init__(self, times: Sequence[Tensor], device: torch.device) -> None:
        """Copies them.

        Args:
            times: Each 1-D, float64, on the CPU.
            device: Where to.
        """
        numbers = torch.cat(list(times)) if len(times) > 1 else times[0]
        self.memory = numbers.to(device, non_blocking=True)
        begin, self.parts = address(self.memory), list[Numbers]()
        for part in times:
            self.parts.append((begin, part.numel()))
            begin += part.numel() * part.itemsize


def prescribed(integrator: Integrator) -> tuple[Tensor, Tensor]:
    """The times that steps are to end on, and those of them where the field jumps."""
    options = integrator.options
    if not isinstance(options, AdaptiveOptions):
        none = torch.empty(0, dtype=torch.float64, device="cpu")
        return none, none
    return (
        torch.tensor(options.step_t, dtype=torch.float64, device="cpu"),
        torch.tensor(options.jump_t, dtype=torch.float64, device="cpu"),
    )
