"""A kernel that a solve will launch, for those who want to know of it or have it compiled before."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property

from flashode.engines.compiled.requests import ForwardRequest, Request
from flashode.engines.cuda.design import Design, design, state_of
from flashode.engines.cuda.launch import Launcher, Prepared, most_blocks


class CudaKernel:
    """The kernel of one request.

    Args:
        launcher: Of the machine that it is for.
        request: What it does.
        known: Gives it, if this process has compiled it for such requests.
        prepare: Gives it, compiled for them.
    """

    def __init__(
        self,
        launcher: Launcher,
        request: Request,
        known: Callable[[Request], Prepared | None],
        prepare: Callable[[Request], Prepared],
    ) -> None:
        self._launcher = launcher
        self._request = request
        self._known = known
        self._prepare = prepare
        self._device = state_of(request).device

    @property
    def name(self) -> str:
        """That of its function."""
        return self._design.text.name

    @property
    def source(self) -> str:
        """C++ over the headers in csrc."""
        return self._design.text.source

    @property
    def facts(self) -> tuple[str, ...]:
        """How the batch is spread, what is where, and what it takes."""
        mapping, field = self._design.mapping, self._request.field
        tiles = -(-field.shape.batch // mapping.lanes)
        return (
            f"{_count(tiles, 'tile')} of {_count(mapping.lanes, 'trajectory', 'trajectories')}, "
            f"{mapping.threads} threads a block",
            *self._memory(),
            self._compiled(tiles),
        )

    def compile(self) -> float | None:
        """Compiles and loads it."""
        text, machine = self._design.text, self._launcher.machine
        there = machine.is_compiled(text.source, text.name, self._device)
        began = time.perf_counter()
        self._prepare(self._request)
        return None if there else time.perf_counter() - began

    @cached_property
    def _design(self) -> Design:
        return design(self._request, self._launcher.machine.properties(self._device))

    def _memory(self) -> tuple[str, ...]:
        """What is in shared memory, and what outside of it."""
        mapping, program = self._design.mapping, self._request.field.program
        places = {"values": True}
        if program.parameter_shapes:
            places["parameters"] = mapping.shared_parameters > 0
        if isinstance(self._request, ForwardRequest):
            places["stages"] = mapping.stages_in_shared
        else:
            places["stages"] = False
            if self._design.text.accumulated:
                places["gradients in parameters"] = mapping.accumulators_in_shared
        inside, outside = (
            ", ".join(what for what, shared in places.items() if shared is wanted) for wanted in (True, False)
        )
        facts = (f"{self._design.shared_bytes:,} bytes of shared memory a block: {inside}",)
        return (*facts, f"in global memory: {outside}") if outside else facts

    def _compiled(self, tiles: int) -> str:
        prepared = self._known(self._request)
        if prepared is None:
            return "not compiled yet"
        resources = prepared.kernel.resources
        most = most_blocks(self._request, tiles)
        blocks = self._launcher.blocks(prepared, most, prepared.shared_bytes, self._device)
        local = f" and {resources.local_bytes} bytes of local memory" if resources.local_bytes else ""
        return f"{resources.registers} registers{local} a thread, {_count(blocks, 'block')} at a time"


def _count(n: int, noun: str, many: str = "") -> str:
    return f"{n:,} {noun if n == 1 else many or noun + 's'}"
