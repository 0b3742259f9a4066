"""Paths through data: functions of time that a field reads, such as a control, a forcing or a schedule.

Each class here is made of values at given times, its knots, and is a polynomial between neighbouring ones:

===============  =====================================================================  ==============
                 between the knots tᵢ and tᵢ₊₁                                           derivative
===============  =====================================================================  ==============
``Linear``       a straight line                                                        jumps at knots
``Cubic``        the natural cubic spline: twice differentiable, straight at its ends   continuous
``Hermite``      a cubic that has at tᵢ the slope of the line from tᵢ₋₁                 continuous
``Rectilinear``  first time goes on and the values stay, then the values go on          jumps at knots
===============  =====================================================================  ==============

A field that evaluates a path, or its derivative, is captured and compiled like any other; where the batch of
the values is that of the state, each trajectory reads its own path. ``options={"jump_t": path.knots}`` of an
adaptive method lands its steps on the knots, ``step_t`` where the derivative is continuous.

Kidger et al., *Neural controlled differential equations for irregular time series* (NeurIPS 2020), for the
natural spline; Morrill et al., *Neural controlled differential equations for online prediction tasks* (2021),
for the other cubic, whose piece depends on no value after its end, and for the rectilinear path.
"""

from flashode.paths.path import Path
from flashode.paths.polynomials import Cubic, Hermite, Linear, Rectilinear

__all__ = ["Cubic", "Hermite", "Linear", "Path", "Rectilinear"]
