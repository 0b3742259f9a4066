"""What a native solve does beside computing: counting, reading parameters, failing, being interrupted."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
from problems import Network
from torch import Tensor, nn

import flashode


class Line(nn.Module):
    """y' = w y + b, diagonal, counting its evaluations."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([-0.5, 0.3], dtype=torch.float64))
        self.nfe = 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return self.w * y


_Y0 = torch.tensor([[1.0, 2.0], [0.5, -1.0], [3.0, 0.1]], dtype=torch.float64)
_T = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)


def _exact(field: Line) -> Tensor:
    return _Y0 * torch.exp(_T[:, None, None] * field.w.detach())


def test_against_the_exact_solution() -> None:
    field = Line()
    torch.testing.assert_close(flashode.odeint(field, _Y0, _T), _exact(field), rtol=1e-6, atol=1e-8)


def test_parameters_are_read_afresh() -> None:
    field = Line()
    flashode.odeint(field, _Y0, _T)
    with torch.no_grad():
        field.w += 0.2
    torch.testing.assert_close(flashode.odeint(field, _Y0, _T), _exact(field), rtol=1e-6, atol=1e-8)
    field.w = nn.Parameter(torch.tensor([0.1, -0.9], dtype=torch.float64))
    torch.testing.assert_close(flashode.odeint(field, _Y0, _T), _exact(field), rtol=1e-6, atol=1e-8)


def test_strided_inputs_are_read_as_they_look() -> None:
    field = Line()
    with torch.no_grad():
        field.w.data = torch.tensor([[-0.5, 9.0], [0.3, 9.0]], dtype=torch.float64)[:, 0]
    y0 = _Y0.t().contiguous().t()
    assert not y0.is_contiguous()
    torch.testing.assert_close(flashode.odeint(field, y0, _T), _exact(field), rtol=1e-6, atol=1e-8)


def test_each_instruction_set_of_this_machine_gives_the_same_answer() -> None:
    program = (
        "import torch, flashode\n"
        "torch.manual_seed(0)\n"
        "net = torch.nn.Sequential(torch.nn.Linear(3, 20), torch.nn.Tanh(), torch.nn.Linear(20, 3)).double()\n"
        "class Field(torch.nn.Module):\n"
        "    def forward(self, t, y): return torch.sin(t) + net(y)\n"
        "y0 = torch.randn(21, 3, dtype=torch.float64, requires_grad=True)\n"
        "with flashode.use_engine('native'):\n"
        "    y = flashode.odeint(Field(), y0, torch.linspace(0, 1, 5, dtype=torch.float64))\n"
        "y.square().sum().backward()\n"
        "print(flashode.build_info()['instruction_set'], y.detach().sum().item(), y0.grad.sum().item(),\n"
        "      sum(p.grad.sum() for p in net.parameters()).item())\n"
    )
    available = flashode.build_info()["instruction_sets"]
    answers = {}
    for name in available:
        run = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "FLASHODE_ISA": name},
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0:
            assert "this machine lacks it" in run.stderr, run.stderr
            continue
        used, *numbers = run.stdout.split()
        assert used == name
        answers[name] = [float(x) for x in numbers]
    assert answers
    first = next(iter(answers.values()))
    for numbers in answers.values():
        assert numbers == pytest.approx(first, rel=1e-9)


def test_an_unknown_instruction_set_is_refused_by_name() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import flashode; flashode.build_info()"],
        env={**os.environ, "FLASHODE_ISA": "pentium"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "FLASHODE_ISA=pentium is unknown; accepted are" in run.stderr


class Explosion(nn.Module):
    """y' = y**2: trajectory i reaches infinity at t = 1 / y0."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return y * y


class Root(nn.Module):
    """Is NaN where y < 0, which y' = -1 reaches at t = y0."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.sqrt(y) * 0 - 1


def test_a_field_that_is_nan_is_named_with_its_time_and_trajectory() -> None:
    y0 = torch.tensor([[2.0], [0.7], [3.0]], dtype=torch.float64)
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    with pytest.raises(flashode.NonFiniteError, match="func returned a value that is not finite") as caught:
        flashode.odeint(Root(), y0, t)
    error = caught.value
    assert error.origin == "field"
    assert error.trajectory == (1,)
    assert error.t == pytest.approx(0.7, abs=1e-6)
    assert error.times is not None and error.partial is not None
    assert torch.equal(error.times, t[: len(error.times)])
    assert len(error.times) == 7
    torch.testing.assert_close(error.partial, y0 - error.times[:, None, None], rtol=1e-6, atol=1e-6)
    assert error.statistics is not None and error.statistics.rejected > 0


def test_a_state_that_is_nan_is_named() -> None:
    y0 = torch.tensor([[1.0], [math.nan]], dtype=torch.float64)
    with pytest.raises(flashode.NonFiniteError, match="the state is not finite") as caught:
        flashode.odeint(Root(), y0, _T)
    assert caught.value.origin == "state"
    assert caught.value.trajectory == (1,)


@pytest.mark.parametrize("method", ["rk4", "euler"])
def test_fixed_steps_do_not_return_nan(method: str) -> None:
    y0 = torch.tensor([[2.0], [0.7]], dtype=torch.float64)
    with pytest.raises(flashode.NonFiniteError) as caught:
        flashode.odeint(Root(), y0, torch.linspace(0, 1, 11, dtype=torch.float64), method=method)
    assert caught.value.trajectory == (1,)


def test_a_blow_up_ends_in_an_error_that_says_where() -> None:
    y0 = torch.tensor([[0.5], [1.2]], dtype=torch.float64)
    with pytest.raises(flashode.SolverError) as caught:
        flashode.odeint(Explosion(), y0, torch.linspace(0, 1, 11, dtype=torch.float64))
    assert caught.value.t == pytest.approx(1 / 1.2, abs=1e-3)
    assert caught.value.times is not None
    assert torch.equal(caught.value.times, torch.linspace(0, 1, 11, dtype=torch.float64)[:9])


def test_too_many_steps() -> None:
    with pytest.raises(flashode.MaxStepsExceeded, match="max_num_steps exceeded: 3 steps") as caught:
        flashode.odeint(Line(), _Y0, _T, options={"max_num_steps": 3}, rtol=1e-12, atol=1e-12)
    assert isinstance(caught.value, AssertionError)


def test_after_an_error_the_field_solves_again() -> None:
    field = Line()
    with pytest.raises(flashode.MaxStepsExceeded):
        flashode.odeint(field, _Y0, _T, options={"max_num_steps": 1}, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(flashode.odeint(field, _Y0, _T), _exact(field), rtol=1e-6, atol=1e-8)


def test_two_threads_solve_at_once() -> None:
    field = Network()
    y0 = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0, 2, 20, dtype=torch.float64)
    wanted = flashode.odeint(field, y0, t)
    found: list[Any] = [None, None]

    def work(i: int) -> None:
        with flashode.use_engine("native"):
            for _ in range(20):
                found[i] = flashode.odeint(field, y0, t)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(states, wanted) for states in found)


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
@pytest.mark.parametrize("adjoint", [False, True], ids=["forward", "backward"])
def test_control_c_ends_a_long_solve(adjoint: bool) -> None:
    y0 = torch.ones(64, 2, dtype=torch.float64, requires_grad=True)
    end = torch.tensor([0.0, 1.0], dtype=torch.float64)
    long = {"step_size": 1e-8}  # a hundred million steps
    short = {"step_size": 0.5}
    states = (
        flashode.odeint_adjoint(
            Line(), y0, end, method="euler", options=short if adjoint else long, adjoint_options=long
        )
        if adjoint
        else None
    )
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        if states is None:
            flashode.odeint(Line(), y0.detach(), end, method="rk4", options={"step_size": 1e-7})
        else:
            states.sum().backward()
    timer.join()
