"""`flashode explain` from a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import Result

import command_line
import flashode

SOURCE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, hidden=6):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 2))

    def forward(self, t, y):
        return self.net(y)


class Holder:
    net = Net(4).double()


net = Net(3)
number = 3


def make(hidden=5):
    return Net(hidden)


def rotation(t, y):
    x, v = y.unbind(-1)
    return torch.stack([v, -x], -1)


def both(t, state):
    y, z = state
    return -y, z * y.sum(-1, keepdim=True)


def broken(t, y):
    return y @ torch.ones(3, 3)


class Needy(nn.Module):
    def __init__(self, width):
        super().__init__()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a module in it, which the next test does not see."""
    (tmp_path / "the_fields.py").write_text(SOURCE)
    (tmp_path / "lacking.py").write_text("import surely_not_installed\n")
    (tmp_path / "unfinished.py").write_text("def f(t, y:\n")
    (tmp_path / "ending.py").write_text("raise SystemExit('usage')\n")
    (tmp_path / "reading.py").write_text("import sys\nassert len(sys.argv) == 1\ndef f(t, y): return -y\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("the_fields", "explained_the_fields", "lacking", "unfinished", "ending", "reading"):
        sys.modules.pop(name, None)


def invoke(*arguments: str) -> Result:
    return command_line.invoke("explain", *arguments)


@pytest.mark.parametrize(
    ("target", "headline"),
    [
        ("the_fields:Net", "Net runs in the native engine."),
        ("the_fields:net", "Net runs in the native engine."),
        ("the_fields:make", "Net runs in the native engine."),
        ("the_fields:net.forward", "Net.forward runs in the native engine."),
        ("the_fields:Holder.net", "Net runs in the native engine."),
        ("the_fields:rotation", "rotation runs in the native engine."),
        ("the_fields.py:rotation", "rotation runs in the native engine."),
        ("./the_fields.py:Net", "Net runs in the native engine."),
    ],
)
def test_what_can_be_named(target: str, headline: str) -> None:
    result = invoke(target, "--shape", "20,2")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == headline
    assert lines[-1] == "y0 was drawn from a standard normal distribution (seed 0)."


def test_options() -> None:
    result = invoke(
        "the_fields:rotation", "--shape", "3,2", "--dtype", "float64", "--method", "rk4", "--adjoint"
    )
    assert result.exit_code == 0, result.output
    assert "rk4, continuous adjoint" in result.output
    assert "(3, 2) float64" in result.output
    assert "(2,) float32, one trajectory" in invoke("the_fields:rotation", "--shape", "2").output


def test_the_source_of_what_is_compiled() -> None:
    from cuda.host import Host
    from cuda.solving import cuda_on

    with cuda_on(Host()):
        shown = invoke("the_fields:net", "--shape", "3,2", "--source")
    assert shown.exit_code == 0, shown.output
    # As it is, whatever the terminal's width.
    assert "\nSource of forward:\n\n// program(t[1], y[2], " in shown.output
    assert '\n#include "cuda/forward.hpp"\n' in shown.output
    shown = invoke("the_fields:net", "--shape", "3,2", "--source")
    assert "source      none: the native engine compiles nothing for a function" in shown.output


def test_the_device() -> None:
    result = invoke("the_fields:net", "--shape", "3,2", "--device", "meta")
    assert result.output == "error: y0 must hold numbers, got a tensor on the meta device\n"


def test_the_precision_is_the_module_s() -> None:
    assert "(2, 2) float64" in invoke("the_fields:Holder.net", "--shape", "2,2").output
    assert "(2, 2) float32" in invoke("the_fields:net", "--shape", "2,2").output


def test_the_module_sees_no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["flashode", "explain", "reading:f", "--shape", "2"]
    monkeypatch.setattr(sys, "argv", argv)
    result = invoke(*argv[2:])
    assert result.exit_code == 0, result.output
    assert sys.argv is argv


def test_a_tuple_state() -> None:
    result = invoke("the_fields:both", "--shape", "4,2", "--shape", "4,1")
    assert result.exit_code == 0, result.output
    assert "((4, 2), (4, 1)) float32" in result.output


def test_a_field_that_raises() -> None:
    result = invoke("the_fields:broken", "--shape", "4,2")
    assert result.exit_code == 1
    assert "broken does not run: calling it raises RuntimeError." in result.output
    assert "return y @ torch.ones(3, 3)" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("the_fields", "--shape", "2"), "must be written module:object or path/to/file.py:object"),
        (("the-fields:net", "--shape", "2"), "names with dots between them, got 'the-fields:net'"),
        (("the_fields:make()", "--shape", "2"), "names with dots between them, got 'the_fields:make()'"),
        (("the_fields.py:two words", "--shape", "2"), "names with dots between them, got"),
        (("ending:f", "--shape", "2"), "importing ending ends the program (usage)"),
        (("the_fields:net", "--shape", f"{10**12},2"), "is too large"),
        (("the_fields:net", "--shape", f"{10**30},2"), "is too large"),
        (("no_such_module:f", "--shape", "2"), "there is no module 'no_such_module' here or among the"),
        (("no_such_file.py:f", "--shape", "2"), "there is no file no_such_file.py"),
        (("the_fields:nothing", "--shape", "2"), "the_fields has no 'nothing'"),
        (("the_fields.py:nothing", "--shape", "2"), "the_fields.py has no 'nothing'"),
        (("the_fields:number", "--shape", "2"), "number in the_fields cannot be called: its type is int"),
        (("the_fields:Needy", "--shape", "2"), "Needy() raised TypeError"),
        (("lacking:f", "--shape", "2"), "importing lacking raised ModuleNotFoundError"),
        (("unfinished:f", "--shape", "2"), "importing unfinished raised SyntaxError"),
        (("the_fields:net", "--shape", "2,x"), "--shape must be positive whole numbers"),
        (("the_fields:net", "--shape", "2,0"), "--shape must be positive whole numbers"),
        (("the_fields:net", "--shape", "2,2", "--method", "rk5"), "method must be one of"),
        (("the_fields:net", "--shape", "2,2", "--device", "tpu"), "--device tpu cannot be used: "),
        (("the_fields:net", "--shape", "2,2", "--device", "cuda:99"), "--device cuda:99 cannot be used: "),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments: tuple[str, ...], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    (line,) = result.output.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_as_a_program(folder: Path) -> None:
    # The flashode that is being tested, should the folder that holds it be relative to the old directory.
    package = str(Path(flashode.__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "flashode", "explain", "the_fields:Net", "--shape", "20,2"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": package},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Net runs in the native engine.\n")
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
