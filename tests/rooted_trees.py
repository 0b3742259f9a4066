"""Rooted trees and the order conditions that they stand for (Butcher; Hairer, Noersett and Wanner, II.2)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

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
