"""The native engine: whole solves in the compiled module, which only this file imports."""

from __future__ import annotations

import importlib
import importlib.util
import weakref
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from flashode.capture import Capture, capture
from flashode.declined import Declined
from flashode.engines import eager
from flashode.engines.build import VERSION
from flashode.engines.failure import max_steps, non_finite, underflow
from flashode.engines.layout import Layout, plain
from flashode.engines.native_program import translate
from flashode.engines.native_scope import (
    PRECISIONS,
    adjoint_obstacle,
    cost,
    obstacle,
    too_few_trajectories,
    too_large,
)
from flashode.engines.parameter_gradients import (
    connected_inputs,
    connected_rows,
    gradient_memory,
    reached_from,
    through_prologue,
)
from flashode.engines.plan import Forward, Gradients
from flashode.methods import Tableau
from flashode.problem import AdaptiveOptions, FixedOptions, fixed_grid
from flashode.program import Program, Reach
from flashode.state import State, components
from flashode.statistics import Statistics

if TYPE_CHECKING:
    from flashode.methods import Method
    from flashode.problem import Adjoint, Options, Problem

# An absent module selects the next engine; one that is there but broken raises here and is not hidden.
_NAME = "flashode._flashode"
_flashode: Any = None if importlib.util.find_spec(_NAME) is None else importlib.import_module(_NAME)


def engine() -> NativeEngine | Declined:
    """The engine, or why this installation has none."""
    if _flashode is None:
        return Declined("this installation has no compiled module", absent=True)
    return NativeEngine()


def build_info() -> dict[str, Any]:
    """What the compiled module is and what it would run on; see ``flashode.build_info``."""
    return {
        "version": VERSION,
        "compiled": _flashode is not None,
        "compiler": None if _flashode is None else _flashode.compiler,
        "instruction_sets": () if _flashode is None else tuple(_flashode.instruction_sets()),
        "instruction_set": None if _flashode is None else _flashode.active_instruction_set(),
        "threads": torch.get_num_threads(),
        "cuda_built": _flashode is not None and _flashode.cuda_built,
        "cuda_available": torch.cuda.is_available(),
    }


class NativeEngine:
    """Captured fields, solved by the compiled tile engine on the CPU."""

    name = "native"

    def plan(self, problem: Problem, adjoint: Adjoint | None) -> NativePlan | Declined:
        """A plan, or the first thing that keeps this problem from running here."""
        reason = obstacle(problem) or (None if adjoint is None else adjoint_obstacle(adjoint))
        if reason is not None:
            return Declined(reason)
        y0 = problem.y0
        captured = capture(
            problem.func,
            (problem.direction * problem.t[0]).detach().to(y0.dtype),
            problem.unflatten(y0.detach()),
            problem.verify,
        )
        if isinstance(captured, Declined):
            return captured
        reason = too_large(captured.program, _flashode.MAX_ROWS, _flashode.MAX_PARAMETER_ELEMENTS)
        if reason is not None:
            return Declined(reason)
        compiled = _compiled(captured.program)
        carried = captured.carried
        if carried and adjoint is None:
            carried = connected_rows(carried, compiled.reach, captured.program.widths[1])
        layout = Layout(problem.structure, captured.batched, carried)
        reason = too_few_trajectories(compiled.cost, layout.batch, y0.element_size())
        if reason is not None:
            return Declined(reason, outrun=True)
        return NativePlan(problem, adjoint, captured, layout)


@dataclass
class Record:
    """What a forward solve keeps for its reverse, beside the checkpoints.

    Attributes:
        log: The compiled module's account of the steps.
        parameters: The tensors whose memory it reads, contiguous. Those without a gradient are copies:
            nothing keeps their owner from changing them before the reverse pass.
        times: Output times, float64.
        grid: The grid of a fixed-step method, float64; the output times otherwise.
    """

    log: Any
    parameters: tuple[Tensor, ...]
    times: Tensor
    grid: Tensor


class NativePlan:
    """One solve in the compiled module."""

    engine = "native"
    reversible = True

    def __init__(self, problem: Problem, adjoint: Adjoint | None, captured: Capture, layout: Layout) -> None:
        self._problem = problem
        self._adjoint = adjoint
        self._capture = captured
        self._layout = layout
        self._inputs = tuple(captured.parameters())  # what the Program reads
        if adjoint is None:
            self._inputs = connected_inputs(self._inputs, _compiled(captured.program).reach)
        self._precision = PRECISIONS[problem.y0.dtype]
        self._method = _method(problem.method, problem.rtol, problem.atol, problem.options)

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """What the Program reads, its own and carried; with an adjoint, the adjoint's parameters."""
        if self._adjoint is not None:
            return self._adjoint.parameters
        return (*self._inputs, *self._layout.carried)

    def forward(self, *, record: bool) -> Forward:
        """Solve without autograd."""
        problem = self._problem
        times = _times(problem.t)
        grid = times
        if not problem.method.adaptive:
            with torch.no_grad():
                grid = _times(fixed_grid(problem))
        parameters = tuple(
            plain(p) if p.requires_grad or not record else p.detach().clone() for p in self._inputs
        )
        layout = self._layout
        y0 = layout.memory(problem.y0)
        states = problem.y0.new_empty((len(times), *problem.y0.shape))
        outcome, log, *kept = getattr(_flashode, f"forward_{self._precision}")(
            self._field(parameters, (False,) * len(parameters)),
            self._method,
            y0.data_ptr(),
            times.data_ptr(),
            len(times),
            grid.data_ptr(),
            len(grid),
            states.data_ptr(),
            record,
        )
        statistics = self._count(outcome)
        if outcome.status != _flashode.Status.done:
            raise self._failure(outcome, statistics, states[: outcome.times_reached], problem.options)
        if not record:
            return Forward(states, statistics)
        checkpoints = tuple(torch.from_numpy(array) for array in kept)
        return Forward(states, statistics, Record(log, parameters, times, grid), checkpoints)

    def discrete_vjp(self, record: object, checkpoints: tuple[Tensor, ...], grad_states: Tensor) -> Gradients:
        """Exact reverse of the discrete solve that made ``record``."""
        assert isinstance(record, Record)
        problem, layout = self._problem, self._layout
        wanted = tuple(p.requires_grad for p in self._inputs)
        grad_parameters = gradient_memory(record.parameters, wanted)
        grad_y0 = layout.empty(problem.y0)
        with_time = problem.t.requires_grad
        grad_times = torch.zeros_like(record.times) if with_time else None
        grad_grid = torch.zeros_like(record.grid) if with_time else None
        cotangents = plain(grad_states)
        states, slopes, constants = checkpoints
        getattr(_flashode, f"discrete_vjp_{self._precision}")(
            self._field(record.parameters, wanted),
            self._method,
            record.log,
            states.data_ptr(),
            slopes.data_ptr(),
            constants.data_ptr(),
            record.times.data_ptr(),
            len(record.times),
            cotangents.data_ptr(),
            grad_y0.data_ptr(),
            _address(grad_times),
            _address(grad_grid),
            [_address(g) for g in grad_parameters],
        )
        grad_t = (
            None if grad_times is None or grad_grid is None else self._time_gradient(grad_times, grad_grid)
        )
        return Gradients(
            layout.state(grad_y0, problem.y0), grad_t, (*grad_parameters, *layout.carried_gradients(grad_y0))
        )

    def continuous_vjp(self, states: Tensor, grad_states: Tensor) -> Gradients:
        """Integrate the adjoint equations backwards through ``states``."""
        problem, adjoint = self._problem, self._adjoint
        assert adjoint is not None
        layout = self._layout
        wanted = reached_from(self._inputs, adjoint.parameters)
        parameters = tuple(plain(p) for p in self._inputs)
        grad_parameters = gradient_memory(parameters, wanted)
        times = _times(problem.t)
        grad_times = torch.zeros_like(times) if problem.t.requires_grad else None
        grad_y0 = layout.empty(problem.y0)
        y0, forward_states, cotangents = layout.memory(states[0]), plain(states), plain(grad_states)
        outcome = getattr(_flashode, f"continuous_vjp_{self._precision}")(
            self._field(parameters, wanted),
            _method(adjoint.method, adjoint.rtol, adjoint.atol, adjoint.options),
            adjoint.norm == "seminorm",
            times.data_ptr(),
            len(times),
            self._adjoint_grids(adjoint),
            y0.data_ptr(),
            forward_states.data_ptr(),
            cotangents.data_ptr(),
            grad_y0.data_ptr(),
            _address(grad_times),
            [_address(g) for g in grad_parameters],
            layout.like_parameters(reached_from(layout.carried, adjoint.parameters)),
            self._transposes(),
        )
        statistics = self._count(outcome)
        if outcome.status != _flashode.Status.done:
            raise self._failure(outcome, statistics, states[:0], adjoint.options)
        grad_t = None if grad_times is None else grad_times.to(problem.t.dtype)
        through = through_prologue(
            (*self._inputs, *layout.carried),
            adjoint.parameters,
            (*grad_parameters, *layout.carried_gradients(grad_y0)),
        )
        return Gradients(layout.state(grad_y0, problem.y0), grad_t, through)

    def differentiable(self, t: Tensor, y0: Tensor, parameters: tuple[Tensor, ...]) -> Tensor:
        """The same solve by the eager engine, with the Program in the function's place."""
        program, structure, batch = self._capture.program, self._problem.structure, self._layout.batch
        inputs, carried = parameters[: len(self._inputs)], parameters[len(self._inputs) :]

        def field(time: Tensor, y: State) -> State:
            rows = structure.to_rows((*components(y), *carried), batch)
            return structure.join(structure.from_rows(program.interpret(time, rows, inputs)))

        return eager.differentiable(replace(self._problem, func=field), t, y0)

    def _field(self, parameters: tuple[Tensor, ...], wanted: tuple[bool, ...]) -> Any:
        program = _compiled(self._capture.program).program
        return _flashode.Field(
            program,
            [p.data_ptr() for p in parameters],
            wanted,
            self._layout.segments,
            self._layout.batch,
            self._problem.direction,
        )

    def _transposes(self) -> list[tuple[int, int, int, int]]:
        """The Program's parameters that are another one's transpose: which, whose, and the other's shape."""
        shapes = self._capture.program.parameter_shapes
        pairs = self._capture.prologue.transposes()
        return [(p, of, shapes[of][0], shapes[of][1]) for p, of in pairs]

    def _count(self, outcome: Any) -> Statistics:
        self._capture.count(outcome.evaluations)
        return Statistics(outcome.evaluations, outcome.accepted, outcome.rejected)

    def _failure(self, outcome: Any, statistics: Statistics, reached: Tensor, options: Options) -> Exception:
        problem = self._problem
        status = _flashode.Status
        if outcome.status == status.underflow:
            return underflow(problem, outcome.t, outcome.dt, statistics, reached)
        if outcome.status == status.too_many_steps:
            assert isinstance(options, AdaptiveOptions)
            return max_steps(problem, outcome.t, statistics, reached, options.max_num_steps)
        culprit = self._layout.culprit(outcome.trajectory, outcome.row)
        origin = "state" if outcome.status == status.nonfinite_state else "field"
        return non_finite(problem, outcome.t, origin, culprit, statistics, reached)

    def _time_gradient(self, grad_times: Tensor, grad_grid: Tensor) -> Tensor:
        """dL/dt from what reaches the output times through dense output and what reaches the grid."""
        t = self._problem.t.detach()
        if self._problem.method.adaptive:
            return (grad_times + grad_grid).to(t.dtype)
        with torch.enable_grad():
            leaf = t.requires_grad_()
            grid = fixed_grid(replace(self._problem, t=leaf))
            (through_grid,) = torch.autograd.grad(grid, leaf, grad_grid.to(t.dtype))
        return grad_times.to(t.dtype) + through_grid

    def _adjoint_grids(self, adjoint: Adjoint) -> list[list[float]]:
        """For each output interval, the grid on which a fixed-step adjoint method steps back over it."""
        if adjoint.method.adaptive:
            return []
        ends = -self._problem.t.detach()
        grids = []
        for i in range(len(ends) - 1):
            interval = replace(self._problem, t=ends[i : i + 2].flip(0), options=adjoint.options)
            grids.append(fixed_grid(interval).tolist())
        return grids


def _times(t: Tensor) -> Tensor:
    return t.detach().to("cpu", torch.float64).contiguous()


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _method(method: Method, rtol: float | Tensor, atol: float | Tensor, options: Options) -> Any:
    assert isinstance(method, Tableau)
    if isinstance(options, AdaptiveOptions):
        return _compiled_method(method, float(rtol), float(atol), options, False)
    assert isinstance(options, FixedOptions)
    return _compiled_method(method, float(rtol), float(atol), AdaptiveOptions(), options.perturb)


# Building a method costs more than a small solve; programs use few of them. Only numbers are kept here,
# nothing that holds on to what a user made.
@lru_cache(maxsize=256)
def _compiled_method(
    tableau: Tableau, rtol: float, atol: float, options: AdaptiveOptions, perturb: bool
) -> Any:
    floats = tableau.floats()
    return _flashode.Method(
        order=tableau.order,
        adaptive=tableau.adaptive,
        fsal=tableau.adaptive and tableau.fsal,
        a=floats.a,
        b=floats.b,
        c=floats.c,
        b_error=floats.b_error,
        b_mid=floats.b_mid,
        rtol=rtol,
        atol=atol,
        first_step=options.first_step or 0.0,
        min_step=options.min_step,
        max_step=options.max_step,
        safety=options.safety,
        ifactor=options.ifactor,
        dfactor=options.dfactor,
        max_num_steps=options.max_num_steps,
        perturb=perturb,
    )


class _Compiled(NamedTuple):
    program: Any  # the compiled module's
    cost: int
    reach: Reach


_programs: dict[int, _Compiled] = {}


def _compiled(program: Program) -> _Compiled:
    """The compiled module's form of a Program, kept as long as the Program lives."""
    key = id(program)
    found = _programs.get(key)
    if found is None:
        compiled = translate(program, _flashode.ProgramBuilder)
        found = _programs[key] = _Compiled(compiled, cost(program), program.reach())
        weakref.finalize(program, _programs.pop, key, None)
    return found
