"""One solve by a backend, and its reverse passes."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from flashode.declined import Declined
from flashode.engines import eager
from flashode.engines.compiled.backend import Backend
from flashode.engines.compiled.called import called_event, called_norm
from flashode.engines.compiled.field import CapturedField
from flashode.engines.compiled.grids import Grid, adjoint_grids, memory_of, on_grid, time_gradients
from flashode.engines.compiled.layout import context
from flashode.engines.compiled.outcome import Outcome
from flashode.engines.compiled.parameter_gradients import split_context, through_prologue
from flashode.engines.compiled.requests import (
    CalledFunction,
    DiscreteRequest,
    EvaluatedField,
    ForwardRequest,
    Request,
)
from flashode.engines.compiled.reverse import Record, continuous_request, discrete_request
from flashode.engines.convergence import warn_lost, warn_unconverged
from flashode.engines.derivatives import hides_derivative
from flashode.engines.failure import hidden_derivative, max_steps, non_finite, undefined_event, underflow
from flashode.engines.protocol import Forward, Gradients, PlannedKernel, Undecided
from flashode.memory import check_memory, check_saved, kind_of, plain, readable
from flashode.methods.control import MOST_STEPS_TO_EVENT
from flashode.problem import AdaptiveOptions, Continuous, ImplicitOptions, Integrator
from flashode.state import State, components
from flashode.statistics import Statistics

if TYPE_CHECKING:
    from flashode.problem import Gradient, Integration, Problem
    from flashode.problem.adjoint_norm import AugmentedNorm


class Held(NamedTuple):
    """What a forward solve keeps of its field for the adjoint equations, which are to be of the same field.

    Attributes:
        constants: Copies of the inputs without a gradient; None for the others, which autograd watches.
        context: A copy of what belongs to trajectories, or None.
    """

    constants: tuple[Tensor | None, ...]
    context: Tensor | None


# Steps that are tried towards one output time where a Program may give no numbers; solves that take more are
# left to plain PyTorch.
_MOST_TOWARDS_NOTHING = 20_000


class CompiledPlan:
    """One solve by a backend.

    Attributes:
        field: The captured function.
        event: The captured event function, or why the user's is called; None where there is none.
        outcome: What the backend says of the solve, among it the seconds that it took, and those of them that
            the calling thread waited for others, if that is measured; None before.
    """

    reversible = True

    def __init__(
        self,
        backend: Backend,
        problem: Problem,
        gradient: Gradient,
        field: CapturedField,
        event: CapturedField | Declined | None = None,
    ) -> None:
        """Prepares a solve.

        Args:
            backend: What solves it.
            problem: What is solved.
            gradient: How it may be differentiated.
            field: The problem's function, captured.
            event: As the attribute.
        """
        self.statistics: Statistics | None = None
        self.field = field
        self.event = event
        self.outcome: Outcome | None = None
        self._backend = backend
        self._problem = problem
        self._gradient = gradient
        self._layout = field.setup.layout
        self._inputs = field.inputs
        self._own = (*field.inputs, *field.carried)
        connected = not isinstance(gradient, Continuous)
        self._grid = None if problem.method.control == "error" else Grid(problem, connected)

    @property
    def engine(self) -> str:
        """The backend's name."""
        return self._backend.name

    @property
    def event_called(self) -> Declined | None:
        """Why the event function is called from Python."""
        return self.event if isinstance(self.event, Declined) else None

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """What the Program reads, its own and carried, and the grid; with an adjoint, its parameters."""
        if isinstance(self._gradient, Continuous):
            return self._gradient.parameters
        # Of what is not among the inputs the backend has its copies, so that its owner may change it.
        carried = self.field.carried
        beside = carried if self._grid is None else (*carried, *self._grid.inputs)
        return (*self._inputs, *[x.clone() if x.requires_grad else x for x in beside])

    def forward(self, *, record: bool) -> Forward:
        """Solve without autograd."""
        if record and isinstance(self._gradient, Continuous):
            return self._forward_of_adjoint()
        problem, settings = self._problem, self._problem.settings
        times = problem.output_times.memory
        grid = times
        # Until an event equal steps go on from the start: most of a grid to the last time would be in vain.
        if problem.event is None and self._grid is not None and not self._grid.on_outputs:
            grid = memory_of(self._grid.values)
        parameters = tuple(
            [plain(p) if p.requires_grad else p.detach().clone() for p in self._inputs]
            if record
            else [readable(p) for p in self._inputs]
        )
        field = self.field.evaluated(parameters, self.field.context())
        count = 0 if settings.every_step else len(problem.output_times.values)
        states = problem.y0.new_empty((count, *problem.y0.shape))
        solved = self._backend.forward(self._request(field, times, grid, states, record))
        self.outcome = outcome = solved.outcome
        if self._is_undecided(outcome):
            raise Undecided(eager.EagerPlan(problem, self._gradient))
        statistics = self.statistics = self._count(outcome, problem.integration)
        if not outcome.done:
            reached = states[: outcome.times_reached]
            raise self._failure(outcome, statistics, reached, problem.integration)
        own_times, points = None, grid.numel()
        if problem.event is not None:
            ends = array("d", (problem.times[0], outcome.event_t))
            own_times = times = torch.frombuffer(ends, dtype=torch.float64)
            points = solved.steps + 1 if record and self._grid is not None else 1
        elif solved.nodes is not None:
            own_times = times = solved.nodes[0]
            states = solved.nodes[1].view(times.numel(), *problem.y0.shape)
        if not record:
            return Forward(states, statistics, times=own_times)
        checkpoints = solved.checkpoints if field.c is None else (*solved.checkpoints, field.c)
        recorded = Record(solved.log, parameters, times, points, tuple(map(kind_of, checkpoints)))
        return Forward(states, statistics, recorded, checkpoints, own_times)

    def _request(
        self, field: EvaluatedField, times: Tensor, grid: Tensor, states: Tensor, record: bool
    ) -> ForwardRequest:
        problem, integration, event = self._problem, self._problem.integration, self.event
        adaptive = isinstance(integration.options, AdaptiveOptions)
        ends: EvaluatedField | CalledFunction | None = None
        if isinstance(event, CapturedField):
            ends = event.evaluated(tuple(map(plain, event.inputs)), None)
        elif event is not None:
            ends = called_event(problem)
        return ForwardRequest(
            field,
            self._limited(integration.integrator),
            plain(problem.y0),
            times if problem.event is None else problem.output_times.first,
            grid,
            states,
            record,
            integration.rtol_by_element if adaptive else None,
            integration.atol_by_element if adaptive else None,
            called_norm(problem) if adaptive and integration.norm is not None else None,
            ends,
            problem.settings.every_step,
        )

    def _forward_of_adjoint(self) -> Forward:
        """The solve, and its field as it is now: the tensors with a gradient are for autograd to watch."""
        inputs = self._inputs
        constants = tuple([None if p.requires_grad else p.detach().clone() for p in inputs])
        solved = self.forward(record=False)
        solved.record = Held(constants, self.field.context())
        solved.checkpoints = tuple([p for p in inputs if p.requires_grad])
        return solved

    def field_request(self) -> tuple[EvaluatedField, Tensor]:
        """The field and the memory of the initial state, to evaluate the one at the other alone."""
        field = self.field
        return field.evaluated(tuple(map(plain, self._inputs)), field.context()), plain(self._problem.y0)

    def kernels(self, *, reverse: bool) -> tuple[PlannedKernel, ...]:
        """The backend's, for the solve and, with ``reverse``, for its reverse pass."""
        problem, adjoint = self._problem, self._gradient
        field, y0 = self.field_request()
        times, nothing = problem.output_times.memory, y0.new_empty(0)
        record = reverse and not isinstance(adjoint, Continuous)
        requests: list[Request] = [self._request(field, times, times, nothing, record)]
        if record:
            recorded = Record(None, field.parameters, times, 1, ())
            requests.append(self._discrete_request(recorded, (), field.c, nothing))
        elif isinstance(adjoint, Continuous) and reverse:
            requests.append(
                continuous_request(
                    problem, adjoint, self.field, field.parameters, field.c, times, [], nothing, nothing
                )
            )
        return self._backend.kernels(requests)

    @property
    def problem(self) -> Problem:
        """What is solved."""
        return self._problem

    def discrete_vjp(
        self, record: object, checkpoints: tuple[Tensor | None, ...], grad_states: Tensor
    ) -> Gradients:
        """Exact reverse of the discrete solve that made ``record``."""
        assert isinstance(record, Record)
        carried = self.field.carried
        check_memory("a tensor of func's", record.parameters)
        check_memory("the gradient in the solution", (grad_states,))
        for checkpoint, kind in zip(checkpoints, record.kinds, strict=True):
            check_saved(checkpoint, kind)
        # Hooks may hand back the same numbers in another order in memory.
        chunks = tuple([None if part is None else plain(part) for part in checkpoints])
        c, chunks = (chunks[-1], chunks[:-1]) if carried else (None, chunks)
        request = self._discrete_request(record, chunks, c, plain(grad_states))
        self._backend.discrete_vjp(request)
        grad_t: Tensor | None = None
        grad_grid: tuple[Tensor, ...] = ()
        if request.grad_times is not None and request.grad_grid is not None:
            grad_t, grad_grid = time_gradients(
                self._problem, self._grid, request.grad_times, request.grad_grid
            )
        parameters = (*request.grad_parameters, *split_context(carried, request.grad_c), *grad_grid)
        return Gradients(request.grad_y0, grad_t, parameters)

    def _discrete_request(
        self, record: Record, chunks: tuple[Tensor | None, ...], c: Tensor | None, cotangents: Tensor
    ) -> DiscreteRequest:
        with_time = self._problem.t.requires_grad or (self._grid is not None and bool(self._grid.inputs))
        return discrete_request(self._problem, self.field, record, with_time, chunks, c, cotangents)

    def continuous_vjp(
        self,
        record: object,
        checkpoints: tuple[Tensor | None, ...],
        states: Tensor,
        grad_states: Tensor,
        times: Tensor | None = None,
        norm: AugmentedNorm | None = None,
    ) -> Gradients:
        """Integrate the adjoint equations of the field that was solved backwards through ``states``."""
        problem, adjoint = self._problem, self._gradient
        assert isinstance(adjoint, Continuous)
        if norm is not None:
            return eager.EagerPlan(problem, adjoint).continuous_vjp(
                None, (), states, grad_states, times, norm
            )
        assert isinstance(record, Held)
        c = record.context
        check_saved(states, (grad_states.shape, problem.y0.dtype, problem.y0.device))
        watched = iter(checkpoints)
        parameters = []
        for constant, own in zip(record.constants, self._inputs, strict=True):
            parameter = next(watched) if constant is None else constant
            check_saved(parameter, kind_of(own))
            assert parameter is not None
            parameters.append(plain(parameter))
        grids = adjoint_grids(problem, adjoint, problem.t.detach() if times is None else times)
        given = times
        times = problem.output_times.memory if times is None else memory_of(times)
        check_memory("the gradient in the solution", (grad_states,))
        request = continuous_request(
            problem, adjoint, self.field, parameters, c, times, grids, plain(states), plain(grad_states)
        )
        request = request._replace(integrator=self._limited(request.integrator))
        outcome = self._backend.continuous_vjp(request)
        if self._is_undecided(outcome):
            instead = eager.EagerPlan(problem, adjoint)
            return instead.continuous_vjp(None, (), states, grad_states, given)
        statistics = self._count(outcome, adjoint.integration)
        if not outcome.done:
            raise self._failure(outcome, statistics, states[:0], adjoint.integration)
        warn_lost(problem, adjoint, outcome.miss, outcome.miss_t, outcome.size)
        grad_times = request.grad_times
        if grad_times is not None and problem.event is not None:
            grad_times[1:] = 0  # a constant of differentiation
        grad_t = None if grad_times is None else grad_times.to(problem.t)
        gradients = (*request.grad_parameters, *split_context(self.field.carried, request.grad_c))
        through = through_prologue(self._own, adjoint.parameters, gradients)
        return Gradients(request.grad_y0, grad_t, through, statistics)

    def differentiable(
        self, t: Tensor, y0: Tensor, parameters: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor | None]:
        """The same solve by the eager engine, with the Program in the function's place."""
        problem, program, batch = self._problem, self.field.capture.program, self._layout.batch
        structure = problem.structure
        inputs = parameters[: len(self._inputs)]
        carried = parameters[len(self._inputs) : len(self._own)]
        c = context(carried) if carried else None

        def field(time: Tensor, y: State) -> State:
            rows = structure.to_rows(components(y), batch)
            return structure.join(structure.from_rows(program.interpret(time, rows, inputs, c)))

        for grid in parameters[len(self._own) :]:
            problem = on_grid(problem, grid)
        solved = eager.integrate(replace(problem, func=field, t=t, y0=y0))
        return solved.states, solved.times

    @property
    def _is_partial(self) -> bool:
        """Whether there are states of which the Programs do not say what the functions do."""
        event = self.event
        return self.field.capture.partial or (isinstance(event, CapturedField) and event.capture.partial)

    def _limited(self, integrator: Integrator) -> Integrator:
        """How to integrate: ever smaller steps towards such states would take for ever."""
        options = integrator.options
        if not self._is_partial or not isinstance(options, AdaptiveOptions):
            return integrator
        most = min(options.max_num_steps, _MOST_TOWARDS_NOTHING)
        return replace(integrator, options=replace(options, max_num_steps=most))

    def _is_undecided(self, outcome: Outcome) -> bool:
        """Whether the solve may have left where the Programs say what the functions do."""
        if not self._is_partial:
            return False
        ends = ("nonfinite", "too_many_steps")
        failed = not outcome.done and outcome.status.name.startswith(ends)
        return failed or outcome.nan_met or outcome.unconverged > 0

    def _count(self, outcome: Outcome, integration: Integration) -> Statistics:
        if self.field.capture.counters:
            self.field.capture.count(outcome.evaluations)
        if outcome.unconverged:
            problem = replace(self._problem, integration=integration)
            warn_unconverged(problem, outcome.unconverged_t, problem.y0)
        return Statistics(outcome.evaluations, outcome.accepted, outcome.rejected)

    def _failure(
        self, outcome: Outcome, statistics: Statistics, reached: Tensor, integration: Integration
    ) -> Exception:
        problem, status, options = self._problem, outcome.status.name, integration.options
        if status == "underflow":
            return underflow(problem, outcome.t, outcome.dt, statistics, reached)
        if status == "too_many_steps":
            limit = options.max_num_steps if isinstance(options, AdaptiveOptions) else MOST_STEPS_TO_EVENT
            return max_steps(problem, outcome.t, statistics, reached, limit)
        if status == "nonfinite_event":
            return undefined_event(problem, outcome.t, statistics, reached)
        if isinstance(options, ImplicitOptions) and hides_derivative(problem, outcome.t, problem.y0):
            return hidden_derivative(problem, outcome.t, statistics, reached)
        culprit = self._layout.culprit(outcome.trajectory, outcome.row)
        origin = "state" if status == "nonfinite_state" else "field"
        return non_finite(problem, outcome.t, origin, culprit, statistics, reached)
