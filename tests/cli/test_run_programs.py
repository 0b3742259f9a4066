"""`flashode run`: what a program sees, and how it ends."""

from __future__ import annotations

import os
import py_compile
import signal
import subprocess
import sys
import zipapp
from collections.abc import Iterator
from pathlib import Path

import pytest

import flashode
from flashode.engines import watchers
from running import run

SEEN = """
import sys
import torchdiffeq
import flashode
import beside

print(sys.argv, sys.path[0], __name__, beside.NAME, torchdiffeq.odeint is flashode.odeint, sep="|")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a folder of programs in it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "seen.py").write_text(SEEN)
    (programs / "beside.py").write_text("NAME = 'beside the script'\n")
    monkeypatch.chdir(tmp_path)
    yield programs
    for name in [name for name in sys.modules if name.partition(".")[0] in ("beside", "programs")]:
        del sys.modules[name]


def write(folder: Path, text: str) -> Path:
    path = folder / "program.py"
    path.write_text(text)
    return path


def test_a_script_sees_what_python_shows_it(folder: Path) -> None:
    result = run("programs/seen.py", "one", "two")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == "|".join(
        ["['programs/seen.py', 'one', 'two']", str(folder), "__main__", "beside the script", "True"]
    )
    assert result.stderr == ""


def test_a_module_sees_what_python_shows_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "beside.py").write_text("NAME = 'in the working directory'\n")
    result = run("-m", "programs.seen", "--report")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == "|".join(
        [
            f"['{folder / 'seen.py'}', '--report']",
            str(folder.parent),
            "__main__",
            "in the working directory",
            "True",
        ]
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--report", "--engine", "fast"),
        ("-m", "json"),
        ("--", "--lr", "1e-3"),
        ("a", "--", "-b"),
        ("", " "),
    ],
)
def test_what_follows_the_script_is_its_own(folder: Path, arguments: tuple[str, ...]) -> None:
    path = write(folder, "import sys\nprint(sys.argv[1:])\n")
    result = run("--report", path, *arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{list(arguments)}\n"
    assert result.stderr == "flashode: no solves\n"


def test_a_folder_with_a_main_module_runs(folder: Path) -> None:
    (folder / "__main__.py").write_text("import beside, sys\nprint(beside.NAME, sys.argv[1:])\n")
    result = run(folder, "x")
    assert result.exit_code == 0, result.output
    assert result.stdout == "beside the script ['x']\n"


MODULE = """
import os, sys

names = ("__name__", "__file__", "__package__", "__cached__", "__doc__")
main = sys.modules["__main__"]
print(main.__dict__ is globals(), *(globals()[name] for name in names), sys.argv, sys.path[0])
print(__spec__ and __spec__.name, type(__loader__).__name__, type(__builtins__).__name__)
os.chdir("/")
print(os.path.exists(__file__), os.path.dirname(os.path.abspath(__file__)))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("programs/program.py",),
        ("programs/../programs/program.py", "x"),
        ("programs",),
        ("program.pyc",),
        ("-m", "programs.program", "x"),
        ("-m", "programs"),
        ("-m", "program"),
    ],
    ids=" ".join,
)
def test_its_module_is_what_python_makes(folder: Path, arguments: tuple[str, ...]) -> None:
    write(folder, MODULE)
    (folder / "__main__.py").write_text(MODULE)
    py_compile.compile(str(folder / "program.py"), cfile="program.pyc")
    python = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout == python.stdout


def test_an_archive_runs(folder: Path) -> None:
    (folder / "__main__.py").write_text("import beside, sys\nprint(beside.NAME, sys.argv)\n")
    zipapp.create_archive(folder, "program.pyz")
    result = run("program.pyz", "x")
    assert result.exit_code == 0, result.output
    assert result.stdout == "beside the script ['program.pyz', 'x']\n"


OUTLIVING = """
import atexit, pickle, sys, threading
import torch
from torchdiffeq import odeint

class Kept:
    pass

def solve(name, method):
    odeint(lambda t, y: -y, torch.ones(2), torch.linspace(0.0, 1.0, 2), method=method)
    kept = pickle.loads(pickle.dumps(Kept()))
    print(name, sys.argv, kept.__module__, sys.modules["__main__"].solve is solve)

def late():
    threading.main_thread().join()  # to the end of the script
    import beside
    solve(beside.NAME, "rk4")

threading.Thread(target=late).start()
atexit.register(solve, "at exit", "euler")
"""


def test_what_outlives_the_last_line_is_still_of_the_program(folder: Path) -> None:
    write(folder, OUTLIVING)
    package = str(Path(flashode.__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "flashode", "run", "--report", "programs/program.py", "x"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": package},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(
        f"{name} ['programs/program.py', 'x'] __main__ True\n" for name in ("beside the script", "at exit")
    )
    heading, _, *rows = done.stderr.splitlines()
    assert heading.strip() == "flashode: solves"
    assert {(method, calls) for _, _, method, _, calls, *_ in map(str.split, rows)} == {
        ("rk4", "1"),
        ("euler", "1"),
    }


def test_what_outlives_the_program_uses_flashode(folder: Path) -> None:
    text = "import beside, torchdiffeq\nbeside.kept = lambda: torchdiffeq.odeint\n"
    result = run(write(folder, text))
    assert result.exit_code == 0, result.output
    assert sys.modules["beside"].kept() is flashode.odeint


@pytest.mark.parametrize(
    ("ending", "status"),
    [("pass", 0), ("sys.exit()", 0), ("sys.exit(0)", 0), ("sys.exit(3)", 3), ("sys.exit('no data')", 1)],
)
def test_the_status_is_the_program_s(folder: Path, ending: str, status: int) -> None:
    result = run(write(folder, f"import sys\n{ending}\n"))
    assert result.exit_code == status
    assert "Traceback" not in result.output


def test_an_exception_is_shown_as_python_would(folder: Path) -> None:
    text = "def divide():\n    return 1 / 0\n\n\ndivide()\n"
    path = write(folder, text)
    result = run(path)
    assert result.exit_code == 1
    python = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert result.stderr == python.stderr
    assert result.stdout == ""


def test_a_syntax_error_is_shown_as_python_would(folder: Path) -> None:
    path = write(folder, "def divide(:\n    pass\n")
    result = run(path)
    assert result.exit_code == 1
    python = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert result.stderr == python.stderr


@pytest.mark.parametrize("report", [(), ("--report",)])
def test_an_exception_of_the_package_of_a_module_is_shown(folder: Path, report: tuple[str, ...]) -> None:
    (folder / "__init__.py").write_text("import surely_not_installed\n")
    result = run(*report, "-m", "programs.seen")
    assert result.exit_code == 1
    traceback = result.stderr.splitlines()
    assert traceback[:2] == [
        "Traceback (most recent call last):",
        f'  File "{folder / "__init__.py"}", line 1, in <module>',
    ]
    assert "ModuleNotFoundError: No module named 'surely_not_installed'" in traceback
    assert ("flashode: no solves" in traceback) == bool(report)


def test_an_import_that_fails_in_the_program_is_an_exception_of_its_own(folder: Path) -> None:
    result = run(write(folder, "import surely_not_installed\n"))
    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert "import surely_not_installed" in result.stderr
    assert "runpy" not in result.stderr


def test_the_program_s_own_hook_shows_its_exceptions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    text = (
        "import sys\nsys.excepthook = lambda kind, error, tb: print('hook', error)\nraise ValueError('x')\n"
    )
    result = run(write(folder, text))
    assert result.exit_code == 1
    assert result.stdout == "hook x\n"


def test_an_interrupted_program(folder: Path) -> None:
    result = run(write(folder, "raise KeyboardInterrupt\n"))
    assert result.exit_code == 130
    assert result.stderr.endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.py",), "there is no file nothing.py"),
        (("programs",), "there is no module __main__ in programs"),
        (("-m", "nothing_such"), "there is no module nothing_such"),
        (("-m", "nothing_such.at_all"), "there is no module nothing_such.at_all"),
        (("-m", "json.decoder.more"), "there is no module json.decoder.more"),
        (("-m", "programs"), "there is no module programs.__main__"),
        (("-m", "_json"), "_json is no module that can be run"),
        (("-m", ".seen"), ".seen"),
        (("-m", "__main__"), "__main__"),
    ],
)
@pytest.mark.parametrize("report", [(), ("--report",)])
def test_what_cannot_be_run_is_said_in_a_line(
    folder: Path, arguments: tuple[str, ...], message: str, report: tuple[str, ...]
) -> None:
    result = run(*report, *arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert watchers == []


def test_a_program_is_required() -> None:
    result = run()
    assert result.exit_code == 2
    assert "SCRIPT" in result.output


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl-C to send")
def test_as_a_program_stopped_by_ctrl_c(folder: Path) -> None:
    path = write(folder, "import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    package = str(Path(flashode.__file__).resolve().parents[1])
    # A process that ignores Ctrl-C, as one started in the background may, would hand that on.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "flashode", "run", "--report", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": package},
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-2:] == ["KeyboardInterrupt", "flashode: no solves"]
