"""NVRTC, NVIDIA's compiler of kernels as a library: where it is, and what it compiles."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from flashode.engines.cuda import headers
from flashode.engines.cuda.machine import CompilationError

# Without annotations of what runs on a device everything does. Nothing here relaxes arithmetic.
OPTIONS = ("--std=c++20", "-default-device")

# Kernels read and write 16 bytes at once, which is PTX of the version that came with it; and the oldest
# architecture that they are compiled for in tests. (Those bytes devices can do from sm_70 on.)
_LEAST_VERSION = (12, 3)
_LEAST_ARCHITECTURE = 80


class Nvrtc:
    """A compiler that is loaded.

    Attributes:
        version: Of it, major and minor.

    Args:
        library: That of it.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        self.version = (major.value, minor.value)
        count = ctypes.c_int()
        self._check(library.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
        numbers = (ctypes.c_int * count.value)()
        self._check(library.nvrtcGetSupportedArchs(numbers))
        self._architectures = list(numbers)

    def __str__(self) -> str:
        return f"NVRTC {self.version[0]}.{self.version[1]}"

    def target(self, architecture: str) -> str:
        """The architecture to compile for, where that of the device is newer than this compiler.

        A device runs what is compiled for an older one of the same generation.

        Args:
            architecture: Of the device, such as ``"sm_90"``.

        Raises:
            CompilationError: It knows none that the device runs.
        """
        wanted = int(architecture.removeprefix("sm_"))
        if wanted < _LEAST_ARCHITECTURE:
            raise CompilationError(
                f"its device has architecture {architecture}, and sm_{_LEAST_ARCHITECTURE} or newer is needed"
            )
        known = [
            number for number in self._architectures if number // 10 == wanted // 10 and number <= wanted
        ]
        if not known:
            age = "an older" if wanted < min(self._architectures) else "a newer"
            raise CompilationError(
                f"{self} compiles nothing that a device of architecture {architecture} runs, only for "
                f"{', '.join(f'sm_{number}' for number in self._architectures)}: install {age} one"
            )
        return f"sm_{max(known)}"

    def compile(self, source: str, name: str, target: str, *more: str) -> tuple[bytes, str]:
        """Compiles a text to machine code, without the GIL.

        Args:
            source: C++ over the headers in ``csrc``.
            name: What messages are to call it.
            target: The architecture, one that ``target`` gives.
            *more: Options beside those that every kernel is compiled with.

        Returns:
            The code, as a cubin, and what the compiler says of the text.

        Raises:
            CompilationError: It refuses the text; the message has what it says.
        """
        options = (
            *OPTIONS,
            f"--gpu-architecture={target}",
            f"--include-path={headers.folder()}",
            f"--include-path={headers.standard_folder()}",
            *more,
        )
        program = ctypes.c_void_p()
        self._check(
            self._library.nvrtcCreateProgram(
                ctypes.byref(program), source.encode(), name.encode(), 0, None, None
            )
        )
        try:
            result = self._library.nvrtcCompileProgram(
                program, len(options), (ctypes.c_char_p * len(options))(*map(str.encode, options))
            )
            log = self._output(program, "ProgramLog").rstrip(b"\0").decode(errors="replace").strip()
            if result:
                raise CompilationError(f"{self} does not compile {name}: {self._text(result)}\n{log}".strip())
            return self._output(program, "CUBIN"), log
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _output(self, program: ctypes.c_void_p, kind: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(self._library[f"nvrtcGet{kind}Size"](program, ctypes.byref(size)))
        memory = ctypes.create_string_buffer(size.value)
        self._check(self._library[f"nvrtcGet{kind}"](program, memory))
        return memory.raw

    def _check(self, result: int) -> None:
        if result:
            raise CompilationError(f"NVRTC fails: {self._text(result)}")

    def _text(self, result: int) -> str:
        text: bytes = self._library.nvrtcGetErrorString(result)
        return text.decode()


@cache
def load(newest: int) -> Nvrtc:
    """The newest NVRTC that there is of a major version or an older one: a driver runs what older ones made.

    Args:
        newest: The major version of CUDA that the driver supports.

    Raises:
        CompilationError: There is none.
    """
    majors = range(newest, _LEAST_VERSION[0] - 1, -1)
    paths = [path for folder in _folders() for path in sorted(folder.glob("libnvrtc.so.*"))]
    candidates = [(path, major) for major in majors for path in paths if _major(path) == major]
    # Last where the system finds it.
    candidates += [(Path(f"libnvrtc.so.{major}"), major) for major in majors]
    for path, major in candidates:
        try:
            nvrtc = _opened(path, major)
        except OSError:  # it is not there, not whole, or for another machine
            continue
        if nvrtc.version >= _LEAST_VERSION:
            return nvrtc
    package = "nvidia-cuda-nvrtc-cu12" if newest == 12 else f"'nvidia-cuda-nvrtc<{newest + 1}'"
    least = ".".join(map(str, _LEAST_VERSION))
    raise CompilationError(
        f"there is no NVRTC (CUDA's compiler) of version {least} or newer that goes with a driver for CUDA "
        f"{newest}: pip install {package}"
    )


def _opened(path: Path, major: int) -> Nvrtc:
    """A library, once its built-in functions are loaded: it looks for them in the system's places alone.

    Raises:
        OSError: It cannot be loaded.
    """
    if path.parent != Path():
        for builtins in path.parent.glob(f"libnvrtc-builtins.so.{major}*"):
            ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
    return Nvrtc(ctypes.CDLL(str(path)))


def _folders() -> Iterator[Path]:
    """Where NVRTC may be: wheels, such as those that torch requires, conda, toolkits."""
    wheels = importlib.util.find_spec("nvidia")
    for root in () if wheels is None else wheels.submodule_search_locations or ():
        yield from sorted(Path(root).glob("*/lib"))
    yield Path(sys.prefix, "lib")
    for toolkit in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        if toolkit:
            yield Path(toolkit, "lib64")


def _major(path: Path) -> int | None:
    """The first number of its version; None where the name has none."""
    number = path.name.partition(".so.")[2].partition(".")[0]
    return int(number) if number.isdecimal() else None
