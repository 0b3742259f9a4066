"""What a solve is asked for that is no tensor and no function: hashable, and checked once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch

from flashode.methods import Method
from flashode.methods.interpolants import ON_GRID, Interpolant
from flashode.problem.options import FixedOptions, Options, may_be_remembered
from flashode.state import Structure
from flashode.verify import Verify


@dataclass(frozen=True)
class Integrator:
    """How a system of equations is integrated.

    Attributes:
        method: The method.
        options: Checked options, their times in solver time.
        rtol: Relative tolerance; of one that differs between elements the least.
        atol: Absolute tolerance, likewise.
    """

    method: Method
    options: Options
    rtol: float
    atol: float

    @property
    def interpolant(self) -> Interpolant | None:
        """What is known of the solution inside a step."""
        options = self.options
        return ON_GRID[options.interp] if isinstance(options, FixedOptions) else self.method.interpolant

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.method, self.options, self.rtol, self.atol))


@dataclass(frozen=True)
class Settings:
    """A solve without its function and tensors.

    Attributes:
        structure: What the state looks like to the function.
        dtype: Of the state.
        device: Of the state.
        direction: Solver time, which increases, is this times the user's: 1 or -1.
        integrator: How the equations are integrated.
        verify: When a capture of the function is compared with it.
        to_event: Whether the solve ends at an event. Then there are two times, of which only the first one
            counts, and the direction; the outputs are the start and the event.
        every_step: Whether the outputs are the start and, for each step accepted until the last time is
            reached or passed, the states that determine its interpolant, equally spaced up to its end.
    """

    structure: Structure
    dtype: torch.dtype
    device: torch.device
    direction: float
    integrator: Integrator
    verify: Verify = "first"
    to_event: bool = False
    every_step: bool = False

    @property
    def real_dtype(self) -> torch.dtype:
        """The state's dtype, or that of its real part: what the function gets its time in."""
        return self.dtype.to_real()

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        parts = self.structure, self.dtype, self.direction, self.integrator, self.to_event, self.every_step
        return hash(parts)


# Equal settings are mostly one object, which a dictionary finds without comparing. They hold numbers and
# names, and no object of the user's.
_kept = lru_cache(maxsize=256)(Settings)


def make_settings(
    structure: Structure,
    dtype: torch.dtype,
    device: torch.device,
    direction: float,
    integrator: Integrator,
    *others: Any,
) -> Settings:
    """The settings with these attributes."""
    make = _kept if may_be_remembered(integrator.options) else Settings
    return make(structure, dtype, device, direction, integrator, *others)
