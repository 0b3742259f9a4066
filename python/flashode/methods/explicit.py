"""Explicit methods for steps on a grid."""

from __future__ import annotations

from flashode.methods.tableau import tableau

FIXED = (
    tableau("euler", 1, ("",), "1", "Euler, Institutiones calculi integralis, 1768"),
    tableau("midpoint", 2, ("", "1/2"), "0 1", "Runge, Mathematische Annalen 46, 1895"),
    tableau("heun2", 2, ("", "1"), "1/2 1/2", "Heun, Zeitschrift fuer Mathematik und Physik 45, 1900"),
    tableau(
        "heun3",
        3,
        ("", "1/3", "0 2/3"),
        "1/4 0 3/4",
        "Heun, Zeitschrift fuer Mathematik und Physik 45, 1900",
    ),
    tableau(
        "rk4",
        4,
        ("", "1/3", "-1/3 1", "1 -1 1"),
        "1/8 3/8 3/8 1/8",
        "the 3/8 rule: Kutta, Zeitschrift fuer Mathematik und Physik 46, 1901",
    ),
)
