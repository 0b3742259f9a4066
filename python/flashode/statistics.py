"""Counts of evaluations and steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Statistics:
    """Counts of one solve.

    Attributes:
        evaluations: Calls of the vector field.
        accepted: Steps taken.
        rejected: Steps tried and refused by the error control.
    """

    evaluations: int = 0
    accepted: int = 0
    rejected: int = 0
