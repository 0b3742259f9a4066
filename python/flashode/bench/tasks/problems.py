"""The problems of work–precision diagrams: textbook problems and neural fields, all in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from flashode.bench.tasks.fields.detest import (
    Rates,
    bessel,
    decay_chain,
    detest,
    orbit,
    oscillating_growth,
    predator_and_prey,
    rigid_body,
    van_der_pol,
)
from flashode.bench.tasks.workloads import WORKLOADS, Start, Times, Workload

# Of every problem of the test set.
END = 20.0
ECCENTRICITY = 0.5
NEURAL = ("spiral", "latent", "batch1")


def _problem(name: str, summary: str, rates: Rates, *start: float) -> Workload:
    return Workload(
        name=name,
        summary=summary,
        field=detest(rates),
        start=Start((len(start),), scale=0.0, offset=start),
        times=Times(0.0, END),
        precision="float64",
        modes=("forward",),
    )


_fastest = math.sqrt((1 + ECCENTRICITY) / (1 - ECCENTRICITY))
# The Bessel function of order 1/2 is elementary: sin(x) √(2/πx).
_at_one = math.sqrt(2 / math.pi) * math.sin(1.0)
_slope_at_one = math.sqrt(2 / math.pi) * (math.cos(1.0) - math.sin(1.0) / 2)

_DETEST = (
    _problem("A3", "oscillating growth, 1 equation", oscillating_growth, 1.0),
    _problem("B1", "predators and prey, 2 equations", predator_and_prey, 1.0, 3.0),
    _problem("B5", "free rigid body, 3 equations", rigid_body, 0.0, 1.0, 1.0),
    _problem("C1", "chain of decays, 10 equations", decay_chain, 1.0, *[0.0] * 9),
    _problem("D3", "orbit of eccentricity 0.5, 4 equations", orbit, 1 - ECCENTRICITY, 0.0, 0.0, _fastest),
    _problem("E1", "Bessel's equation, 2 equations", bessel, _at_one, _slope_at_one),
    _problem("E2", "Van der Pol's oscillator, 2 equations", van_der_pol, 2.0, 0.0),
)
_NETWORKS = (replace(WORKLOADS[name], precision="float64", modes=("forward",)) for name in NEURAL)

PROBLEMS: Mapping[str, Workload] = {row.name: row for row in (*_DETEST, *_NETWORKS)}
