"""A captured function as the compiled module evaluates it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from flashode.capture import Capture
from flashode.declined import Declined
from flashode.engines.layout import Layout
from flashode.engines.native_program import Compiled, compiled
from flashode.engines.native_scope import too_few_trajectories, too_large, useful_threads
from flashode.engines.parameter_gradients import connected_inputs, connected_rows
from flashode.problem import Problem


class NativeField:
    """A captured function and the memory of the states that it is evaluated at.

    Attributes:
        capture: The function.
        layout: Where its trajectories lie in the state.
        inputs: What its Program reads.
    """

    def __init__(
        self,
        module: Any,
        problem: Problem,
        capture: Capture,
        layout: Layout,
        inputs: Sequence[Tensor],
        operations: int,
    ) -> None:
        self._type = module.Field
        self._program = compiled(capture.program, module.ProgramBuilder).program
        self._direction = problem.direction
        self._operations = operations * layout.batch
        self.capture = capture
        self.layout = layout
        self.inputs = tuple(inputs)

    def bound(self, parameters: Sequence[Tensor], wanted: Sequence[bool]) -> Any:
        """The compiled module's form of it.

        Args:
            parameters: Memory of its inputs, contiguous, which the caller keeps alive.
            wanted: For each, whether its gradient is.
        """
        return self._type(
            self._program,
            [p.data_ptr() for p in parameters],
            wanted,
            self.layout.segments,
            self.layout.batch,
            self._direction,
            useful_threads(self._operations),
        )

    def transposes(self) -> list[tuple[int, int, int, int]]:
        """The Program's parameters that are another one's transpose: which, whose, and the other's shape."""
        shapes = self.capture.program.parameter_shapes
        pairs = self.capture.prologue.transposes()
        return [(p, of, shapes[of][0], shapes[of][1]) for p, of in pairs]


def make_field(module: Any, problem: Problem, capture: Capture, *, connected: bool) -> NativeField | Declined:
    """Lays a captured function out for the compiled module, or says why that, or plain torch, is no use.

    Args:
        module: The compiled module.
        problem: The problem whose states it is evaluated at.
        capture: The function.
        connected: Whether inputs that no gradient reaches are detached.
    """
    program = capture.program
    reason = too_large(program, module.MAX_ROWS, module.MAX_PARAMETER_ELEMENTS)
    if reason is not None:
        return Declined(reason)
    made: Compiled = compiled(program, module.ProgramBuilder)
    carried = capture.carried
    if carried and connected:
        carried = connected_rows(carried, made.reach, program.widths[1])
    layout = Layout(problem.structure, capture.batched, carried)
    reason = too_few_trajectories(made.cost, layout.batch, problem.y0.element_size())
    if reason is not None:
        return Declined(reason, expected=True)
    inputs = capture.parameters()
    reached = connected_inputs(inputs, made.reach) if connected else inputs
    return NativeField(module, problem, capture, layout, reached, made.cost)
