"""Explicit methods that take the steps they are given."""

from __future__ import annotations

from flashode.methods.tableau import tableau

_EULER = tableau("euler", 1, ("",), "1", "Euler, Institutiones calculi integralis, 1768")

_MIDPOINT = tableau(
    "midpoint",
    2,
    ("", "1/2"),
    "0 1",
    "Runge, Mathematische Annalen 46, 1895",
)

_HEUN2 = tableau(
    "heun2",
    2,
    ("", "1"),
    "1/2 1/2",
    "Heun, Zeitschrift fuer Mathematik und Physik 45, 1900",
)

_HEUN3 = tableau(
    "heun3",
    3,
    ("", "1/3", "0 2/3"),
    "1/4 0 3/4",
    "Heun, Zeitschrift fuer Mathematik und Physik 45, 1900",
)

_RK4 = tableau(
    "rk4",
    4,
    ("", "1/3", "-1/3 1", "1 -1 1"),
    "1/8 3/8 3/8 1/8",
    "the 3/8 rule: Kutta, Zeitschrift fuer Mathematik und Physik 46, 1901",
)

FIXED = (_EULER, _MIDPOINT, _HEUN2, _HEUN3, _RK4)
