"""Implicit methods, whose stages solve equations, on given steps."""

from __future__ import annotations

from fractions import Fraction as F

from flashode.methods.tableau import root, tableau

_IMPLICIT_EULER = tableau(
    "implicit_euler",
    1,
    ("1",),
    "1",
    "backward Euler: Curtiss and Hirschfelder, Proc. Nat. Acad. Sci. 38, 1952",
)

_IMPLICIT_MIDPOINT = tableau(
    "implicit_midpoint",
    2,
    ("1/2",),
    "1",
    "the one-stage Gauss method: Butcher, Mathematics of Computation 18, 1964",
)

_TRAPEZOID = tableau(
    "trapezoid",
    2,
    ("0 0", "1/2 1/2"),
    "1/2 1/2",
    "Crank and Nicolson, Proc. Camb. Phil. Soc. 43, 1947; Lobatto IIIA of order 2",
)

_RADAU_IIA3 = tableau(
    "radauIIA3",
    3,
    ("5/12 -1/12", "3/4 1/4"),
    "3/4 1/4",
    "Ehle, BIT 13, 1973; Hairer and Wanner, Solving Ordinary Differential Equations II, table IV.5.5",
)

_R3 = root(3)
_GL4 = tableau(
    "gl4",
    4,
    ((F(1, 4), F(1, 4) - _R3 / 6), (F(1, 4) + _R3 / 6, F(1, 4))),
    "1/2 1/2",
    "Hammer and Hollingsworth, Mathematical Tables and Aids to Computation 9, 1955",
)

_R6 = root(6)
_RADAU_IIA5_LAST = (F(4, 9) - _R6 / 36, F(4, 9) + _R6 / 36, F(1, 9))
_RADAU_IIA5 = tableau(
    "radauIIA5",
    5,
    (
        (F(11, 45) - 7 * _R6 / 360, F(37, 225) - 169 * _R6 / 1800, F(-2, 225) + _R6 / 75),
        (F(37, 225) + 169 * _R6 / 1800, F(11, 45) + 7 * _R6 / 360, F(-2, 225) - _R6 / 75),
        _RADAU_IIA5_LAST,
    ),
    _RADAU_IIA5_LAST,
    "Ehle, BIT 13, 1973; Hairer and Wanner, Solving Ordinary Differential Equations II, table IV.5.6",
)

_R15 = root(15)
_GL6 = tableau(
    "gl6",
    6,
    (
        (F(5, 36), F(2, 9) - _R15 / 15, F(5, 36) - _R15 / 30),
        (F(5, 36) + _R15 / 24, F(2, 9), F(5, 36) - _R15 / 24),
        (F(5, 36) + _R15 / 30, F(2, 9) + _R15 / 15, F(5, 36)),
    ),
    "5/18 4/9 5/18",
    "Butcher, Mathematics of Computation 18, 1964",
)

_GAMMA = 1 - root(2) / 2
_SDIRK2 = tableau(
    "sdirk2",
    2,
    ((_GAMMA, F(0)), (1 - _GAMMA, _GAMMA)),
    (1 - _GAMMA, _GAMMA),
    "Alexander, SIAM Journal on Numerical Analysis 14, 1977",
)

_BETA = root(2) / 4
_TRBDF2 = tableau(
    "trbdf2",
    2,
    ("0 0 0", (_GAMMA, _GAMMA, F(0)), (_BETA, _BETA, _GAMMA)),
    (_BETA, _BETA, _GAMMA),
    "Bank et al., IEEE Transactions on Electron Devices 32, 1985; as a Runge-Kutta method Hosea and "
    "Shampine, Applied Numerical Mathematics 20, 1996",
)

IMPLICIT = (
    _IMPLICIT_EULER,
    _IMPLICIT_MIDPOINT,
    _TRAPEZOID,
    _RADAU_IIA3,
    _GL4,
    _RADAU_IIA5,
    _GL6,
    _SDIRK2,
    _TRBDF2,
)
