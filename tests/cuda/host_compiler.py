"""Compiles kernels for the host, each once: what they were compiled from tells where they are kept."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flashode.engines.cuda.machine import CompilationError

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_HEADERS = "host_all.hpp"
# Nothing that takes long: kernels are run for a few steps of a few trajectories.
_OPTIONS = (
    "-std=c++20",
    "-O0",
    "-fPIC",
    "-fno-exceptions",
    "-fno-rtti",
    "-fvisibility=hidden",
    "-fno-gnu-unique",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unknown-pragmas",
    "-Winvalid-pch",
    '-DFLASHODE_HOST_MACHINE="host_machine.hpp"',
)


@dataclass(frozen=True)
class HostCompiler:
    """The compiler of the host.

    Attributes:
        csrc: The folder of the headers.
        options: Beside those that it always has.
        kept: Where kernels are kept between runs.
    """

    csrc: Path = _ROOT / "csrc"
    options: tuple[str, ...] = ()
    kept: Path = _ROOT / "build" / "host-kernels"

    def library(self, source: str, name: str) -> Path:
        """The shared library of a kernel, whose function is ``run``.

        Args:
            source: Its text.
            name: Its name.

        Raises:
            CompilationError: The compiler refuses the text.
        """
        text = f"{source}\nFLASHODE_RUN_ON_HOST({name})\n"
        library = self.kept / f"{self._digest(text)}.so"
        if not library.exists():
            self._make(
                library, text, "kernel.cpp", "-shared", f"-I{self._precompiled}", f"-include{_HEADERS}"
            )
        return library

    @cached_property
    def _precompiled(self) -> Path:
        """A folder with all headers of kernels, compiled once for all of them."""
        folder = self.kept / f"headers-{self._digest()}"
        compiled = folder / f"{_HEADERS}.gch"
        if not compiled.exists():
            folder.mkdir(parents=True, exist_ok=True)
            text = f'#include "{_HERE / _HEADERS}"\n'
            (folder / _HEADERS).write_text(text)
            self._make(compiled, text, _HEADERS, "-xc++-header")
        return folder

    def _make(self, to: Path, text: str, name: str, *arguments: str) -> None:
        """Compiles a text into a file, which is not there before it is whole."""
        with tempfile.TemporaryDirectory(dir=self.kept) as folder:
            file, made = Path(folder, name), Path(folder, "made")
            file.write_text(text)
            includes = f"-I{self.csrc}", f"-I{_HERE}"
            compiler = os.environ.get("CXX", "g++")
            command = [compiler, *_OPTIONS, *self.options, *arguments, *includes, str(file), "-o", str(made)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise CompilationError(done.stderr)
            made.replace(to)

    def _digest(self, text: str = "") -> str:
        """Of a text and all that it is compiled with."""
        return hashlib.sha256(f"{text}{_OPTIONS}{self.options}{self._headers}".encode()).hexdigest()[:40]

    @cached_property
    def _headers(self) -> str:
        folders = (self.csrc / "numerics", self.csrc / "solve", self.csrc / "cuda", _HERE)
        digest = hashlib.sha256()
        for folder in folders:
            for file in sorted(folder.glob("*.hpp")):
                digest.update(file.read_bytes())
        return digest.hexdigest()
