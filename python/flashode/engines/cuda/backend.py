"""The CUDA engine as a backend."""

from __future__ import annotations

from dataclasses import replace

from flashode.declined import Declined
from flashode.engines.compiled.backend import Work
from flashode.engines.compiled.outcome import ForwardResult, Outcome
from flashode.engines.compiled.requests import (
    ContinuousRequest,
    DiscreteRequest,
    ForwardRequest,
)
from flashode.engines.compiled.scope import Demand
from flashode.engines.cuda import continuous, discrete, forward
from flashode.engines.cuda.choice import forward_mapping, reverse_mapping
from flashode.engines.cuda.launch import Launcher, Prepared
from flashode.engines.cuda.machine import Machine
from flashode.engines.cuda.scope import refusal
from flashode.engines.cuda.source import continuous_text, discrete_text, forward_text
from flashode.methods import Tableau


class CudaBackend:
    """Tiles of trajectories in the shared memory of a GPU.

    Args:
        machine: What compiles and runs kernels.
        budget: Attempts until a launch pauses, for tests; None lets the time that they take decide.
    """

    name = "cuda"
    calls_functions = False

    def __init__(self, machine: Machine, *, budget: int | None = None) -> None:
        self._machine = machine
        self._launcher = Launcher(machine, budget)

    @property
    def device(self) -> str:
        """The type of the devices that it solves on."""
        return self._machine.device_type

    def accepts(self, work: Work) -> Declined | None:
        """What it does not do, and what is too large for it."""
        reason = refusal(work, self._machine)
        return None if reason is None else Declined(reason)

    def pays(self, work: Work, demand: Demand) -> Declined | None:
        """It does: what the CPU would solve sooner would first have to be there."""
        return None

    def forward(self, request: ForwardRequest) -> ForwardResult:
        """Solve."""
        return forward.solve(self._launcher, self._forward_kernel(request), request)

    def discrete_vjp(self, request: DiscreteRequest) -> None:
        """Reverse a recorded solve."""
        discrete.reverse(self._launcher, self._discrete_kernel(request), request)

    def continuous_vjp(self, request: ContinuousRequest) -> Outcome:
        """Integrate the adjoint equations backwards."""
        return continuous.integrate(self._launcher, self._continuous_kernel(request), request)

    def _forward_kernel(self, request: ForwardRequest) -> Prepared:
        field, device, dtype = request.field, request.y0.device, request.y0.dtype
        program, shape, memo = field.program, field.shape, field.shape.memo
        tableau = request.integrator.method
        assert isinstance(tableau, Tableau)
        key = "forward", device, dtype, tableau.control, tableau.stages, request.every_step, request.record
        prepared: Prepared | None = memo.get(key)
        if prepared is None:
            properties = self._machine.properties(device)
            mapping = forward_mapping(program, shape.batch, dtype, tableau.stages, properties, request.record)
            text = forward_text(program, shape.segments, dtype, mapping, tableau.control, request.every_step)
            kernel = self._machine.kernel(text.source, text.name, device)
            prepared = memo[key] = Prepared(kernel, text, mapping)
        return prepared

    def _discrete_kernel(self, request: DiscreteRequest) -> Prepared:
        field, device, dtype = request.field, request.grad_states.device, request.grad_states.dtype
        program, shape, memo = field.program, field.shape, field.shape.memo
        with_time = request.grad_times is not None
        key = "discrete", device, dtype, field.wanted, with_time
        prepared: Prepared | None = memo.get(key)
        if prepared is None:
            properties = self._machine.properties(device)
            mapping = reverse_mapping(program, shape.batch, dtype, properties)
            wanted = [p for p, want in enumerate(field.wanted) if want]
            text = discrete_text(program, shape.segments, dtype, mapping, wanted, with_time)
            kernel = self._machine.kernel(text.source, text.name, device)
            prepared = memo[key] = Prepared(kernel, text, mapping)
        return prepared

    def _continuous_kernel(self, request: ContinuousRequest) -> Prepared:
        field, device, dtype = request.field, request.grad_states.device, request.grad_states.dtype
        program, shape, memo = field.program, field.shape, field.shape.memo
        measured = () if request.seminorm else tuple(request.measured_c)
        control = request.integrator.method.control
        key = "continuous", device, dtype, control, field.wanted, measured
        prepared: Prepared | None = memo.get(key)
        if prepared is None:
            properties = self._machine.properties(device)
            mapping = replace(
                reverse_mapping(program, shape.batch, dtype, properties), accumulators_in_shared=False
            )
            wanted = [p for p, want in enumerate(field.wanted) if want]
            text = continuous_text(program, shape.segments, dtype, mapping, control, wanted, measured)
            kernel = self._machine.kernel(text.source, text.name, device)
            prepared = memo[key] = Prepared(kernel, text, mapping)
        return prepared
