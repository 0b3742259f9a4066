"""A captured function as compiled engines evaluate it."""

from __future__ import annotations

import torch
from torch import Tensor

from flashode.capture import Capture
from flashode.declined import Declined, Reason
from flashode.engines.compiled.backend import Backend, Work
from flashode.engines.compiled.layout import Layout, context
from flashode.engines.compiled.memo import Setup, memo_of
from flashode.engines.compiled.parameter_gradients import connected_context, connected_inputs
from flashode.engines.compiled.requests import EvaluatedField, Shape
from flashode.engines.compiled.scope import LEAST_DEMAND, Demand, is_small
from flashode.engines.selection import insists
from flashode.memory import check_memory, plain
from flashode.problem import Discrete, Gradient, Problem
from flashode.state import Structure


class CapturedField:
    """A captured function and the memory of the states that it is evaluated at.

    Attributes:
        setup: What it shares with other solves.
        capture: The function.
        inputs: What its Program reads.
        carried: Tensors ``(batch, ...)`` of which each trajectory reads its own slice, the Program's c.
    """

    def __init__(self, setup: Setup, capture: Capture) -> None:
        check_memory("a tensor of func's", capture.slots)
        inputs = capture.parameters()
        self.setup = setup
        self.capture = capture
        self.inputs = tuple(connected_inputs(inputs, setup.reach) if setup.detaches else inputs)
        self.carried = capture.carried
        if setup.detaches and self.carried:
            self.carried = connected_context(self.carried, setup.reach)

    def context(self) -> Tensor | None:
        """A copy of what belongs to trajectories, as it is now."""
        return plain(context(self.carried)) if self.carried else None

    def evaluated(
        self, parameters: tuple[Tensor, ...], c: Tensor | None, wanted: tuple[bool, ...] = ()
    ) -> EvaluatedField:
        """The field as a request has it.

        Args:
            parameters: Memory of its inputs, contiguous.
            c: A :meth:`context` of it.
            wanted: For each, whether its gradient is; none is where it is left out.
        """
        return EvaluatedField(self.capture.program, parameters, wanted, self.setup.shape, c)

    def transposes(self) -> list[tuple[int, int, int, int]]:
        """The Program's parameters that are another one's transpose: which, whose, and the other's shape."""
        shapes = self.capture.program.parameter_shapes
        pairs = self.capture.prologue.transposes()
        return [(p, of, shapes[of][0], shapes[of][1]) for p, of in pairs]


def make_field(
    backend: Backend,
    problem: Problem,
    gradient: Gradient,
    capture: Capture,
    event_state: Structure | None = None,
) -> CapturedField | Declined:
    """Lays a captured function out for a backend, or says why that, or plain torch, is no use.

    Args:
        backend: The backend.
        problem: The problem whose states it is evaluated at.
        gradient: How it may be differentiated.
        capture: The function.
        event_state: What the problem's event function is evaluated at, if it is that: nothing is
            differentiated through it.
    """
    key = backend.name, problem.settings, gradient.settings, event_state
    memo = memo_of(capture.program)
    setup = memo.setups.get(key)
    if setup is None:
        new = _make_setup(backend, problem, gradient, capture, event_state)
        if isinstance(new, Declined):
            return new
        setup = new
        if is_small(problem, gradient):
            memo.keep(key, setup)
    if not (setup.pays or insists(backend.name)):
        slower = backend.pays(
            Work(capture.program, setup.shape.cost, setup.layout.batch, problem.settings, gradient),
            Demand.of(problem, gradient, capture.slots),
        )
        if slower is not None:
            return slower
    return CapturedField(setup, capture)


def _make_setup(
    backend: Backend, problem: Problem, gradient: Gradient, capture: Capture, event_state: Structure | None
) -> Setup | Declined:
    if any(slot.layout is not torch.strided or slot.is_nested for slot in capture.slots):
        what = "a tensor that it reads is sparse, nested or of another layout than a dense one"
        return Declined(Reason(what, "read its to_dense()"))
    program = capture.program
    memo = memo_of(program)
    # The continuous adjoint asks for gradients in all that is learned, and has zeros where there is none.
    connected = isinstance(gradient, Discrete) and event_state is None
    layout = Layout(event_state or problem.structure, capture.batched)
    work = Work(program, memo.cost, layout.batch, problem.settings, gradient, event_state is not None)
    refusal = backend.accepts(work)
    if refusal is not None:
        return refusal
    shape = Shape(
        layout.segments,
        layout.batch,
        problem.direction,
        memo.cost,
        work.methods,
        memo.by_backend.setdefault(backend.name, {}),
        {},
    )
    reaches_all = len(memo.reach.parameters) == len(program.parameter_shapes) and all(memo.reach.rows)
    return Setup(
        layout, shape, memo.reach, connected and not reaches_all, backend.pays(work, LEAST_DEMAND) is None
    )
