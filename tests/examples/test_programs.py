"""Programs as people write them for torchdiffeq print the same numbers under `flashode run`.

The tolerance is relative to each number. With the continuous adjoint, and with fixed steps, both libraries do
the same arithmetic but for the order of sums, which leaves some 1e-12 after a few updates. With `odeint`
torchdiffeq also differentiates the size of the first automatic step, noise as large as the solver errs: it
moves parameters by up to 1e-8 of their size, and what a trained model says by up to 2e-7 (with `first_step`
given this goes away). The time of an event is the middle of a bracket, as wide as the tolerance, which lies
where the last step does: where an error estimate is nearly rounding noise, so is the end of the step.
"""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import flashode
from running import run

pytest.importorskip("torchdiffeq", reason="torchdiffeq is not installed")

PROGRAMS = Path(__file__).parent / "programs"
EXACT, LOOSE = 1e-9, 1e-6

CASES = [
    ("spiral.py --adjoint", EXACT),
    ("spiral.py --adjoint --method bosh3", EXACT),
    ("spiral.py --method rk4", EXACT),
    ("spiral.py", LOOSE),
    ("latent.py", LOOSE),
    ("flow.py", EXACT),
    ("images.py", EXACT),
    ("bouncing.py", EXACT),
    ("physics.py", LOOSE),
]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Programs set torch's default precision, and the command patches to the end of its process."""
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)
    flashode.unpatch_torchdiffeq()


def under_torchdiffeq(script: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What the program prints."""
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(script, run_name="__main__")
    return printed.getvalue()


def under_flashode(script: str, arguments: list[str]) -> tuple[str, flashode.Report]:
    """What the program prints, and its solves."""
    with flashode.record() as report:
        result = run(script, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout, report


def assert_same_numbers(actual: str, expected: str, tolerance: float) -> None:
    """Two texts with the same words, and numbers that agree; whole numbers exactly."""
    assert len(actual.splitlines()) == len(expected.splitlines()) > 0
    for ours, theirs in zip(actual.splitlines(), expected.splitlines(), strict=True):
        for one, other in zip(ours.split(), theirs.split(), strict=True):
            if one != other:
                assert "." in other, f"{ours!r} where torchdiffeq gives {theirs!r}"
                assert float(one) == pytest.approx(float(other), rel=tolerance, abs=0), ours


@pytest.mark.parametrize(("command", "tolerance"), CASES, ids=[command for command, _ in CASES])
def test_a_program_prints_the_same_numbers(
    command: str, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, *arguments = command.split()
    script = str(PROGRAMS / name)
    expected = under_torchdiffeq(script, arguments, monkeypatch)
    torch.set_default_dtype(torch.float32)
    actual, report = under_flashode(script, arguments)
    assert_same_numbers(actual, expected, tolerance)
    assert report.solves


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("name", sorted(path.name for path in PROGRAMS.glob("*.py")))
def test_a_program_runs_in_the_compiled_engine(name: str) -> None:
    _, report = under_flashode(str(PROGRAMS / name), [])
    assert {solves.engine for solves in report.solves} == {"native"}, str(report)
