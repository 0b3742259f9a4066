"""Machine code on disk: found by other processes, and made anew where it is not to be trusted."""

from __future__ import annotations

import ctypes
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest
from numba import types

from flashode.engines.compiled import disk_cache
from flashode.engines.numba.code_cache import Compiled, compile_function, kept
from flashode.engines.numba.fields.field_code import _function

TEXT = "def function(x):\n    return 2.0 * x + 1.0\n"
SIGNATURE = types.float64(types.float64)

# A process that calls a function and a field, and says how often Numba has compiled something.
PROCESS = """
import ctypes, sys
from numba.core import compiler
compile_extra, times = compiler.compile_extra, []
def counted(*arguments, **keywords):
    times.append(1)
    return compile_extra(*arguments, **keywords)
compiler.compile_extra = counted

import numba, torch
from numba import types
from flashode.engines.numba.code_cache import compile_function, kept
from flashode.engines.numba.fields.field_code import _function, field_code
from flashode.program import Gather, Program, Unary, Y

text = sys.argv[1]
compiled = compile_function(_function(text, "function", text), types.float64(types.float64), text)
assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(compiled.address)(3.0) == 7.0
ops = Gather(3, (Y,), (1, 0)), Unary(4, 3, "affine", (2.0, 1.0))
field = field_code(Program((1, 2, 0, 2, 2), ops, 4), torch.float64)
y = torch.tensor([0.5, -0.25], dtype=torch.float64)
out, work, uniform = torch.empty(3, 99, dtype=torch.float64)
kind = ctypes.CFUNCTYPE(None, ctypes.c_double, *[ctypes.c_void_p] * 6, ctypes.c_ssize_t)
pointers = [tensor.data_ptr() for tensor in (y, y, y, uniform, work, out)]
kind(field.field.address)(0.0, *pointers, 1)
torch.testing.assert_close(out[:2], 2 * y.flip(0) + 1)

def doubled(x):
    return x + x

dispatcher = kept(numba.njit(doubled))
assert dispatcher(2.0) == 4.0
print(len(times))
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own."""
    monkeypatch.setenv("FLASHODE_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions that Numba compiles from now on."""
    from numba.core import compiler

    original, names = compiler.compile_extra, []

    def counted(typing: Any, target: Any, function: Any, *arguments: Any, **keywords: Any) -> Any:
        names.append(function.__name__)
        return original(typing, target, function, *arguments, **keywords)

    monkeypatch.setattr(compiler, "compile_extra", counted)
    return names


def _compile(text: str = TEXT) -> Compiled:
    """A function of a text; it is checked, for 3."""
    compiled = compile_function(_function(text, "function", disk_cache.key_of(text)), SIGNATURE, text)
    assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(compiled.address)(3.0) == 7.0
    return compiled


def _processes(count: int) -> list[int]:
    """How many functions each of some processes, all at once, has compiled."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, TEXT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    ended = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0] * count, [errors for _, errors in ended]
    return [int(output) for output, _ in ended]


def test_other_processes_compile_nothing(cache: Path) -> None:
    # Two that write at once, and one that reads.
    assert min(_processes(2)) >= 0
    entries = {path.name: path.read_bytes() for path in cache.iterdir()}
    assert _processes(1) == [0]
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == entries


def test_of_other_texts_it_is_other_code(cache: Path, compilations: list[str]) -> None:
    _compile()
    _compile(TEXT.replace("2.0 * x", "x + x"))
    assert compilations == ["function"] * 2
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: b"",
        lambda entry: entry[: len(entry) // 2],
        lambda entry: b"no pickle at all",
        lambda entry: pickle.dumps((1, 2, 3)),
        lambda entry: pickle.dumps(None),
        lambda entry: b"cmissing_module\nname\n.",
    ],
    ids=["empty", "cut", "text", "tuple", "none", "of a module that is gone"],
)
def test_what_is_not_to_be_understood_is_compiled_anew(
    cache: Path, compilations: list[str], change: Callable[[bytes], bytes]
) -> None:
    _compile()
    (path,) = cache.iterdir()
    content = disk_cache.read(path.name)
    assert content is not None
    disk_cache.write(path.name, change(content))
    compilations.clear()
    _compile()
    assert compilations == ["function"]
    # It stands there again.
    assert disk_cache.read(path.name) is not None
    assert len(disk_cache.read(path.name) or b"") > 1000


def test_a_file_that_changed_is_compiled_anew(cache: Path, compilations: list[str]) -> None:
    _compile()
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    compilations.clear()
    _compile()
    assert compilations == ["function"]


def test_a_disk_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file where a folder should be: nobody may write there, not even root.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLASHODE_CACHE", str(tmp_path / "file" / "cache"))
    _compile()
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "missing",
    [
        "flashode.engines.numba.code_cache.importlib",
        "numba.core.compiler.CompileResult._rebuild",
        "numba.core.compiler.CompileResult._reduce",
        "numba.core.serialize.dumps",
        "numba.core.runtime.rtsys",
    ],
)
def test_another_numba(cache: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delattr(missing)
    for _ in range(2):
        _compile()


def test_dispatchers(cache: Path, compilations: list[str]) -> None:
    namespace: dict[str, Any] = {"__name__": __name__}
    exec("def tripled(x):\n    return 3 * x\n", namespace)
    assert kept(numba.njit(namespace["tripled"]))(2.0) == 6.0
    assert compilations == ["tripled"]
    assert len(list(cache.iterdir())) == 1
