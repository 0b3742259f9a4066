"""The library of a CUDA driver without a GPU, compiled of ``cuda/fake_driver.cpp``."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

TEXT = Path(__file__).parent / "cuda" / "fake_driver.cpp"
SOURCES = TEXT.parents[2] / "csrc"


def compiler() -> str:
    """The C++ compiler; without one the test is skipped."""
    for name in ("c++", "g++", "clang++"):
        if (path := shutil.which(name)) is not None:
            return path
    pytest.skip("no C++ compiler")


class FakeDriver:
    """The library, and what a test asks of it.

    Args:
        folder: Where it is to be compiled.
        defines: Macros: without cuFuncGetParamInfo it is ``OLD``, without cuLaunchKernelEx ``VERY_OLD``.
    """

    def __init__(self, folder: Path, *defines: str) -> None:
        self.path = str(folder / "libcuda-{}.so".format("-".join(("fake", *defines))))
        macros = [f"-D{name}" for name in defines]
        command = [compiler(), "-std=c++20", "-shared", "-fPIC", "-pthread", f"-I{SOURCES}", *macros]
        subprocess.run([*command, str(TEXT), "-o", self.path, "-ldl"], check=True)
        self._library = ctypes.CDLL(self.path)
        self._library.fake_calls.restype = ctypes.c_char_p
        self.reset()

    def reset(self) -> None:
        """As new."""
        self._library.fake_reset()

    def fail(self, function: str, result: int) -> None:
        """Lets a function give an error, by its number."""
        self._library.fake_fail(function.encode(), result)

    def set(self, what: str, value: int) -> None:
        """Its ``version``, how many ``devices`` it has, or the ``argument_bytes`` of its kernels."""
        self._library[f"fake_{what}"](value)

    def let_streams_wait(self) -> None:
        """Until ``release``, or for twenty seconds, after which waiting is an error."""
        self._library.fake_streams_wait()

    def release(self) -> None:
        """Ends what streams wait for."""
        self._library.fake_release()

    def calls(self, function: str = "") -> list[str]:
        """What was called, with arguments in brackets: all, or of one function."""
        lines = self._library.fake_calls().decode().splitlines()
        return [line for line in lines if line.startswith(f"{function}(" if function else "")]
