"""The CUDA engine's machine without a GPU: kernels compiled by g++, their threads fibers of the host.

What it runs is the text that NVRTC compiles, over the same headers. Tensors are on the CPU.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import torch

from cuda.host_compiler import HostCompiler
from flashode.engines.cuda.machine import Properties, Resources

# More multiprocessors than one, so that blocks meet; as much memory for each block as on an H200.
PROPERTIES = Properties(
    architecture="host",
    multiprocessors=3,
    shared_bytes=227 * 1024,
    shared_bytes_together=228 * 1024,
    reserved_bytes=1024,
    threads_together=2048,
    memory_bytes=16 * 2**30,
)


_NONE = Resources(registers=0, local_bytes=0, shared_bytes=0)


@dataclass
class HostKernel:
    """A kernel that runs on the host."""

    function: Callable[..., int]
    machine: Host
    resources: Resources = _NONE

    def blocks_together(self, threads: int, shared_bytes: int) -> int:
        """As much as shared memory and threads leave room for."""
        of = self.machine.given
        by_memory = of.shared_bytes_together // (shared_bytes + of.reserved_bytes)
        return min(by_memory, of.threads_together // threads)

    def launch(
        self, blocks: int, threads: int, shared_bytes: int, arguments: bytes, *, meeting: bool = True
    ) -> bool:
        """Runs it at once."""
        machine = self.machine
        if not (blocks >= 1 and shared_bytes <= machine.given.shared_bytes):
            raise RuntimeError(f"{blocks} blocks of {shared_bytes} bytes, which no launch may have")
        if meeting and blocks > machine.given.multiprocessors * self.blocks_together(threads, shared_bytes):
            return False
        message = ctypes.create_string_buffer(200)
        with machine.stream:
            machine.launches += 1
            failed = self.function(
                arguments, len(arguments), blocks, threads, shared_bytes, machine.order, message, len(message)
            )
        if failed:
            raise RuntimeError(message.value.decode())
        return True


class Host:
    """The machine.

    Attributes:
        given: What it says that it is.
        order: Who runs first of those that can: 0 that with the lowest number, 1 the highest, any other
            shuffles them.
        launches: How many there have been.
        stream: Held by the launch at work: those of one stream come one after the other.
    """

    device_type = "cpu"

    def __init__(self, given: Properties = PROPERTIES, compiler: HostCompiler | None = None) -> None:
        self.given = given
        self.order = 0
        self.launches = 0
        self.stream = Lock()
        self._compiler = HostCompiler() if compiler is None else compiler
        self._kernels: dict[tuple[str, str], HostKernel] = {}

    def properties(self, device: torch.device) -> Properties:
        """Those that it was given."""
        return self.given

    def kernel(self, source: str, name: str, device: torch.device) -> HostKernel:
        """Compiles it, if that has not been done before."""
        key = source, name
        if key not in self._kernels:
            function = ctypes.CDLL(str(self._compiler.library(source, name))).run
            function.argtypes = [
                ctypes.c_char_p,
                ctypes.c_size_t,
                ctypes.c_int,
                ctypes.c_int,
                ctypes.c_size_t,
                ctypes.c_uint,
                ctypes.c_char_p,
                ctypes.c_size_t,
            ]
            self._kernels[key] = HostKernel(function, self)
        return self._kernels[key]

    def is_compiled(self, source: str, name: str, device: torch.device) -> bool:
        """Whether this host has loaded it."""
        return (source, name) in self._kernels

    def synchronize(self, device: torch.device) -> None:
        """Nothing to wait for."""
