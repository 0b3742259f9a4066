"""Solves whose gradients would take most of a device's memory are left to plain torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import flashode
from cuda.host import PROPERTIES, Host
from cuda.solving import cuda_on
from flashode import use_engine
from flashode.engines import registry
from problems import layer

pytestmark = pytest.mark.usefixtures("compiled")

Y0 = torch.ones(1000, 8, dtype=torch.float64)
# Of 552 parameters, in a block of each of three multiprocessors.
LEAST_BYTES = 3 * 552 * 8


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = layer(8, 32), layer(32, 8)
        self.double()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(y)))  # type: ignore[no-any-return]


@pytest.fixture(params=[1, 1000])
def device_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Memory of a device whose engine is the first that is asked, where none is insisted on."""
    monkeypatch.setitem(registry.DEVICES, "cuda", "cpu")
    memory = request.param * LEAST_BYTES
    with cuda_on(Host(replace(PROPERTIES, memory_bytes=memory))), use_engine("auto"):
        yield memory


@pytest.mark.parametrize("adjoint", [None, "dopri8"])
def test_gradients_in_parameters(device_bytes: int, adjoint: str | None) -> None:
    settings = {} if adjoint is None else {"adjoint_method": adjoint}
    explanation = flashode.explain(Net(), Y0, adjoint=adjoint is not None, **settings)
    if device_bytes == LEAST_BYTES:
        assert explanation.engine == "native"
        (reason,) = explanation.reasons["cuda"]
        limit = LEAST_BYTES // 4
        assert reason.what.startswith("gradients in its 552 parameters take ")
        assert reason.what.endswith(f" bytes of the device, more than {limit:,}")
        assert reason.remedy == "solve fewer trajectories at a time"
    else:
        assert explanation.engine == "cuda"


def test_without_gradients_it_is_solved(device_bytes: int) -> None:
    with torch.no_grad():
        assert flashode.explain(Net(), Y0).engine == "cuda"
