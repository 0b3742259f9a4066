"""The CUDA engine's machine without a GPU: kernels compiled by g++, their threads fibers of the host.

What it runs is the text that NVRTC compiles, over the same headers. Tensors are on the CPU.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from flashode.engines.cuda.machine import CompilationError, Properties, Resources

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CSRC = ROOT / "csrc"
# What is compiled lies here, by what it was compiled from.
KEPT = ROOT / "build" / "host-kernels"
OPTIONS = (
    "-std=c++20",
    "-O1",
    "-g1",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-gnu-unique",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unknown-pragmas",
    "-DFLASHODE_HOST_MACHINE",
)
# More multiprocessors than one, so that blocks meet; as much memory for each block as on an H200.
PROPERTIES = Properties(
    architecture="host",
    multiprocessors=3,
    shared_bytes=227 * 1024,
    shared_bytes_together=228 * 1024,
    reserved_bytes=1024,
    threads_together=2048,
)


@dataclass
class HostKernel:
    """A kernel that runs on the host."""

    function: Callable[..., int]
    machine: Host
    resources: Resources = Resources(registers=0, local_bytes=0, shared_bytes=0)

    def blocks_together(self, threads: int, shared_bytes: int) -> int:
        """As much as shared memory and threads leave room for."""
        of = self.machine.given
        by_memory = of.shared_bytes_together // (shared_bytes + of.reserved_bytes)
        return min(by_memory, of.threads_together // threads)

    def launch(self, blocks: int, threads: int, shared_bytes: int, arguments: bytes) -> bool:
        """Runs it at once."""
        machine = self.machine
        if blocks > machine.given.multiprocessors * self.blocks_together(threads, shared_bytes):
            return False
        machine.launches += 1
        message = ctypes.create_string_buffer(200)
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
        order: In which fibers run: 0 in that of their numbers, 1 from the last, any other shuffles them.
        launches: How many there have been.
    """

    device_type = "cpu"

    def __init__(self, given: Properties = PROPERTIES, options: tuple[str, ...] = ()) -> None:
        self.given = given
        self.order = 0
        self.launches = 0
        self._options = (*OPTIONS, *options)
        self._kernels: dict[tuple[str, str], HostKernel] = {}

    def properties(self, device: torch.device) -> Properties:
        """Those that it was given."""
        return self.given

    def kernel(self, source: str, name: str, device: torch.device) -> HostKernel:
        """Compiles it, if that has not been done before."""
        key = source, name
        if key not in self._kernels:
            library = compiled(source, name, self._options)
            function = ctypes.CDLL(str(library)).run
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

    def synchronize(self, device: torch.device) -> None:
        """Nothing to wait for."""


def compiled(source: str, name: str, options: tuple[str, ...]) -> Path:
    """The library of a kernel."""
    text = f"{source}\nFLASHODE_RUN_ON_HOST({name})\n"
    key = hashlib.sha256(f"{text}{options}{headers()}".encode()).hexdigest()
    library = KEPT / f"{key[:40]}.so"
    if library.exists():
        return library
    header = precompiled(options)
    with tempfile.TemporaryDirectory(dir=KEPT) as folder:
        file = Path(folder, "kernel.cpp")
        file.write_text(text)
        made = Path(folder, "kernel.so")
        run_compiler([*options, "-shared", f"-I{header.parent}", "-include", "host_all.hpp", str(file)], made)
        made.replace(library)
    return library


def precompiled(options: tuple[str, ...]) -> Path:
    """All headers of kernels, compiled once for all of them."""
    key = hashlib.sha256(f"{options}{headers()}".encode()).hexdigest()
    folder = KEPT / f"headers-{key[:40]}"
    done = folder / "host_all.hpp.gch"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "host_all.hpp"
        file.write_text(f'#include "{HERE / "host_all.hpp"}"\n')
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch, "made.gch")
            run_compiler([*options, "-x", "c++-header", str(file)], made)
            made.replace(done)
    return file if not done.exists() else folder / "host_all.hpp"


def run_compiler(arguments: list[str], made: Path) -> None:
    """Runs g++."""
    command = [os.environ.get("CXX", "g++"), *arguments, f"-I{CSRC}", f"-I{HERE}", "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompilationError(done.stderr)


@cache
def headers() -> str:
    """A digest of everything that kernels include."""
    digest = hashlib.sha256()
    for file in sorted([*CSRC.glob("numerics/*"), *CSRC.glob("solve/*"), *CSRC.glob("cuda/*.hpp")]):
        digest.update(file.read_bytes())
    for name in ("host_machine.hpp", "host_all.hpp"):
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()
