"""Rooted trees and the order conditions that they stand for (Butcher; Hairer, Noersett and Wanner, II.2)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

from mpmath import mp, mpf

from flashode.methods import Tableau

# A tree is the sorted tuple of the trees that hang on its root; () is the single node.
Tree = tuple[Any, ...]


@cache
def trees(order: int) -> tuple[Tree, ...]:
    """All rooted trees with that many nodes."""
    return tuple(sorted(set(_forests(order - 1, order - 1))))


def _forests(nodes: int, largest: int) -> Iterator[Tree]:
    if nodes == 0:
        yield ()
        return
    for size in range(min(nodes, largest), 0, -1):
        for tree in trees(size):
            for rest in _forests(nodes - size, size):
                yield tuple(sorted((tree, *rest)))


def node_count(tree: Tree) -> int:
    """Number of nodes."""
    return 1 + sum(map(node_count, tree))


def density(tree: Tree) -> int:
    """The product of the node counts of all subtrees."""
    product = node_count(tree)
    for child in tree:
        product *= density(child)
    return product


def stage_weights(tree: Tree, a: list[list[Any]], one: Any) -> list[Any]:
    """The tree's elementary weight at each stage."""
    weights = [one] * len(a)
    for child in tree:
        inner = stage_weights(child, a, one)
        weights = [
            weight * sum((x * y for x, y in zip(row, inner, strict=False)), 0 * one)
            for weight, row in zip(weights, a, strict=True)
        ]
    return weights


# Published as decimals or rational approximations, or irrational: (solution and embedded, middle). All others
# hold exactly.
APPROXIMATE = {"tsit5": (1e-38, 1e-15), "dopri8": (1e-15, 1e-14)}
APPROXIMATE.update(dict.fromkeys(("gl4", "gl6", "radauIIA5", "sdirk2", "trbdf2"), (1e-38, 0)))


def residuals(tableau: Tableau, weights: tuple[Fraction, ...], order: int, x: Fraction) -> list[Any]:
    """What is left of each order condition of that order for a solution at ``t0 + x dt``."""
    exact = tableau.name not in APPROXIMATE
    # Fractions of dopri8's coefficients grow to thousands of digits.
    number: Any = Fraction if exact else lambda f: mpf(f.numerator) / f.denominator
    with mp.workdps(60):
        a = [[number(entry) for entry in row] for row in tableau.a]
        w = [number(entry) for entry in weights]
        return [
            sum(p * q for p, q in zip(w, stage_weights(tree, a, number(Fraction(1))), strict=True))
            - number(x**order / density(tree))
            for tree in trees(order)
        ]
