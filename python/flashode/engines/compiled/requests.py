"""What a backend is asked for. All tensors are contiguous; those to be written are said to be so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from flashode.methods import Method
from flashode.problem import Integrator
from flashode.program import Program


class Shape(NamedTuple):
    """How a Program is evaluated, without the numbers: dy/ds = direction * f(direction * s, y).

    Attributes:
        segments: Rows of each part of the state's memory, ``(batch, rows)`` blocks one after the other; each
            counts by itself in error norms.
        batch: Trajectories.
        direction: 1 or -1: solver time s is this times the function's.
        cost: Arithmetic operations of one evaluation of one trajectory.
        methods: Those that it is solved with: the solve's, and that of its adjoint equations.
        program_memo: What the backend remembers as long as the Program lives.
        memo: What it remembers for solves of the same settings.
    """

    segments: Sequence[int]
    batch: int
    direction: float
    cost: int
    methods: tuple[Method, ...]
    program_memo: dict[Any, Any]
    memo: dict[Any, Any]


class EvaluatedField(NamedTuple):
    """A Program, what it reads and what it is evaluated at.

    Attributes:
        program: The Program.
        parameters: What it reads, in the state's dtype.
        wanted: For each parameter, whether its gradient is; empty where none is.
        shape: What it is evaluated at.
        c: What belongs to each trajectory, ``(batch, rows)``, or None.
    """

    program: Program
    parameters: tuple[Tensor, ...]
    wanted: tuple[bool, ...]
    shape: Shape
    c: Tensor | None


class CalledFunction(NamedTuple):
    """A function of the user's that a solve calls.

    Attributes:
        function: Gives a number: of solver time for an event, of nothing for a norm.
        state: The flat state that it is called for; written before each call.
    """

    function: Callable[..., float]
    state: Tensor


class ForwardRequest(NamedTuple):
    """A solve.

    Attributes:
        field: The field.
        integrator: How it is integrated.
        y0: The state's memory.
        times: Increasing solver times of the outputs, float64 on the CPU; the first one alone where the solve
            goes on to an event.
        grid: Solver times that a fixed-step method steps on, float64 on the CPU.
        states: Written, ``(times, *state)``; with an event the start and the event; not used with every_step.
        record: Whether a reverse may follow.
        rtol: Relative tolerance of each element of the state, or None for the integrator's.
        atol: Absolute tolerance, likewise.
        norm: What errors are measured by; None is the root mean square, of several segments the largest.
        event: What ends the solve: a function, when it is not positive any more; or a field of one
            trajectory, the state and more, when one of its rates has another sign than at the start.
        every_step: Whether every step has outputs.
    """

    field: EvaluatedField
    integrator: Integrator
    y0: Tensor
    times: Tensor
    grid: Tensor
    states: Tensor
    record: bool = False
    rtol: Tensor | None = None
    atol: Tensor | None = None
    norm: CalledFunction | None = None
    event: EvaluatedField | CalledFunction | None = None
    every_step: bool = False


class DiscreteRequest(NamedTuple):
    """The exact reverse of a recorded solve.

    Attributes:
        field: The field, with the parameters and c as they were.
        integrator: How it was integrated.
        log: The backend's account of the steps.
        checkpoints: As the solve gave them.
        times: Solver times of the outputs, float64.
        grad_states: Gradient in the outputs.
        grad_y0: Written, as the state's memory.
        grad_c: Written, as the field's c.
        grad_times: Zeros to write on, float64: gradient in the outputs' times through dense output; None: not
            wanted.
        grad_grid: Zeros to write on, float64: gradient in the grid, or in the start of an adaptive method's
            steps; None with grad_times.
        grad_parameters: Zeros to write on; None for those that are not wanted.
    """

    field: EvaluatedField
    integrator: Integrator
    log: Any
    checkpoints: tuple[Tensor | None, ...]
    times: Tensor
    grad_states: Tensor
    grad_y0: Tensor
    grad_c: Tensor | None
    grad_times: Tensor | None
    grad_grid: Tensor | None
    grad_parameters: tuple[Tensor | None, ...]


class ContinuousRequest(NamedTuple):
    """The adjoint equations, integrated backwards.

    Attributes:
        field: The field, with the parameters and c as they were.
        integrator: How the adjoint equations are integrated.
        seminorm: Whether the gradients in parameters and c are left out of the error norm.
        times: Solver times of the outputs, float64 on the CPU.
        grids: For a fixed-step method the grid of each output interval, in reversed time.
        states: The solution, ``(times, *state)``.
        grad_states: Gradient in it.
        grad_y0: Written, as the state's memory.
        grad_c: Written, as the field's c.
        grad_times: Zeros to write on, float64; None: not wanted.
        grad_parameters: Zeros to write on; None for those that are not wanted.
        measured_c: Ranges of rows of c, each ``(begin, end)``: the gradient in each of them counts in the
            error norm, as the gradient in a parameter does.
        transposes: Parameters that are another one's transpose: which, whose, and the other's shape.
    """

    field: EvaluatedField
    integrator: Integrator
    seminorm: bool
    times: Tensor
    grids: list[list[float]]
    states: Tensor
    grad_states: Tensor
    grad_y0: Tensor
    grad_c: Tensor | None
    grad_times: Tensor | None
    grad_parameters: tuple[Tensor | None, ...]
    measured_c: list[tuple[int, int]]
    transposes: list[tuple[int, int, int, int]]


Request = ForwardRequest | DiscreteRequest | ContinuousRequest
