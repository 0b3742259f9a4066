"""How a quantity grows with what a study varies: the exponent of a power law, where it has become one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flashode.bench.records.file import Results
from flashode.bench.records.record import Record

# Two points lie on every power law; three say something.
FEWEST = 3
# How far, as a ratio, a point may lie off the law and still be said to follow it.
SLACK = 1.15


@dataclass(frozen=True)
class Fit:
    """A power law, factor × value ** exponent.

    Attributes:
        exponent: Slope of the fit in logarithms.
        factor: The law's value at 1.
        first: Smallest value that the fit covers.
        last: Largest value, likewise.
        count: How many points it covers.
    """

    exponent: float
    factor: float
    first: float
    last: float
    count: int


def fit(points: Mapping[float, float]) -> Fit | None:
    """The law that the points follow at the large end: the longest run of them within `SLACK` of one.

    Args:
        points: Quantity by value, both positive; others are left out, as logarithms have no place for them.

    Returns:
        None where not even the last `FEWEST` points follow a law.
    """
    usable = sorted((value, quantity) for value, quantity in points.items() if value > 0 and quantity > 0)
    for start in range(len(usable) - FEWEST + 1):
        part = usable[start:]
        x, y = np.log(np.array(part, dtype=np.float64)).T
        exponent, intercept = np.polyfit(x, y, 1)
        if np.max(np.abs(exponent * x + intercept - y)) <= np.log(SLACK):
            return Fit(float(exponent), float(np.exp(intercept)), part[0][0], part[-1][0], len(part))
    return None


def series(results: Results) -> dict[tuple[str, str, str, str], dict[float, Record]]:
    """The records that differ in only one number, by study, case, name of the number, and contender."""
    sweeps: dict[tuple[str, str, str, str], dict[float, Record]] = {}
    for record in results.records:
        for name, value in record.parameters.items():
            if isinstance(value, int | float):
                words = [str(other) for key, other in record.parameters.items() if key != name]
                label = ", ".join((record.label, *words))
                sweeps.setdefault((record.study, record.case, name, label), {})[value] = record
    return sweeps
