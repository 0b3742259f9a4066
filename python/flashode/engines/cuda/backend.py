"""The CUDA engine as a backend."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from flashode.declined import Declined
from flashode.engines.compiled.backend import Work
from flashode.engines.compiled.outcome import ForwardResult, Outcome
from flashode.engines.compiled.requests import (
    ContinuousRequest,
    DiscreteRequest,
    ForwardRequest,
    Request,
)
from flashode.engines.compiled.scope import Demand
from flashode.engines.cuda import continuous, discrete, forward
from flashode.engines.cuda.design import Design, design, key_of, state_of
from flashode.engines.cuda.forward import Log
from flashode.engines.cuda.launch import Launcher, Prepared
from flashode.engines.cuda.machine import Machine
from flashode.engines.cuda.planned import CudaKernel
from flashode.engines.cuda.remembered import known, remembered
from flashode.engines.cuda.scope import refusal, too_many_gradients


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
        """It does, unless gradients take too much memory: what the CPU would solve sooner is not there."""
        reason = too_many_gradients(work, self._machine) if demand.gradients else None
        return None if reason is None else Declined(reason)

    def kernels(self, requests: Sequence[Request]) -> tuple[CudaKernel, ...]:
        """One for each request; that of a reverse pass is over the tiles that the solve before it records."""
        planned = []
        recorded: Log | None = None
        for request in requests:
            if isinstance(request, ForwardRequest):
                recorded = Log.planned(self._design(request).mapping.lanes)
            elif isinstance(request, DiscreteRequest):
                request = request._replace(log=recorded)
            planned.append(CudaKernel(self._launcher, request, self._known, self._prepared))
        return tuple(planned)

    def forward(self, request: ForwardRequest) -> ForwardResult:
        """Solve."""
        return forward.solve(self._launcher, self._prepared(request), request)

    def discrete_vjp(self, request: DiscreteRequest) -> None:
        """Reverse a recorded solve."""
        discrete.reverse(self._launcher, self._prepared(request), request)

    def continuous_vjp(self, request: ContinuousRequest) -> Outcome:
        """Integrate the adjoint equations backwards."""
        return continuous.integrate(self._launcher, self._prepared(request), request)

    def _known(self, request: Request) -> Prepared | None:
        """The kernel of such requests, if it is remembered with the Program."""
        prepared: Prepared | None = known(request.field.shape.program_memo, "kernel", self._key(request))
        return prepared

    def _key(self, request: Request) -> Hashable:
        """Of a kernel, which is one of this machine."""
        return self._launcher, key_of(request)

    def _design(self, request: Request) -> Design:
        """What the kernel of such requests is to be."""
        return design(request, self._machine.properties(state_of(request).device))

    def _prepared(self, request: Request) -> Prepared:
        """The kernel of such requests."""

        def prepare() -> Prepared:
            planned = self._design(request)
            kernel = self._machine.kernel(planned.text.source, planned.text.name, state_of(request).device)
            return Prepared(kernel, planned.text, planned.mapping, planned.shared_bytes)

        return remembered(request.field.shape.program_memo, "kernel", self._key(request), prepare)
