"""Solves of the CUDA engine on a machine of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

import flashode
from cuda.host import Host, HostKernel
from cuda.host_compiler import HostCompiler
from flashode.engines import REGISTRY, use_engine
from flashode.engines.compiled.engine import CompiledEngine
from flashode.engines.cuda.backend import CudaBackend
from flashode.engines.cuda.machine import Machine
from problems import layer


@contextmanager
def cuda_on(machine: Machine, *, budget: int | None = None) -> Iterator[None]:
    """Solves in it are the CUDA engine's, with nothing remembered of another machine."""
    flashode.capture._cache.clear()  # type: ignore[attr-defined]
    engine = CompiledEngine(CudaBackend(machine, budget=budget))
    with pytest.MonkeyPatch.context() as patch, use_engine("cuda"):
        patch.setitem(REGISTRY, "cuda", lambda: engine)
        yield


class Edited(Host):
    """A host whose kernels' texts are changed before they are compiled.

    Args:
        edit: What is made of a text.
        compiler: As of a host.
    """

    def __init__(self, edit: Callable[[str], str], compiler: HostCompiler | None = None) -> None:
        super().__init__(compiler=compiler)
        self._edit = edit

    def kernel(self, source: str, name: str, device: torch.device) -> HostKernel:
        return super().kernel(self._edit(source), name, device)


class Everything(nn.Module):
    """Products, functions, rows that move, matrices that are computed, sums of rows, values of t alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = layer(7, 50), layer(50, 24)
        self.of_time = layer(1, 6)
        self.matrices = layer(3, 9)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        time = torch.tanh(self.of_time(t.reshape(1)))
        x = y[:, :3] * time[:3]
        turned = torch.bmm(self.matrices(x).tanh().view(-1, 3, 3), x.unsqueeze(-1)).squeeze(-1)
        size = (turned.flip(-1) * time[3:]).square().sum(-1, keepdim=True)
        return self.second(torch.tanh(self.first(torch.cat([x, turned, size], -1))))


def everything(dtype: torch.dtype = torch.float64, batch: int = 20) -> tuple[nn.Module, Tensor]:
    """The field, and a state for it."""
    generator = torch.Generator().manual_seed(0)
    return Everything().to(dtype), torch.randn(batch, 24, dtype=dtype, generator=generator)
