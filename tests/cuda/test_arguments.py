"""A kernel's arguments are no more than a kernel takes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import flashode
from cuda.host import Host, HostKernel
from cuda.solving import cuda_on
from flashode.engines import EngineDeclined
from flashode.program import Program, Unary
from handmade import capture_of

pytestmark = pytest.mark.usefixtures("compiled")

# Of a GPU's kernels: "Formal parameter space overflowed" is what the compiler says of more.
MOST_BYTES = 32_764

T = torch.tensor([0.0, 0.1], dtype=torch.float64)


class Measuring(HostKernel):
    """Notes how many bytes of arguments its launches have."""

    def launch(
        self, blocks: int, threads: int, shared_bytes: int, arguments: bytes, *, meeting: bool = True
    ) -> bool:
        assert isinstance(self.machine, MeasuringHost)
        self.machine.sizes.append(len(arguments))
        return super().launch(blocks, threads, shared_bytes, arguments, meeting=meeting)


class MeasuringHost(Host):
    """A machine of such kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def kernel(self, source: str, name: str, device: torch.device) -> HostKernel:
        return Measuring(super().kernel(source, name, device).function, self)


def solve(host: Host, parameters: int, monkeypatch: pytest.MonkeyPatch, *, adjoint: bool = False) -> None:
    """A solve of a field that reads so many tensors, and its reverse."""
    program = Program((1, 2, 0, 2), (Unary(3, 1, "neg"),), 3, ((1,),) * parameters)
    tensors = [torch.ones(1, dtype=torch.float64) for _ in range(parameters)]
    captured = capture_of(program, tensors)
    monkeypatch.setattr("flashode.engines.compiled.engine.capture", lambda *_, **__: captured)
    y0 = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    with cuda_on(host):
        if adjoint:
            states = flashode.odeint_adjoint(lambda t, y: -y, y0, T, adjoint_params=())
        else:
            states = flashode.odeint(lambda t, y: -y, y0, T)
        states.sum().backward()


@pytest.mark.parametrize("adjoint", [False, True])
def test_as_many_parameters_as_it_takes(adjoint: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    host = MeasuringHost()
    solve(host, 3_000, monkeypatch, adjoint=adjoint)
    assert len(host.sizes) == 2
    assert 8 * 3_000 < max(host.sizes) <= MOST_BYTES


def test_more_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineDeclined, match=r"it reads 3,001 tensors, more than 3,000"):
        solve(Host(), 3_001, monkeypatch)


@pytest.mark.parametrize(("parameters", "declines"), [(1_500, False), (1_501, True)])
def test_two_fields_share_them(parameters: int, declines: bool) -> None:
    """Where one of them ends the solve."""
    from flashode.engines.compiled.backend import Work
    from flashode.engines.cuda.scope import refusal
    from flashode.problem import DISCRETE, make_problem

    def event(t: Tensor, y: Tensor) -> Tensor:
        return t - 0.05

    given = torch.ones(3, 2), T
    problem = make_problem(
        lambda t, y: -y, *given, rtol=1e-3, atol=1e-3, method=None, options=None, event_fn=event
    )
    program = Program((1, 2, 0, 2), (Unary(3, 1, "neg"),), 3, ((1,),) * parameters)
    for of_event in (False, True):
        reason = refusal(Work(program, 1, 3, problem.settings, DISCRETE, of_event), Host())
        assert reason == (f"it reads {parameters:,} tensors, more than 1,500" if declines else None)
