"""Implicit methods, whose stages solve equations, for steps on a grid."""

from __future__ import annotations

from fractions import Fraction as F

from flashode.methods.tableau import root, tableau

_R3, _R6, _R15 = root(3), root(6), root(15)
_GAMMA = 1 - root(2) / 2
_BETA = root(2) / 4
_SDIRK2_LAST = (1 - _GAMMA, _GAMMA)
_TRBDF2_LAST = (_BETA, _BETA, _GAMMA)
_RADAU_IIA5_LAST = (F(4, 9) - _R6 / 36, F(4, 9) + _R6 / 36, F(1, 9))

IMPLICIT = (
    tableau(
        "implicit_euler",
        1,
        ("1",),
        "1",
        "backward Euler: Curtiss and Hirschfelder, Proc. Nat. Acad. Sci. 38, 1952",
    ),
    tableau(
        "implicit_midpoint",
        2,
        ("1/2",),
        "1",
        "the one-stage Gauss method: Butcher, Mathematics of Computation 18, 1964",
    ),
    tableau(
        "trapezoid",
        2,
        ("0 0", "1/2 1/2"),
        "1/2 1/2",
        "Crank and Nicolson, Proc. Camb. Phil. Soc. 43, 1947; Lobatto IIIA of order 2",
    ),
    tableau(
        "radauIIA3",
        3,
        ("5/12 -1/12", "3/4 1/4"),
        "3/4 1/4",
        "Ehle, BIT 13, 1973; Hairer and Wanner, Solving Ordinary Differential Equations II, table IV.5.5",
    ),
    tableau(
        "gl4",
        4,
        ((F(1, 4), F(1, 4) - _R3 / 6), (F(1, 4) + _R3 / 6, F(1, 4))),
        "1/2 1/2",
        "Hammer and Hollingsworth, Mathematical Tables and Aids to Computation 9, 1955",
    ),
    tableau(
        "radauIIA5",
        5,
        (
            (F(11, 45) - 7 * _R6 / 360, F(37, 225) - 169 * _R6 / 1800, F(-2, 225) + _R6 / 75),
            (F(37, 225) + 169 * _R6 / 1800, F(11, 45) + 7 * _R6 / 360, F(-2, 225) - _R6 / 75),
            _RADAU_IIA5_LAST,
        ),
        _RADAU_IIA5_LAST,
        "Ehle, BIT 13, 1973; Hairer and Wanner, Solving Ordinary Differential Equations II, table IV.5.6",
    ),
    tableau(
        "gl6",
        6,
        (
            (F(5, 36), F(2, 9) - _R15 / 15, F(5, 36) - _R15 / 30),
            (F(5, 36) + _R15 / 24, F(2, 9), F(5, 36) - _R15 / 24),
            (F(5, 36) + _R15 / 30, F(2, 9) + _R15 / 15, F(5, 36)),
        ),
        "5/18 4/9 5/18",
        "Butcher, Mathematics of Computation 18, 1964",
    ),
    tableau(
        "sdirk2",
        2,
        ((_GAMMA, F(0)), _SDIRK2_LAST),
        _SDIRK2_LAST,
        "Alexander, SIAM Journal on Numerical Analysis 14, 1977",
    ),
    tableau(
        "trbdf2",
        2,
        ("0 0 0", (_GAMMA, _GAMMA, F(0)), _TRBDF2_LAST),
        _TRBDF2_LAST,
        "Bank et al., IEEE Transactions on Electron Devices 32, 1985; as a Runge-Kutta method Hosea and "
        "Shampine, Applied Numerical Mathematics 20, 1996",
    ),
)
