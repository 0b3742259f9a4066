"""Errors of many parts, each of which counts by itself, and of parameters that do so together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from cuda.host import Host
from cuda.solving import cuda_on
from flashode import use_engine
from flashode.engines import EngineDeclined
from flashode.engines.compiled.requests import ContinuousRequest
from problems import layer

pytestmark = pytest.mark.usefixtures("compiled")

T = torch.tensor([0.0, 1.0], dtype=torch.float64)


def gradients(inputs: list[Tensor], call: Callable[[], Any]) -> list[Tensor]:
    """The solution's, summed with weights, in the inputs."""
    parts = call()
    parts = parts if isinstance(parts, tuple) else (parts,)
    return list(torch.autograd.grad(sum(part.square().sum() for part in parts), inputs))


def check(inputs: list[Tensor], call: Callable[[], Any]) -> None:
    """As in the native engine, at the same cost."""
    results, counts = [], []
    for block in (use_engine("native"), cuda_on(Host())):
        with block, flashode.record() as report:
            results.append(gradients(inputs, call))
        counts.append([(entry.evaluations, entry.backward_evaluations) for entry in report.solves])
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-10)
    assert counts[0] == counts[1]


def test_of_more_tensors_than_sums_are_taken_at_a_time() -> None:
    generator = torch.Generator().manual_seed(0)
    own = [torch.randn(5, 2, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(34)]

    def field(t: Tensor, y: Tensor) -> Tensor:
        return sum((0.1 * k / 34 * torch.tanh(c * y) for k, c in enumerate(own)), -y)

    y0 = torch.randn(5, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    check([y0, *own], lambda: flashode.odeint_adjoint(field, y0, T, adjoint_params=tuple(own)))


def field_of_parts(t: Tensor, y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple([-(k + 1) * 0.2 * part * part for k, part in enumerate(y)])


def test_of_more_components_of_the_adjoint_state_than_that() -> None:
    y0 = tuple([torch.full((3, 1), 1.0 + 0.1 * k, dtype=torch.float64) for k in range(17)])
    inputs = [part.requires_grad_() for part in y0]
    check(inputs, lambda: flashode.odeint_adjoint(field_of_parts, y0, T, adjoint_params=()))


def test_too_many_components_are_declined_with_their_number_and_the_limit() -> None:
    y0 = tuple([torch.ones(3, 1) for _ in range(33)])
    with cuda_on(Host()), pytest.raises(EngineDeclined, match="33 components, more than 32"):
        flashode.odeint(field_of_parts, y0, T)


class Tied(nn.Module):
    """A layer that is used both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = layer(3, 5).double()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.layer(y)) @ self.layer.weight


@pytest.mark.parametrize("norm", [None, "seminorm"])
def test_of_a_weight_that_is_read_both_ways(norm: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which numbers are added up together is looked for once."""
    from flashode.engines.cuda import quadrature

    listed, asked = quadrature._listed, []

    def noted(request: ContinuousRequest, device: torch.device) -> quadrature.Quadrature:
        asked.append(request)
        return listed(request, device)

    monkeypatch.setattr(quadrature, "_listed", noted)
    field = Tied()
    y0 = torch.linspace(-1, 1, 12, dtype=torch.float64).view(4, 3).requires_grad_()
    options = {"adjoint_options": None if norm is None else {"norm": norm}}
    inputs = [y0, *field.parameters()]
    check(inputs, lambda: flashode.odeint_adjoint(field, y0, T, **options))
    with cuda_on(Host()):
        asked.clear()
        first, second = (gradients(inputs, lambda: flashode.odeint_adjoint(field, y0, T)) for _ in range(2))
    assert all(map(torch.equal, first, second))
    (request,) = asked
    assert request.transposes
