"""What a native solve does beside computing: reading parameters, choosing kernels, being interrupted."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from interrupting import interrupted
from problems import Network


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
        "from torch.nn import Linear, Tanh\n"
        "net = torch.nn.Sequential(Linear(3, 20), Tanh(), Linear(20, 3)).double()\n"
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


def test_two_threads_solve_at_once() -> None:
    field = Network()
    y0 = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0, 2, 20, dtype=torch.float64)
    wanted = flashode.odeint(field, y0, t)
    results: list[Any] = [None, None]

    def work(i: int) -> None:
        with flashode.use_engine("native"):
            for _ in range(20):
                results[i] = flashode.odeint(field, y0, t)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(states, wanted) for states in results)


# A hundred million steps.
_LONG = {"step_size": 1e-8}


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_control_c_ends_a_long_solve() -> None:
    end = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert interrupted(lambda: flashode.odeint(Line(), _Y0, end, method="euler", options=_LONG))


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_control_c_ends_a_long_backward_pass() -> None:
    end = torch.tensor([0.0, 1.0], dtype=torch.float64)
    states = flashode.odeint_adjoint(
        Line(), _Y0, end, method="euler", options={"step_size": 0.5}, adjoint_options=_LONG
    )
    assert interrupted(states.sum().backward)
