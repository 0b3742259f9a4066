"""What a block takes of shared memory is no more than there is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

import flashode
from cuda.host import PROPERTIES, Host, HostKernel
from cuda.solving import cuda_on
from flashode import use_engine
from problems import layer

pytestmark = pytest.mark.usefixtures("compiled")

START = torch.tensor(0.0, dtype=torch.float64)


def network(width_in: int, hidden: int, width_out: int) -> nn.Module:
    return nn.Sequential(layer(width_in, hidden), nn.Tanh(), layer(hidden, width_out)).double()


@pytest.mark.parametrize(("field_width", "event_width"), [(1200, 1000), (1200, 10), (10, 1000)])
def test_a_field_and_an_event_share_it(field_width: int, event_width: int) -> None:
    """Each of them may have room for parameters that the other has not."""
    field, event = network(4, field_width, 4), network(12, event_width, 1)
    y0 = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4)

    def solved() -> tuple[Tensor, Tensor]:
        return flashode.odeint_event(
            lambda t, y: field(y),
            y0,
            START,
            event_fn=lambda t, y: t - 0.3 + 0.01 * event(y.reshape(-1)).sum(),
            atol=1e-11,  # which is how closely the event is looked for, too
        )

    with torch.no_grad():
        with use_engine("native"):
            t, states = solved()
        with cuda_on(Host()):
            on_cuda, its_states = solved()
    torch.testing.assert_close((on_cuda, its_states), (t, states), rtol=1e-9, atol=1e-10)


@dataclass
class Full(HostKernel):
    """None of its blocks finds room."""

    def blocks_together(self, threads: int, shared_bytes: int) -> int:
        return 0


class FullHost(Host):
    """A machine of such kernels."""

    def kernel(self, source: str, name: str, device: torch.device) -> HostKernel:
        return Full(super().kernel(source, name, device).function, self)


def test_a_device_that_holds_no_block_says_so() -> None:
    y0 = torch.ones(3, 2, dtype=torch.float64)
    host = FullHost(replace(PROPERTIES, multiprocessors=1))
    with cuda_on(host), pytest.raises(RuntimeError, match=r"^cpu does not hold one block of "):
        flashode.odeint(lambda t, y: -y, y0, torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert host.launches == 0
