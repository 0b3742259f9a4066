"""The size of steps that an error chooses, by the numbers of :mod:`flashode.methods.control`.

Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, II.4.
"""

from __future__ import annotations

import math
from typing import Any

from flashode.engines.numba.loops.jit import expanded, strict


@expanded
def clamped(system: Any, dt: float) -> float:
    """A step between the least and the largest allowed."""
    return min(max(dt, system.min_step), system.max_step)


@expanded
def accepts(system: Any, norm: float, dt: float) -> bool:
    """Whether a step stands: NaN is never at most one, and the least step stands if its error is a number."""
    return norm <= 1.0 or (not math.isnan(norm) and dt <= system.min_step)


@strict
def next_step(system: Any, norm: float, dt: float) -> float:
    """The size of the step after one whose error had that norm; none shrinks after one that stands."""
    if norm == 0.0:
        return dt * system.ifactor
    if math.isnan(norm):
        return dt * system.dfactor
    least = 1.0 if norm < 1.0 else system.dfactor
    wanted = system.safety / norm ** (1.0 / system.order)
    return dt * min(max(wanted, least), system.ifactor)


@strict
def initial_probe(system: Any, norm_y0: float, norm_f0: float) -> float:
    """The step of the probe that the derivative of the field is told from."""
    least = system.least_norm
    if norm_y0 >= least and norm_f0 >= least:
        probe = system.share * norm_y0 / norm_f0
        if 0.0 < probe < math.inf:
            return probe
    return system.least_step


@strict
def initial_step(system: Any, probe: float, norm_f0: float, norm_derivative: float) -> float:
    """The first step; where the probe left the numbers it is the probe, which rejections shrink."""
    if not (math.isfinite(norm_f0) and math.isfinite(norm_derivative)):
        return probe
    if norm_f0 <= system.flat and norm_derivative <= system.flat:
        step = max(probe * system.flat_growth, system.least_step)
    else:
        step = (system.share / max(norm_f0, norm_derivative)) ** (1.0 / system.order)
    return min(step, system.most_growth * probe)
