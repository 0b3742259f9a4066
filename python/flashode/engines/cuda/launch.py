"""Kernels of a Program, and their launches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from flashode import _flashode
from flashode.engines.compiled.method import translate
from flashode.engines.compiled.requests import EvaluatedField, ForwardRequest, Request
from flashode.engines.cuda.machine import Kernel, Machine
from flashode.engines.cuda.mapping import Mapping
from flashode.engines.cuda.source import KernelText
from flashode.memory import address
from flashode.problem import Integrator

# Steps of a tile that a block tries until a solve pauses for the host to see whether it is to go on, when
# nothing is known of how long one takes; and how long it is to be until then, in seconds.
_FIRST_BUDGET = 1_000
_PAUSE_SECONDS = 0.1
_MOST_BUDGET = 1_000_000

# Rounds that each launch has for itself, which are more than so many attempts take, and the last that a count
# of 64 bits may begin a launch with.
_ROUNDS = 1 << 32
_LAST_ROUND = (1 << 64) - 2 * _ROUNDS


@dataclass
class Prepared:
    """A kernel, and how it is launched.

    Attributes:
        kernel: The kernel.
        text: What it was compiled from.
        mapping: How it spreads a batch.
        shared_bytes: Shared memory of a block.
        budget: Steps of a tile that a block tries until it pauses.
    """

    kernel: Kernel
    text: KernelText
    mapping: Mapping
    shared_bytes: int
    budget: int = _FIRST_BUDGET

    def adapt(self, seconds: float, steps: int, used_up: bool) -> None:
        """Lets launches take about as long as is good, after one has taken so many seconds.

        Args:
            seconds: That it took, with what its stream had to do before.
            steps: Of a tile, that a block tried.
            used_up: Whether these were all that it might. One that ended before could have been much longer.
        """
        if seconds > 2 * _PAUSE_SECONDS:
            self.budget = max(1, min(self.budget, int(steps * _PAUSE_SECONDS / seconds)))
        elif used_up and seconds < _PAUSE_SECONDS / 2:
            self.budget = min(2 * self.budget, _MOST_BUDGET)


@dataclass(frozen=True)
class Slots:
    """Where blocks of a launch meet: see csrc/cuda/reduction.hpp.

    Attributes:
        memory: The slots, zero at first, of all launches on one stream.
        round: The launch's first round, which none before it has had.
    """

    memory: Tensor
    round: int = 1


class Launcher:
    """Launches kernels of a machine.

    Args:
        machine: The machine.
        budget: Attempts until a launch pauses; None lets the time that they take decide.
    """

    def __init__(self, machine: Machine, budget: int | None = None) -> None:
        self.machine = machine
        self.fixed_budget = budget
        self._next_slots: dict[tuple[torch.device, int], Slots] = {}
        self._lock = Lock()

    def method(self, field: EvaluatedField, integrator: Integrator) -> Any:
        """The method as an object of the compiled module, remembered with the settings."""
        memo = field.shape.memo
        key = "method", integrator
        if key not in memo:
            memo[key] = translate(integrator, _flashode.Method)
        return memo[key]

    def budget(self, prepared: Prepared, tiles: int = 1) -> int:
        """Attempts until a launch is to pause, each of a step of so many tiles that a block has."""
        return max(1, prepared.budget // tiles) if self.fixed_budget is None else self.fixed_budget

    def blocks(self, prepared: Prepared, most: int, shared_bytes: int, device: torch.device) -> int:
        """So many blocks, or as many as the device holds at a time.

        Raises:
            RuntimeError: It does not hold one.
        """
        threads = prepared.mapping.threads
        resident = prepared.kernel.blocks_together(threads, shared_bytes)
        if resident == 0:
            raise RuntimeError(_holds_none(device, threads, shared_bytes))
        return min(most, self.machine.properties(device).multiprocessors * resident)

    def slots(self, blocks: int, device: torch.device) -> Slots:
        """Those of one launch on torch's current stream of a device, on which several threads may launch."""
        stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
        needed = 2 * _flashode.cuda.MAX_SUMS * blocks * _flashode.cuda.SLOT_BYTES
        with self._lock:
            slots = self._next_slots.get((device, stream))
            if slots is None or slots.memory.numel() < needed or slots.round > _LAST_ROUND:
                slots = Slots(torch.zeros(needed, dtype=torch.uint8, device=device))
            self._next_slots[device, stream] = replace(slots, round=slots.round + _ROUNDS)
        return slots

    def run(
        self,
        prepared: Prepared,
        most: int,
        shared_bytes: int,
        device: torch.device,
        arguments: Callable[[int, Slots], bytes],
    ) -> None:
        """Launches, and waits.

        Args:
            prepared: The kernel.
            most: That many blocks, or as many as the device holds.
            shared_bytes: Of a block.
            device: Where.
            arguments: Makes them, given how many blocks there are and where these meet.

        Raises:
            RuntimeError: The device refuses.
        """
        blocks = self.blocks(prepared, most, shared_bytes, device)
        threads, meeting = prepared.mapping.threads, prepared.text.meeting
        try:
            while True:
                slots = self.slots(blocks, device)
                asked = blocks, threads, shared_bytes, arguments(blocks, slots)
                if prepared.kernel.launch(*asked, meeting=meeting):
                    break
                if blocks == 1:
                    raise RuntimeError(_holds_none(device, threads, shared_bytes))
                blocks //= 2
        except BaseException:
            # What the handler of a signal raises may come just after the launch: the memory of the host that
            # the kernel writes to is to stay until it has ended.
            with contextlib.suppress(RuntimeError):
                self.machine.synchronize(device)
            raise
        self.machine.synchronize(device)

    def pinned(self, size: int, device: torch.device) -> Tensor:
        """Memory of the host that kernels write to."""
        return torch.empty(size, dtype=torch.uint8, device="cpu", pin_memory=device.type == "cuda")


def most_blocks(request: Request, tiles: int) -> int:
    """How many blocks may share the tiles: one to an event, which all its threads look for in all of them."""
    to_event = isinstance(request, ForwardRequest) and request.event is not None
    return 1 if to_event else tiles


def _holds_none(device: torch.device, threads: int, shared_bytes: int) -> str:
    return (
        f"{device} does not hold one block of {threads} threads and {shared_bytes:,} bytes of shared memory: "
        "solve on another device, or within use_engine('eager')"
    )


def stand_of(memory: Tensor) -> Any:
    """Where a launch has stopped."""
    return _flashode.cuda.Stand.at(address=address(memory))
