"""Programs that search among knots and read rows of tables, for the tests of every engine.

Indices are within the table for every number between -3 and 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from flashode.program import (
    Binary,
    Bucketize,
    C,
    Gather,
    Lookup,
    Op,
    Parameter,
    Program,
    T,
    Unary,
    Y,
)

# Of the parameter that most of them search in.
KNOTS = (-2.0, -1.0, -1.0, 0.0, 0.5, 2.0)


class Draft:
    """A Program, operation by operation, whose state has four rows and whose c has twelve."""

    def __init__(self, width: int = 4, context_width: int = 12) -> None:
        self.widths = [1, width, context_width]
        self.ops: list[Op] = []
        self.shapes: list[tuple[int, ...]] = []
        self.shared = 0

    def add(self, kind: Callable[..., Op], width: int, *arguments: Any) -> int:
        self.ops.append(kind(len(self.widths), *arguments))
        self.widths.append(width)
        return len(self.widths) - 1

    def parameter(self, *shape: int) -> int:
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def index(self, x: int, count: int) -> int:
        """Whole numbers from zero, made of numbers from -3 to 3."""
        x = self.add(Unary, self.widths[x], x, "affine", (count / 6, count / 2))
        return self.add(
            Unary, self.widths[x], self.add(Unary, self.widths[x], x, "floor"), "clamp", (0.0, count - 1.0)
        )

    def finish(self, *values: int) -> Program:
        """All of these, as often as they fit into the state."""
        rows = sum(self.widths[value] for value in values)
        width = self.widths[Y]
        out = self.add(Gather, max(rows, width), values, tuple(i % rows for i in range(max(rows, width))))
        while self.widths[out] > width:
            halves = [
                self.add(Gather, width, (out,), tuple((start + i) % self.widths[out] for i in range(width)))
                for start in range(0, self.widths[out], width)
            ]
            out = halves[0]
            for half in halves[1:]:
                out = self.add(Binary, width, out, half, "add")
        return Program(tuple(self.widths), tuple(self.ops), out, tuple(self.shapes), self.shared)


def _searches() -> Program:
    """Among knots of every kind, on both sides."""
    draft = Draft()
    found = []
    for right in (False, True):
        shared = draft.parameter(len(KNOTS))
        found += [
            draft.add(Bucketize, 4, Y, None, shared, 1, right),
            draft.add(Bucketize, 4, Y, None, draft.parameter(2, 3), 2, right),
            draft.add(Bucketize, 4, Y, C, None, 2, right),
            draft.add(Bucketize, 4, Y, C, None, 1, right),
            draft.add(Bucketize, 1, T, C, None, 1, right),
        ]
    return draft.finish(*[draft.add(Unary, draft.widths[v], v, "affine", (0.25, 0.0)) for v in found])


def _at_time() -> Program:
    """A row of a parameter at an index of time alone: once for all trajectories."""
    draft = Draft()
    count = draft.add(Bucketize, 1, T, None, draft.parameter(len(KNOTS)), 1, False)
    table = draft.parameter(7, 4)
    row = draft.add(Lookup, 4, count, None, table, (0, 1, 2, 3), 4, 7)
    computed = draft.add(Parameter, 12, draft.parameter(12))
    waves = draft.add(Unary, 12, computed, "sin")
    index = draft.index(T, 3)
    of_computed = draft.add(Lookup, 4, index, waves, None, (0, 1, 3, 2), 4, 3)
    shared = draft.add(Binary, 4, row, of_computed, "mul")
    draft.shared = len(draft.ops)
    return draft.finish(
        draft.add(Binary, 4, shared, Y, "mul"), draft.add(Lookup, 4, index, C, None, (0, 1, 2, 3), 4, 3)
    )


def _at_state() -> Program:
    """Rows of tables of every kind at an index that each trajectory has, several of them at a time."""
    draft = Draft()
    shared = draft.add(Unary, 1, T, "sigmoid")
    uniform = draft.add(Gather, 9, (shared,), (0,) * 9)
    factors = draft.add(Parameter, 9, draft.parameter(9))
    uniform = draft.add(Binary, 9, uniform, factors, "mul")
    draft.shared = len(draft.ops)
    index = draft.index(Y, 3)
    other = draft.index(draft.add(Unary, 4, Y, "neg"), 4)
    waves = draft.add(Unary, 12, C, "tanh")
    return draft.finish(
        draft.add(Lookup, 8, index, C, None, (0, 1, 0, 1, 2, 3, 3, 3), 4, 3),
        draft.add(Lookup, 8, other, waves, None, (0, 2, 1, 1, 0, 0, 2, 1), 3, 4),
        draft.add(Lookup, 4, index, uniform, None, (0, 1, 2, 0), 3, 3),
        draft.add(Lookup, 12, other, None, draft.parameter(4, 3), (0, 1, 2) * 4, 3, 4),
        draft.add(Lookup, 4, other, None, draft.parameter(10), (0, 1, 2, 3), 2, 4),
    )


def _of_weights() -> Program:
    """A table that is read in other ways too, and twice."""
    draft = Draft()
    table = draft.parameter(3, 4)
    rows = draft.add(Parameter, 12, table)
    index = draft.index(Y, 3)
    first = draft.add(Lookup, 4, index, None, table, (0, 1, 2, 3), 4, 3)
    return draft.finish(
        first,
        draft.add(Lookup, 4, index, rows, None, (3, 2, 1, 0), 4, 3),
        draft.add(Binary, 12, rows, C, "mul"),
    )


PROGRAMS = {
    "searches": _searches(),
    "at time": _at_time(),
    "at state": _at_state(),
    "of weights": _of_weights(),
}


def outside(dtype: torch.dtype) -> tuple[Program, Tensor, Tensor]:
    """A Program that looks up the state, states, and what it gives of a table of the numbers 10 and 11."""
    index = [0.0, 1.0, 2.0, -1.0, -0.0, torch.nan, torch.inf, -torch.inf, 1e30, -1e30, 1.5, -0.5, 2.0**31]
    rates = [10.0, 11.0, torch.nan, torch.nan, 10.0, *[torch.nan] * 5, 11.0, torch.nan, torch.nan]
    program = Program((1, 1, 0, 1), (Lookup(3, Y, None, 0, (0,), 1, 2),), output=3, parameter_shapes=((2,),))
    return program, torch.tensor(index, dtype=dtype)[:, None], torch.tensor(rates, dtype=dtype)[:, None]
