"""A captured function as the compiled module evaluates it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from flashode.capture import Capture
from flashode.declined import Declined
from flashode.engines.layout import Layout
from flashode.engines.native_program import Compiled, compiled
from flashode.engines.native_scope import one_by_one, too_few_trajectories, too_large, useful_threads
from flashode.engines.parameter_gradients import connected_inputs, connected_rows
from flashode.problem import Adjoint, Problem


@dataclass(frozen=True, eq=False)
class Form:
    """What is the same for every solve with a Program and with states of one kind; it holds no tensor.

    Attributes:
        module: The compiled module.
        compiled: Its form of the Program.
        direction: Solver time is this times the user's.
        connected: Whether inputs that no gradient reaches are detached.
        operations: Of an evaluation of the whole batch.
        lone: Whether trajectories are solved one after another, instead of side by side.
    """

    module: Any
    compiled: Compiled
    direction: float
    connected: bool
    operations: int
    lone: bool


class NativeField:
    """A captured function and the memory of the states that it is evaluated at.

    Attributes:
        form: What it shares with other solves.
        capture: The function.
        layout: Where its trajectories lie in the state.
        inputs: What its Program reads.
    """

    def __init__(self, form: Form, capture: Capture, layout: Layout) -> None:
        inputs = capture.parameters()
        self.form = form
        self.capture = capture
        self.layout = layout
        self.inputs = tuple(connected_inputs(inputs, form.compiled.reach) if form.connected else inputs)

    def bound(self, parameters: Sequence[Tensor], wanted: Sequence[bool]) -> Any:
        """The compiled module's form of it.

        Args:
            parameters: Memory of its inputs, contiguous, which the caller keeps alive.
            wanted: For each, whether its gradient is.
        """
        form, layout = self.form, self.layout
        return form.module.Field(
            form.compiled.program,
            [p.data_ptr() for p in parameters],
            wanted,
            layout.segments,
            layout.batch,
            form.direction,
            useful_threads(form.operations),
            form.lone,
        )

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
    reason = too_large(program, module.MAX_ROWS, module.MAX_PARAMETER_ELEMENTS)
    if reason is not None:
        return Declined(reason)
    made = compiled(program, module.ProgramBuilder)
    carried = capture.carried
    if carried and connected:
        carried = connected_rows(carried, made.reach, program.widths[1])
    layout = Layout(problem.structure, capture.batched, carried)
    methods = (problem.method,) if adjoint is None else (problem.method, adjoint.method)
    lone = one_by_one(layout.batch, methods)
    reason = None if lone else too_few_trajectories(made.cost, layout.batch, problem.y0.element_size())
    if reason is not None:
        return Declined(reason, expected=True)
    form = Form(module, made, problem.direction, connected, made.cost * layout.batch, lone)
    return NativeField(form, capture, layout)
