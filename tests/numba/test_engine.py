"""When the Numba engine is asked, what it says of itself, and what it compiles."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import flashode
from flashode.declined import Declined
from flashode.engines import REGISTRY
from flashode.engines import numba as room
from flashode.engines.compiled.outcome import ForwardResult
from flashode.engines.compiled.requests import ForwardRequest
from flashode.engines.numba.backend import NumbaBackend
from flashode.engines.numba.fields import field_code
from flashode.engines.numba.fields.field_code import _functions
from numba_solving import numba_with
from problems import Network, values

T = torch.tensor([0.0, 0.4, 0.7], dtype=torch.float64)


def engine_of_a_solve() -> str:
    with flashode.record() as report:
        flashode.odeint(Network(), values(4, 3), T)
    (solve,) = report.solves
    return solve.engine


def test_it_stands_in_for_the_compiled_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a warning: nothing faster is to be had."""
    absent = Declined("this installation has no compiled module", absent=True)
    monkeypatch.setitem(REGISTRY, "native", lambda: absent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert engine_of_a_solve() == "numba"


@pytest.mark.usefixtures("compiled")
def test_where_the_module_is_it_is_asked_by_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even of what the module declines: importing Numba takes half a second."""

    def load() -> Any:
        raise AssertionError("it was loaded")

    with monkeypatch.context() as patch:
        patch.setitem(REGISTRY, "numba", load)
        assert engine_of_a_solve() == "native"

        def branching(t: Tensor, y: Tensor) -> Tensor:
            return -y if float(y.sum()) > 0 else y

        with pytest.warns(flashode.FallbackWarning):
            flashode.odeint(branching, values(4, 3), T)
    with flashode.use_engine("numba"):
        assert engine_of_a_solve() == "numba"


def test_without_numba_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    declined = room.engine()
    assert isinstance(declined, Declined) and declined.absent
    assert "pip install flashode[numba]" in declined.reason


def test_a_broken_module_of_its_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flashode.engines.numba.backend", None)
    with pytest.raises(ImportError, match=r"flashode\.engines\.numba\.backend"):
        room.engine()


def test_without_assertions_it_solves_as_well() -> None:
    program = """
import torch, flashode
weight = torch.eye(2).requires_grad_()
with flashode.use_engine("numba"):
    y = flashode.odeint(lambda t, y: torch.tanh(y @ weight), torch.ones(3, 2), torch.tensor([0.0, 1.0]))
    y.sum().backward()
print(y.tolist(), weight.grad.tolist())
"""
    outputs = [
        subprocess.run([sys.executable, *flags, "-c", program], capture_output=True, text=True)
        for flags in ([], ["-O"])
    ]
    assert [done.returncode for done in outputs] == [0, 0], outputs[1].stderr
    assert outputs[0].stdout == outputs[1].stdout != ""


@pytest.mark.parametrize(
    ("package", "variables", "said"),
    [
        (
            "raise ImportError('Numba needs NumPy 1.9 or less')",
            {},
            "ImportError: Numba needs NumPy 1.9 or less",
        ),
        ("", {}, "ImportError: cannot import name"),
        (None, {"NUMBA_DISABLE_JIT": "1"}, "the environment variable NUMBA_DISABLE_JIT is set"),
    ],
)
def test_where_numba_does_not_work_solves_go_on(
    package: str | None, variables: dict[str, str], said: str, tmp_path: Path
) -> None:
    """And it is said why they are slow."""
    if package is not None:
        (tmp_path / "numba.py").write_text(package)
    program = """
import torch
from flashode.declined import Declined
from flashode.engines import REGISTRY
import flashode

REGISTRY["native"] = lambda: Declined("this installation has no compiled module", absent=True)
print(flashode.odeint(lambda t, y: -y, torch.ones(2), torch.tensor([0.0, 1.0]))[-1])
"""
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
    )
    assert "0.3679, 0.3679" in done.stdout
    assert "FallbackWarning: <lambda> does not run in the numba engine because" in done.stderr
    assert f"numba does not work in this process: {said}" in done.stderr


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("numba", "numba"),
        ("fast", "FLASHODE_ENGINE must be one of 'auto', 'cuda', 'native', 'numba', 'eager', got 'fast'"),
    ],
)
def test_the_environment_chooses_an_engine(value: str, said: str) -> None:
    program = """
import torch, flashode
weight = torch.eye(2)
print(flashode.explain(lambda t, y: torch.tanh(y @ weight), torch.ones(3, 2)).engine)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "FLASHODE_ENGINE": value},
        capture_output=True,
        text=True,
    )
    assert said in done.stdout + done.stderr


def test_what_is_compiled_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flashode.engines.numba.fields.field_code.SLOW_SECONDS", 0.0)
    func = Network(width=11)
    with numba_with():
        first = flashode.precompile(func, values(4, 3))
        again = flashode.precompile(func, values(4, 3))
        shown = flashode.explain(func, values(4, 3), source=True)
    assert "Numba compiles a function's field" in capsys.readouterr().err
    assert list(first.kernels) == list(again.kernels) == ["forward", "discrete_vjp"]
    assert set(again.kernels.values()) == {None}
    forward, reverse = shown.kernels
    assert "1 tile of 4 trajectories, 1 thread" in forward.facts
    assert "def field(" in forward.source and "def shared(" in forward.source
    assert "def vjp(" in reverse.source
    # Every operation stands beside what is made of it.
    assert shown.program is not None
    for line in map(str.strip, str(shown.program).splitlines()):
        assert line in forward.source


def test_what_no_solve_calls_is_not_compiled() -> None:
    """What trajectories share at a time is t alone here."""
    func, y0 = torch.nn.Linear(3, 3, dtype=torch.float64), values(4, 3)

    def event(t: Tensor, y: Tensor) -> Tensor:
        return t + y.mean() - 0.2

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(func(y))

    with numba_with():
        shown = flashode.explain(field, y0, event_fn=event, source=True)
        assert shown.kernels[0].source.count("def field(") == 2
        assert "def shared(" not in shown.kernels[0].source
        with pytest.MonkeyPatch.context() as patch:
            compiled = []
            original = field_code._compiled
            patch.setattr(
                field_code, "_compiled", lambda f: compiled.append(f.definition.name) or original(f)
            )
            flashode.odeint_event(field, y0, T[0], event_fn=event)
    assert set(compiled) == {"field"}


def test_a_short_solve_after_a_long_one_keeps_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the memory for as many steps as the long one had."""
    results = []
    forward = NumbaBackend.forward

    def noted(self: NumbaBackend, request: ForwardRequest) -> ForwardResult:
        results.append(forward(self, request))
        return results[-1]

    monkeypatch.setattr(NumbaBackend, "forward", noted)
    func, y0 = Network(), values(64, 3)

    def gradients(size: float) -> tuple[Tensor, ...]:
        states = flashode.odeint(func, y0, size * T, rtol=1.0, atol=1.0, options={"max_step": 1e-4})
        return torch.autograd.grad(states.square().sum(), list(func.parameters()))

    with numba_with():
        alone = gradients(0.01)
    with numba_with():
        gradients(1.0)
        after = gradients(0.01)
    first, long, short = results
    assert long.steps > 50 * short.steps
    assert short.steps == first.steps
    for kept in (short, first):
        assert sum(chunk.untyped_storage().nbytes() for chunk in kept.checkpoints) < 2**20
        steps = kept.log.steps
        assert (steps if steps.base is None else steps.base).nbytes < 2**20
    assert all(map(torch.equal, alone, after))


def test_it_declines_with_a_reason() -> None:
    with numba_with(), pytest.raises(ValueError, match="its method is implicit, and the Numba engine"):
        flashode.odeint(Network(), values(4, 3), T, method="gl4")


def test_gradients_of_large_functions_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless somebody insists: a solve without gradients, or of one trajectory, is faster here."""
    absent = Declined("this installation has no compiled module", absent=True)
    monkeypatch.setitem(REGISTRY, "native", lambda: absent)
    func, y0 = Network(width=15_000), values(4, 3)

    def engine(**arguments: Any) -> str | None:
        return flashode.explain(func, **{"y0": y0, **arguments}).engine

    assert engine() == "eager"
    assert engine(y0=y0[:1]) == "numba"
    with torch.no_grad():
        assert engine() == "numba"
    with flashode.use_engine("numba"):
        assert engine() == "numba"


def test_a_stage_without_weight_counts_nowhere_in_batches_of_any_size() -> None:
    """The second one of dopri5 in its result, at a time where the field is infinite."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(y) + torch.where((t - 0.02).abs() < 0.005, 1.0 / (t - t), 0.0)

    with numba_with(), flashode.record() as report:
        one, many = (
            flashode.odeint(
                field,
                torch.ones(batch, 3, dtype=torch.float64),
                T,
                rtol=1e-4,
                atol=1e-4,
                options={"first_step": 0.1},
            )
            for batch in (1, 70)
        )
    assert len({solve.evaluations for solve in report.solves}) == 1
    torch.testing.assert_close(one[:, 0], many[:, 0], rtol=1e-12, atol=0)


def test_a_coefficient_that_changes_compiles_nothing() -> None:
    """Nor is anything remembered for each of its values."""

    class Annealed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.rate = Network(width=13), 0.0

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            slope: Tensor = self.rate * self.network(t, y)
            return slope - torch.nn.functional.softplus(y, beta=1.0 + self.rate)

    func = Annealed()

    def solved(rate: float, engine: str) -> list[Tensor]:
        func.rate = rate
        y0 = values(4, 3).requires_grad_()
        with flashode.use_engine(engine):
            states = flashode.odeint(func, y0, T)
        return [states.detach(), *torch.autograd.grad(states.square().sum(), (y0, *func.parameters()))]

    counts = []
    with numba_with():
        for rate in (1.1, 0.9, 0.8, 0.7):
            own, wanted = solved(rate, "numba"), solved(rate, "eager")
            torch.testing.assert_close(own, wanted, rtol=1e-8, atol=1e-10)
            counts.append(len(_functions))
    assert len(set(counts)) == 1


def test_functions_of_very_many_operations_decline() -> None:
    def chain(t: Tensor, y: Tensor) -> Tensor:
        for _ in range(251):
            y = torch.sin(y) * y
        return y

    y0 = values(4, 3)
    with numba_with(), pytest.raises(ValueError, match="it takes 502 operations on rows, more than 500"):
        flashode.odeint(chain, y0, T)


def test_operations_that_become_no_code_do_not_count() -> None:
    """Rows of the state are read where they are, and so are constants."""
    rows = 300

    def ring(t: Tensor, y: Tensor) -> Tensor:
        each = y.split(1, 1)
        return torch.cat([a * b for a, b in zip(each, each[1:] + each[:1], strict=True)], 1)

    with numba_with():
        answer = flashode.explain(ring, values(4, rows))
    assert answer.engine == "numba"
    assert answer.program is not None and len(answer.program.ops) > 2 * rows


@pytest.mark.usefixtures("compiled")
def test_a_matrix_and_its_transpose_are_one_to_the_adjoint() -> None:
    weight = values(3, 3).requires_grad_()

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(y @ weight) @ weight.T - y

    found = []
    for engine in ("native", "numba"):
        with flashode.use_engine(engine), flashode.record() as report:
            states = flashode.odeint_adjoint(field, values(4, 3), T, adjoint_params=(weight,))
            (gradient,) = torch.autograd.grad(states.square().sum(), weight)
        (solve,) = report.solves
        found.append((gradient, solve.backward_evaluations))
    (native, native_count), (own, count) = found
    assert count == native_count
    torch.testing.assert_close(own, native, rtol=1e-9, atol=0)
