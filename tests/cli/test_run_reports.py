"""`flashode run --report` and `--engine`."""

from __future__ import annotations

from pathlib import Path

import pytest

from running import Result, run

SOLVING = """
import sys
import warnings
import torch
from torch import nn
from torchdiffeq import odeint, odeint_adjoint


class Smooth(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.nfe = 0

    def forward(self, t, y):
        self.nfe += 1
        return torch.tanh(self.layer(y))


def branching(t, y):
    return -y if y.sum() > 0 else y


smooth = Smooth()
y0 = torch.ones(20, 2)
times = torch.linspace(0.0, 1.0, 3)
for _ in range(2):
    odeint(smooth, y0, times, method="rk4")
forward = smooth.nfe
odeint_adjoint(smooth, y0, times).sum().backward()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    odeint(branching, y0, times)
print("evaluations", forward, smooth.nfe - forward)
exec(" ".join(sys.argv[1:]))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "solving.py"
    path.write_text(SOLVING)
    return path


def table(result: Result) -> dict[tuple[str, str], list[str]]:
    """The other cells of each line, by field and mode."""
    lines = result.stderr[result.stderr.index("flashode: solves") :].splitlines()
    cells = [line.split() for line in lines[2:] if not line.rstrip().endswith(".")]
    return {(row[0], row[1]): row[2:] for row in cells}


@pytest.mark.usefixtures("compiled")
def test_the_table(script: Path) -> None:
    result = run("--report", script)
    assert result.exit_code == 0, result.output
    word, forward, both = result.stdout.split()
    assert word == "evaluations"
    rows = table(result)
    assert set(rows) == {("Smooth", "odeint"), ("Smooth", "odeint_adjoint"), ("branching", "odeint")}
    assert rows["Smooth", "odeint"][:5] == ["rk4", "native", "2", forward, "–"]
    method, engine, calls, forward_evaluations, backward_evaluations, *seconds = rows[
        "Smooth", "odeint_adjoint"
    ]
    assert (method, engine, calls) == ("dopri5", "native", "1")
    assert int(forward_evaluations) + int(backward_evaluations) == int(both)
    assert all(float(number) >= 0 for number in seconds)
    assert rows["branching", "odeint"][:3] == ["dopri5", "eager", "1"]
    assert rows["branching", "odeint"][-1] == "–"
    assert (
        "branching runs in the eager engine because it turns a tensor into a Python number" in result.stderr
    )


@pytest.mark.parametrize(("ending", "status"), [("sys.exit(4)", 4), ("raise ValueError", 1)])
def test_the_table_comes_at_every_end(script: Path, ending: str, status: int) -> None:
    result = run("--report", script, ending)
    assert result.exit_code == status
    assert len(table(result)) == 3
    assert "flashode" not in result.stdout


def test_without_it_there_is_no_table(script: Path) -> None:
    assert run(script).stderr == ""


def test_the_engine_that_is_asked_for(script: Path) -> None:
    result = run("--report", "--engine", "eager", script)
    assert result.exit_code == 0, result.output
    assert {row[1] for row in table(result).values()} == {"eager"}
    assert "because" not in result.stderr


@pytest.mark.usefixtures("compiled")
def test_an_engine_that_declines(script: Path) -> None:
    result = run("--engine", "native", script)
    assert result.exit_code == 1
    assert "the native engine cannot run this solve" in result.stderr


def test_an_engine_that_is_none(script: Path) -> None:
    result = run("--engine", "fast", script)
    assert result.exit_code == 2
    assert "--engine" in result.output
