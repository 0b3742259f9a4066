"""A captured function as the compiled module evaluates it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from flashode import engines
from flashode.capture import Capture
from flashode.declined import Declined, Reason
from flashode.engines.compiled.layout import Layout
from flashode.engines.compiled.parameter_gradients import connected_inputs, connected_rows
from flashode.engines.compiled.program import Compiled, compiled
from flashode.engines.compiled.scope import (
    LEAST_DEMAND,
    Demand,
    alone,
    lanes_of,
    slower_than_torch,
    too_large,
    too_much_alone,
    useful_threads,
)
from flashode.memory import address, check_memory
from flashode.problem import Adjoint, Problem

# Forms that the compiled module gives a field are kept: a training step takes two, with the same memory.
_MOST_BOUND = 8


@dataclass(frozen=True, eq=False)
class Form:
    """What is the same for every solve with a Program and with states of one shape; it holds no tensor.

    Attributes:
        module: The compiled module.
        compiled: Its form of the Program.
        direction: Solver time is this times the user's.
        detaches: Whether inputs are to be detached where no gradient reaches them, and there are such.
        operations: Of an evaluation of the whole batch.
        lone: Whether a trajectory's features, not trajectories, fill the vectors' lanes.
        demand: What a solve has to ask of it, where it would be slower than plain torch for others; or None.
        bound: The compiled module's forms of it, by the addresses and settings that they were made with.
    """

    module: Any
    compiled: Compiled
    direction: float
    detaches: bool
    operations: int
    lone: bool
    demand: Demand | None
    bound: dict[Any, Any] = field(default_factory=dict)


class NativeField:
    """A captured function and the memory of the states that it is evaluated at.

    Attributes:
        form: What it shares with other solves.
        capture: The function.
        layout: Where its trajectories lie in the state.
        inputs: What its Program reads.
    """

    def __init__(self, form: Form, capture: Capture, layout: Layout) -> None:
        check_memory("a tensor of func's", capture.slots)
        inputs = capture.parameters()
        self.form = form
        self.capture = capture
        self.layout = layout
        self.inputs = tuple(connected_inputs(inputs, form.compiled.reach) if form.detaches else inputs)

    def bound(self, parameters: Sequence[Tensor], wanted: tuple[bool, ...] = ()) -> Any:
        """The compiled module's form of it.

        Args:
            parameters: Memory of its inputs, contiguous, which the caller keeps alive.
            wanted: For each, whether its gradient is; none is where it is left out.
        """
        form, layout = self.form, self.layout
        addresses = tuple(map(address, parameters))
        asked = (addresses, wanted, min(useful_threads(form.operations), form.module.MAX_THREADS))
        found = form.bound.get(asked)
        if found is None:
            if len(form.bound) >= _MOST_BOUND:
                form.bound.clear()
            found = form.bound[asked] = form.module.Field(
                form.compiled.program,
                addresses,
                wanted or (False,) * len(addresses),
                layout.segments,
                layout.batch,
                form.direction,
                asked[-1],
                form.lone,
            )
        return found

    def transposes(self) -> list[tuple[int, int, int, int]]:
        """The Program's parameters that are another one's transpose: which, whose, and the other's shape."""
        shapes = self.capture.program.parameter_shapes
        pairs = self.capture.prologue.transposes()
        return [(p, of, shapes[of][0], shapes[of][1]) for p, of in pairs]


def make_field(
    module: Any, problem: Problem, adjoint: Adjoint | None, capture: Capture, *, connected: bool
) -> NativeField | Declined:
    """Lays a captured function out for the compiled module, or says why that, or plain torch, is no use.

    Args:
        module: The compiled module.
        problem: The problem whose states it is evaluated at.
        adjoint: How its adjoint equations are solved, or None.
        capture: The function.
        connected: Whether inputs that no gradient reaches are detached.
    """
    program = capture.program
    if any(slot.layout is not torch.strided or slot.is_nested for slot in capture.slots):
        what = "a tensor that it reads is sparse, nested or of another layout than a dense one"
        return Declined(Reason(what, "read its to_dense()"))
    reason = too_large(program, module.MAX_ROWS, module.MAX_PARAMETER_ELEMENTS)
    if reason is not None:
        return Declined(reason)
    made = compiled(program, module.ProgramBuilder)
    carried = capture.carried
    if carried and connected:
        carried = connected_rows(carried, made.reach, program.widths[1])
    layout = Layout(problem.structure, capture.batched, carried)
    methods = (problem.method,) if adjoint is None else (problem.method, adjoint.method)
    lone = alone(layout.batch, methods)
    lanes = 1 if lone else lanes_of(problem.y0.element_size())

    def slower(demand: Demand) -> str | None:
        large = too_much_alone(made.cost) if lone else None
        return large or slower_than_torch(program, made.cost, layout.batch, lanes, demand)

    demand = Demand.of(problem, adjoint, capture.slots)
    reason = slower(demand)
    if reason is not None and not engines.insists("native"):
        return Declined(reason, expected=True)
    detaches = connected and len(made.reach.parameters) < len(program.parameter_shapes)
    only = None if slower(LEAST_DEMAND) is None else demand
    form = Form(module, made, problem.direction, detaches, made.cost * layout.batch, lone, only)
    return NativeField(form, capture, layout)
