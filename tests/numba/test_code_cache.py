"""Machine code on disk: found by other processes, and made anew where it is not to be trusted."""

from __future__ import annotations

import ctypes
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numba
import pytest
import torch
from numba import types
from numba.core.compiler_lock import global_compiler_lock

import flashode
from flashode.engines.compiled import disk_cache
from flashode.engines.numba import entry
from flashode.engines.numba.code_cache import Compiled, compile_function, installation, kept
from flashode.engines.numba.fields.field_code import _function, field_code
from flashode.program import Gather, Program, Y

TEXT = "def function(x):\n    return 2.0 * x + 1.0\n"
SIGNATURE = types.float64(types.float64)

# A process that calls a function and a field, and says how often Numba has compiled something.
COUNT = """
import ctypes, sys
from numba.core import compiler
compile_extra, times = compiler.compile_extra, []
def counted(*arguments, **keywords):
    times.append(1)
    return compile_extra(*arguments, **keywords)
compiler.compile_extra = counted
"""

PROCESS = f"""{COUNT}
import numba, torch
from numba import types
from flashode.engines.numba.code_cache import compile_function, kept
from flashode.engines.numba.fields import source
from flashode.engines.numba.fields.field_code import _function, field_code
from flashode.program import Gather, Program, Unary, Y

text = sys.argv[1]
compiled = compile_function(_function(text, "function", text), types.float64(types.float64), text)
assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(compiled.address)(3.0) == 7.0
source.MOST_LINES = 3  # in pieces
ops = Gather(3, (Y,), (1, 0)), Unary(4, 3, "affine", (2.0, 1.0))
field = field_code(Program((1, 2, 0, 2, 2), ops, 4), torch.float64)
y = torch.tensor([0.5, -0.25], dtype=torch.float64)
out, work, uniform = torch.empty(3, 99, dtype=torch.float64)
kind = ctypes.CFUNCTYPE(None, ctypes.c_double, *[ctypes.c_void_p] * 6, ctypes.c_ssize_t)
parameters = field.addresses(())
pointers = [tensor.data_ptr() for tensor in (y, y, uniform, work, out)]
pointers.insert(2, parameters.buffer_info()[0])
assert field.field.definition.pieces
kind(field.field.address)(0.0, *pointers, 1)
torch.testing.assert_close(out[:2], 2 * y.flip(0) + 1)

def doubled(x):
    return x + x

dispatcher = kept(numba.njit(doubled))
assert dispatcher(2.0) == 4.0
print(len(times))
"""

# A process that solves, to an event too, and goes back, both ways.
SOLVES = f"""{COUNT}
import flashode, torch

class Field(torch.nn.Linear):
    def forward(self, t, y):
        return torch.cos(t) * torch.tanh(super().forward(y))

field, y0, span = Field(3, 3), torch.ones(4, 3), torch.tensor([0.0, 1.0])
with flashode.use_engine("numba"):
    for face in (flashode.odeint, flashode.odeint_adjoint):
        face(field, y0, span).sum().backward()
    flashode.odeint_event(field, y0, span[0], event_fn=lambda t, y: t - 0.5 + 0 * y.sum())
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


def _processes(count: int, program: str = PROCESS) -> list[int]:
    """How many functions each of some processes, all at once, has compiled."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, TEXT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    ended = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0] * count, [errors for _, errors in ended]
    return [int(output) for output, _ in ended]


def test_other_processes_compile_nothing(cache: Path) -> None:
    # Two that write at once, and one that reads.
    assert max(_processes(2)) > 0
    entries = {path.name: path.read_bytes() for path in cache.iterdir()}
    assert _processes(1) == [0]
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == entries


def test_other_processes_solve_and_compile_nothing() -> None:
    """Gradients too. The folder is that of all tests, in which most of it is."""
    _processes(1, SOLVES)
    assert _processes(1, SOLVES) == [0]


def test_files_that_change_under_a_process_are_not_what_it_compiles(tmp_path: Path) -> None:
    package = tmp_path / "flashode"
    shutil.copytree(Path(flashode.__file__).parent, package, ignore=shutil.ignore_patterns("*.so", "*.pyd"))
    program = """
import sys
from pathlib import Path
from flashode.engines.numba import code_cache
file = Path(code_cache.__file__).parent / "loops" / "control.py"
assert file.is_relative_to(sys.argv[2])
file.write_text(file.read_text() + sys.argv[1])
print(code_cache.installation())
"""
    names = [
        subprocess.run(
            # Without `site`, which may find the package that is tested elsewhere.
            [sys.executable, "-S", "-c", program, addition, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for addition in ("", "# another text", "", "")
    ]
    assert names[0] == names[1] != names[2] == names[3]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("OPT", 1), ("LOOP_VECTORIZE", 2), ("SLP_VECTORIZE", 2), ("BOUNDSCHECK", 1), ("CPU_NAME", "generic")],
)
def test_numbas_settings_are_part_of_the_name(
    setting: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = installation.__wrapped__()
    monkeypatch.setattr(numba.config, setting, value)
    assert installation.__wrapped__() != before


def test_a_function_that_is_not_of_its_text(cache: Path, compilations: list[str]) -> None:
    """It was imported before its text changed, say."""
    changed = TEXT.replace("2.0", "3.0"), TEXT.replace("2.0 * x", "x + x")
    for text in (TEXT, *changed):
        compile_function(_function(text, "function", disk_cache.key_of(text)), SIGNATURE, TEXT)
    assert compilations == ["function"] * 3
    assert len(list(cache.iterdir())) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_process_forked_amid_a_compilation_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Event()
    original = entry.compiled

    def slow(caller: Any, real: str) -> Compiled:
        with global_compiler_lock:
            begun.set()
            time.sleep(0.5)
        return original(caller, real)

    monkeypatch.setattr(entry, "compiled", slow)
    entry.loop.cache_clear()
    thread = Thread(target=entry.loop, args=("forward", torch.float64))
    thread.start()
    assert begun.wait(60)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(120)
            _compile()
            entry.loop("forward", torch.float32)
            _ = field_code(Program((1, 2, 0, 2), (Gather(3, (Y,), (1, 0)),), 3), torch.float64).field.address
            code = 0
        finally:
            os._exit(code)
    thread.join()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


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
