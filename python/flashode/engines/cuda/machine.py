"""What the CUDA engine asks of the machine that runs its kernels: a GPU, or a stand-in for one in tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class Properties:
    """What a plan has to know of a device.

    Attributes:
        architecture: Of its code, such as ``"sm_90"``.
        multiprocessors: How many there are.
        shared_bytes: Shared memory that a block may ask for, at most.
        shared_bytes_together: Shared memory of all blocks that are on a multiprocessor at a time.
        reserved_bytes: What the machine takes of that for itself, a block.
        threads_together: Threads of all blocks that are on a multiprocessor at a time.
        memory_bytes: Of its global memory.
    """

    architecture: str
    multiprocessors: int
    shared_bytes: int
    shared_bytes_together: int
    reserved_bytes: int
    threads_together: int
    memory_bytes: int


@dataclass(frozen=True)
class Resources:
    """What a compiled kernel takes.

    Attributes:
        registers: A thread.
        local_bytes: Memory of each thread beside its registers: a stack, and what did not fit into them.
        shared_bytes: Of a block, beside what a launch asks for.
    """

    registers: int
    local_bytes: int
    shared_bytes: int


class Kernel(Protocol):
    """A compiled kernel, loaded on one device. Whoever launches it keeps it until that is over."""

    @property
    def resources(self) -> Resources:
        """What it takes."""

    def blocks_together(self, threads: int, shared_bytes: int) -> int:
        """How many of its blocks are on a multiprocessor at a time."""

    def launch(
        self, blocks: int, threads: int, shared_bytes: int, arguments: bytes, *, meeting: bool = True
    ) -> bool:
        """Runs it on torch's current stream of its device.

        Args:
            blocks: How many.
            threads: Of each.
            shared_bytes: Of each.
            arguments: Its one argument, a struct by value.
            meeting: Whether blocks wait for each other, for which all are to be on the device at a time.

        Returns:
            False, with nothing done, where the device cannot hold so many of such blocks.

        Raises:
            RuntimeError: The device refuses, for any other reason.
        """


class Machine(Protocol):
    """Compiles kernels and runs them."""

    @property
    def device_type(self) -> str:
        """Of the tensors whose memory its kernels read, such as ``"cuda"``."""

    def properties(self, device: torch.device) -> Properties:
        """Those of a device.

        Raises:
            CompilationError: There is no compiler for it.
        """

    def kernel(self, source: str, name: str, device: torch.device) -> Kernel:
        """A kernel of a source text, compiled and loaded, or remembered from before.

        Args:
            source: C++ over the headers in ``csrc``.
            name: Of the function in it.
            device: Where it is to run.

        Raises:
            CompilationError: There is no compiler, or it refuses the text.
        """

    def is_compiled(self, source: str, name: str, device: torch.device) -> bool:
        """Whether the machine code of such a kernel is there already, in this process or on the disk."""

    def synchronize(self, device: torch.device) -> None:
        """Waits, without the GIL, for all that torch's current stream of the device has been given.

        Raises:
            RuntimeError: A kernel ended in an error.
        """


class CompilationError(RuntimeError):
    """A kernel cannot be compiled."""
