"""The vjp of a Program as a list of steps, the last operation first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from flashode.program import Op, Program, learned_by, passed_to


@dataclass(frozen=True)
class ReverseStep:
    """What the gradient in an operation's result gives.

    Attributes:
        op: The operation.
        gradients: The values that get a gradient, each with whether it is the first that they get: what was
            there before is nothing.
        parameters: The parameters that get one, which is added to what is there.
    """

    op: Op
    gradients: tuple[tuple[int, bool], ...]
    parameters: tuple[int, ...]


@dataclass(frozen=True)
class Reverse:
    """A vjp.

    Attributes:
        steps: In the order in which they are taken; each has the whole gradient in its operation's result.
        reached: The values that have a gradient, the output among them.
    """

    steps: tuple[ReverseStep, ...]
    reached: frozenset[int]


def reverse(program: Program, sources: Collection[int], parameters: Collection[int]) -> Reverse:
    """The vjp of a Program.

    Args:
        program: The Program.
        sources: Which of its inputs gradients are wanted in.
        parameters: Which of its parameters.
    """
    active = set(sources)
    for op in program.ops:
        reads = set(passed_to(op)) & active
        if reads or set(learned_by(op)) & set(parameters):
            active.add(op.out)
    reached, steps = {program.output} & active, []
    for op in reversed(program.ops):
        if op.out not in reached:
            continue
        gradients = []
        # One that is read twice gets two gradients.
        for value in passed_to(op):
            if value in active:
                gradients.append((value, value not in reached))
                reached.add(value)
        wanted = tuple([p for p in learned_by(op) if p in parameters])
        if gradients or wanted:
            steps.append(ReverseStep(op, tuple(gradients), wanted))
    return Reverse(tuple(steps), frozenset(reached))
