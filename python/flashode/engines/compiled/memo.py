"""What is computed once for a Program and remembered for as long as the Program lives."""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from flashode.engines.compiled.layout import Layout
from flashode.engines.compiled.requests import Shape
from flashode.program import ARITHMETIC, Binary, Program, Reach, Unary

# More settings for one Program differ from solve to solve: remembered, they would only take memory.
MOST_SETUPS = 64
# Of the setups of all Programs together, by an estimate.
MAX_BYTES = 32 * 2**20

# A function that is not arithmetic costs about as much as this many multiply-adds.
_FUNCTION_COST = 10


@dataclass(frozen=True, eq=False)
class Setup:
    """What all solves of one Program with the same settings share; it holds no tensor and not the Program.

    Attributes:
        layout: Where trajectories lie in the state.
        shape: What the Program is evaluated at, for the backend.
        reach: What gradients reach.
        detaches: Whether inputs are to be detached where no gradient reaches them, and there are such.
        pays: Whether the backend is faster than plain torch, whatever else a solve asks for.
    """

    layout: Layout
    shape: Shape
    reach: Reach
    detaches: bool
    pays: bool

    @property
    def weight(self) -> int:
        """About how many bytes it takes: backends keep something for every address of a parameter."""
        return 4096 + 512 * len(self.reach.parameters)


class Memo:
    """What depends on a Program, and on it and a solve's settings. It does not hold the Program.

    Attributes:
        cost: Arithmetic operations of one evaluation of one trajectory, functions weighted by what they cost.
        reach: What gradients reach.
        by_backend: What backends remember, by their names.
        setups: What is the same for all solves of some settings, by these.
    """

    def __init__(self, program: Program) -> None:
        self.cost = cost(program)
        self.reach: Reach = program.reach()
        self.by_backend: dict[str, dict[Any, Any]] = {}
        self.setups: dict[Hashable, Setup] = {}

    def keep(self, settings: Hashable, setup: Setup) -> None:
        """Keeps a setup for later solves."""
        if len(self.setups) >= MOST_SETUPS:
            self.setups.clear()
        # Of a copy, which other threads and what they let go do not change.
        memos = list(_memos.copy().values())
        weight = sum(each.weight for memo in memos for each in memo.setups.copy().values())
        if weight + setup.weight > MAX_BYTES:
            for memo in memos:
                memo.setups.clear()
        self.setups[settings] = setup


_memos: dict[int, Memo] = {}


def memo_of(program: Program) -> Memo:
    """The memo of a Program."""
    key = id(program)
    memo = _memos.get(key)
    if memo is None:
        memo = _memos[key] = Memo(program)
        weakref.finalize(program, _memos.pop, key, None)
    return memo


def cost(program: Program) -> int:
    """Arithmetic operations of one evaluation of one trajectory, functions weighted by what they cost."""
    rows = sum(
        program.widths[op.out]
        for op in program.ops
        if isinstance(op, (Unary, Binary)) and op.fn not in ARITHMETIC
    )
    return program.flops() + _FUNCTION_COST * rows
