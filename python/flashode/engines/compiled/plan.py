"""One solve in the compiled module, and its reverse passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from flashode.declined import Declined
from flashode.engines import eager
from flashode.engines.compiled.field import NativeField
from flashode.engines.compiled.grids import Grid, adjoint_grids, memory_of, on_grid, time_gradients
from flashode.engines.compiled.method import compiled_method
from flashode.engines.compiled.parameter_gradients import gradient_memory, reached_from, through_prologue
from flashode.engines.compiled.requests import requests
from flashode.engines.compiled.scope import PRECISIONS
from flashode.engines.convergence import warn_lost, warn_unconverged
from flashode.engines.derivatives import hides_derivative
from flashode.engines.eager.fixed import MOST_STEPS_TO_EVENT
from flashode.engines.failure import hidden_derivative, max_steps, non_finite, undefined_event, underflow
from flashode.engines.protocol import Forward, Gradients
from flashode.memory import Kind, address, check_memory, check_saved, plain, readable
from flashode.methods import Method
from flashode.problem import AdaptiveOptions, ImplicitOptions
from flashode.state import State, components
from flashode.statistics import Statistics

if TYPE_CHECKING:
    from flashode.problem import Adjoint, Options, Problem


@dataclass
class Record:
    """What a forward solve keeps for its reverse, beside the checkpoints.

    Attributes:
        log: The compiled module's account of the steps.
        parameters: The tensors whose memory it reads, contiguous. Those without a gradient are copies:
            nothing keeps their owner from changing them before the reverse pass.
        times: Output times, float64.
        points: How many the grid has; of an adaptive method's steps only the start is one.
        kinds: Of the checkpoints; None for each that is empty.
    """

    log: Any
    parameters: tuple[Tensor, ...]
    times: Tensor
    points: int
    kinds: tuple[Kind | None, ...]


class Held(NamedTuple):
    """What a forward solve keeps of its field for the adjoint equations, which are to be of the same field.

    Attributes:
        constants: Copies of the inputs without a gradient; None for the others, which autograd watches.
        carried: A copy of what trajectories carry along, or None.
    """

    constants: tuple[Tensor | None, ...]
    carried: Tensor | None


class Recipe(NamedTuple):
    """What is the same for every solve of one kind; it holds no tensor.

    Attributes:
        module: The compiled module.
        solve: Its solve for the state's dtype.
        discrete_vjp: The exact reverse of that.
        continuous_vjp: Its solve of the adjoint equations.
        evaluate: Its evaluation of the field alone.
        method: Its form of the method.
        adjoint_method: Its form of the adjoint's method, or None where there is no adjoint.
    """

    module: Any
    solve: Callable[..., Any]
    discrete_vjp: Callable[..., Any]
    continuous_vjp: Callable[..., Any]
    evaluate: Callable[..., Any]
    method: Any
    adjoint_method: Any

    @staticmethod
    def of(module: Any, problem: Problem, adjoint: Adjoint | None) -> Recipe:
        """The recipe of a problem and all of its kind."""
        made, of, precision = module.Method, problem, PRECISIONS[problem.y0.dtype]
        return Recipe(
            module,
            getattr(module, f"forward_{precision}"),
            getattr(module, f"discrete_vjp_{precision}"),
            getattr(module, f"continuous_vjp_{precision}"),
            getattr(module, f"evaluate_{precision}"),
            compiled_method(made, of.method, of.rtol, of.atol, of.options),
            None
            if adjoint is None
            else compiled_method(made, adjoint.method, adjoint.rtol, adjoint.atol, adjoint.options),
        )


class NativePlan:
    """One solve in the compiled module.

    Attributes:
        recipe: What it shares with other solves.
        field: The captured function.
        event: The captured event function, or why the user's is called; None where there is none.
        times: Memory of the problem's times.
        outcome: What the compiled module says of the solve, among it the seconds that it took, and those of
            them that the calling thread waited for others; None before.
    """

    engine = "native"
    reversible = True

    def __init__(
        self,
        recipe: Recipe,
        problem: Problem,
        adjoint: Adjoint | None,
        field: NativeField,
        event: NativeField | Declined | None = None,
        times: Tensor | None = None,
    ) -> None:
        """Prepares a solve.

        Args:
            recipe: What it shares with other solves.
            problem: What is solved.
            adjoint: How to solve its adjoint equations, or None.
            field: The problem's function, captured.
            event: As the attribute.
            times: Memory of the problem's times, if there is some.
        """
        self.statistics: Statistics | None = None
        self.recipe = recipe
        self.field = field
        self.event = event
        self.outcome: Any = None
        self._module = recipe.module
        self._problem = problem
        self._adjoint = adjoint
        self._layout = field.layout
        self._inputs = field.inputs
        self._own = (*field.inputs, *field.layout.carried)
        self.times = memory_of(problem.t) if times is None else times
        self._grid = None if problem.method.adaptive else Grid(problem, connected=adjoint is None)

    @property
    def event_called(self) -> Declined | None:
        """Why the event function is called from Python."""
        return self.event if isinstance(self.event, Declined) else None

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """What the Program reads, its own and carried, and the grid; with an adjoint, its parameters."""
        if self._adjoint is not None:
            return self._adjoint.parameters
        # Of what is not among the inputs the compiled module has its copies, so that its owner may change it.
        beside = self._layout.carried if self._grid is None else (*self._layout.carried, *self._grid.inputs)
        return (*self._inputs, *[x.clone() if x.requires_grad else x for x in beside])

    def forward(self, *, record: bool) -> Forward:
        """Solve without autograd."""
        if record and self._adjoint is not None:
            return self._forward_of_adjoint()
        problem, field, layout = self._problem, self.field, self._layout
        times, count = self.times, len(problem.times)
        grid = times
        # Until an event equal steps go on from the start: most of a grid to the last time would be in vain.
        if problem.event is None and self._grid is not None and not self._grid.is_given:
            grid = memory_of(self._grid.values)
        points = count if grid is times else len(grid)
        parameters = tuple(
            [plain(p) if p.requires_grad else p.detach().clone() for p in self._inputs]
            if record
            else [readable(p) for p in self._inputs]
        )
        y0 = layout.memory(problem.y0)
        states = problem.y0.new_empty((0 if problem.every_step else count, *problem.y0.shape))
        asked, _memory = requests(self._module, problem, self.event)
        outcome, log, *kept = self.recipe.solve(
            field.bound(parameters),
            self.recipe.method,
            address(y0),
            address(times),
            count if problem.event is None else 1,
            address(grid),
            points,
            states.data_ptr(),
            record,
            **asked,
        )
        self.outcome = outcome
        statistics = self.statistics = self._count(outcome, problem.method, problem.options)
        if not outcome.done:
            raise self._failure(outcome, statistics, states[: outcome.times_reached], problem.options)
        found = None
        if problem.event is not None:
            found = times = times.new_tensor([problem.times[0], outcome.event_t])
            points = log.steps + 1 if record and self._grid is not None else 1
        elif problem.every_step:
            *kept, nodes, values = kept
            found = times = torch.from_numpy(nodes)
            states = torch.from_numpy(values).view(len(times), *problem.y0.shape)
        if not record:
            return Forward(states, statistics, times=found)
        checkpoints = tuple([None if part is None else torch.from_numpy(part) for part in kept])
        kinds = tuple([None if part is None else Kind.of(part) for part in checkpoints])
        return Forward(states, statistics, Record(log, parameters, times, points, kinds), checkpoints, found)

    def _forward_of_adjoint(self) -> Forward:
        """The solve, and its field as it is now: the tensors with a gradient are for autograd to watch."""
        inputs = self._inputs
        constants = tuple([None if p.requires_grad else p.detach().clone() for p in inputs])
        tail = self._layout.tail(self._layout.memory(self._problem.y0))
        solved = self.forward(record=False)
        solved.record = Held(constants, tail)
        solved.checkpoints = tuple([p for p in inputs if p.requires_grad])
        return solved

    @property
    def stages(self) -> int:
        """How often a step evaluates the field."""
        return self._problem.tableau.stages

    def evaluate(self, steps: int) -> float:
        """Evaluates the field alone as often as so many steps do.

        Returns:
            The seconds that all of them took, and a start, less those that the calling thread waited.
        """
        problem, field = self._problem, self.field
        parameters = tuple(map(plain, self._inputs))
        y0 = self._layout.memory(problem.y0)
        stages = self.stages
        outcome = self.recipe.evaluate(
            field.bound(parameters),
            address(y0),
            problem.times[0],
            steps,
            stages,
        )
        return float(outcome.seconds - outcome.waited)

    def discrete_vjp(
        self, record: object, checkpoints: tuple[Tensor | None, ...], grad_states: Tensor
    ) -> Gradients:
        """Exact reverse of the discrete solve that made ``record``."""
        assert isinstance(record, Record)
        problem, layout, field = self._problem, self._layout, self.field
        wanted = tuple([p.requires_grad for p in self._inputs])
        grad_parameters = gradient_memory(record.parameters, wanted)
        grad_y0 = layout.empty(problem.y0)
        with_time = problem.t.requires_grad or (self._grid is not None and bool(self._grid.inputs))
        grad_times = torch.zeros_like(record.times) if with_time else None
        grad_points = record.times.new_zeros(record.points) if with_time else None
        check_memory("a tensor of func's", record.parameters)
        check_memory("the gradient in the solution", (grad_states,))
        cotangents = plain(grad_states)
        for checkpoint, kind in zip(checkpoints, record.kinds, strict=True):
            check_saved(checkpoint, kind)
        # Hooks may hand back the same numbers in another order in memory.
        states, slopes, constants = [None if part is None else plain(part) for part in checkpoints]
        self.recipe.discrete_vjp(
            field.bound(record.parameters, wanted),
            self.recipe.method,
            record.log,
            address(states),
            address(slopes),
            address(constants),
            address(record.times),
            len(record.times),
            address(cotangents),
            address(grad_y0),
            address(grad_times),
            address(grad_points),
            [address(g) for g in grad_parameters],
        )
        grad_t: Tensor | None = None
        grad_grid: tuple[Tensor, ...] = ()
        if grad_times is not None and grad_points is not None:
            grad_t, grad_grid = time_gradients(problem, self._grid, grad_times, grad_points)
        parameters = (*grad_parameters, *layout.carried_gradients(grad_y0), *grad_grid)
        return Gradients(layout.state(grad_y0, problem.y0), grad_t, parameters)

    def continuous_vjp(
        self,
        record: object,
        checkpoints: tuple[Tensor | None, ...],
        states: Tensor,
        grad_states: Tensor,
        times: Tensor | None = None,
    ) -> Gradients:
        """Integrate the adjoint equations of the field that was solved backwards through ``states``."""
        assert isinstance(record, Held)
        problem, adjoint = self._problem, self._adjoint
        assert adjoint is not None
        layout, field = self._layout, self.field
        check_saved(states, Kind(grad_states.shape, problem.y0.dtype, problem.y0.device))
        watched = iter(checkpoints)
        wanted = reached_from(self._inputs, adjoint.parameters)
        parameters = []
        for kept, own in zip(record.constants, self._inputs, strict=True):
            parameter = next(watched) if kept is None else kept
            check_saved(parameter, Kind.of(own))
            assert parameter is not None
            parameters.append(plain(parameter))
        grad_parameters = gradient_memory(parameters, wanted)
        given = problem.t.detach() if times is None else times
        times = memory_of(given)
        grad_times = torch.zeros_like(times) if problem.t.requires_grad else None
        grad_y0 = layout.empty(problem.y0)
        check_memory("the gradient in the solution", (grad_states,))
        y0 = layout.memory(states[0], record.carried)
        forward_states, cotangents = plain(states), plain(grad_states)
        outcome = self.recipe.continuous_vjp(
            field.bound(parameters, wanted),
            self.recipe.adjoint_method,
            adjoint.norm == "seminorm",
            address(times),
            len(times),
            adjoint_grids(problem, adjoint, given),
            address(y0),
            address(forward_states),
            address(cotangents),
            address(grad_y0),
            address(grad_times),
            [address(g) for g in grad_parameters],
            layout.like_parameters(reached_from(layout.carried, adjoint.parameters)),
            field.transposes(),
        )
        statistics = self._count(outcome, adjoint.method, adjoint.options)
        if not outcome.done:
            raise self._failure(outcome, statistics, states[:0], adjoint.options)
        warn_lost(problem, adjoint, outcome.miss, outcome.miss_t, outcome.size)
        if grad_times is not None and problem.event is not None:
            grad_times[1:] = 0  # a constant of differentiation
        grad_t = None if grad_times is None else grad_times.to(problem.t.dtype)
        through = through_prologue(
            self._own, adjoint.parameters, (*grad_parameters, *layout.carried_gradients(grad_y0))
        )
        return Gradients(layout.state(grad_y0, problem.y0), grad_t, through, statistics)

    def differentiable(
        self, t: Tensor, y0: Tensor, parameters: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor | None]:
        """The same solve by the eager engine, with the Program in the function's place."""
        problem, program, batch = self._problem, self.field.capture.program, self._layout.batch
        structure = problem.structure
        inputs, carried = parameters[: len(self._inputs)], parameters[len(self._inputs) : len(self._own)]

        def field(time: Tensor, y: State) -> State:
            rows = structure.to_rows((*components(y), *carried), batch)
            return structure.join(structure.from_rows(program.interpret(time, rows, inputs)))

        for grid in parameters[len(self._own) :]:
            problem = on_grid(problem, grid)
        solved = eager.integrate(replace(problem, func=field, t=t, y0=y0))
        return solved.states, solved.times

    def _count(self, outcome: Any, method: Method, options: Options) -> Statistics:
        self.field.capture.count(outcome.evaluations)
        if outcome.unconverged:
            problem = replace(self._problem, method=method, options=options)
            warn_unconverged(problem, outcome.unconverged_t, problem.y0)
        return Statistics(outcome.evaluations, outcome.accepted, outcome.rejected)

    def _failure(self, outcome: Any, statistics: Statistics, reached: Tensor, options: Options) -> Exception:
        problem = self._problem
        status = self._module.Status
        if outcome.status == status.underflow:
            return underflow(problem, outcome.t, outcome.dt, statistics, reached)
        if outcome.status == status.too_many_steps:
            limit = options.max_num_steps if isinstance(options, AdaptiveOptions) else MOST_STEPS_TO_EVENT
            return max_steps(problem, outcome.t, statistics, reached, limit)
        if outcome.status == status.nonfinite_event:
            return undefined_event(problem, outcome.t, statistics, reached)
        if isinstance(options, ImplicitOptions) and hides_derivative(problem, outcome.t, problem.y0):
            return hidden_derivative(problem, outcome.t, statistics, reached)
        culprit = self._layout.culprit(outcome.trajectory, outcome.row)
        origin = "state" if outcome.status == status.nonfinite_state else "field"
        return non_finite(problem, outcome.t, origin, culprit, statistics, reached)
