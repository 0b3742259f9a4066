"""The machine that kernels run on, a GPU or its stand-in on the host, as an engine of this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import torch

import flashode.capture
from benchmarks.gpu.findings import HOST
from flashode.declined import Declined
from flashode.engines import REGISTRY
from flashode.engines.compiled.engine import CompiledEngine
from flashode.engines.cuda.backend import CudaBackend
from flashode.engines.cuda.driver import driver
from flashode.engines.cuda.machine import Kernel, Machine, Properties, Resources

# Kernels run on the host, Programs are drawn and sources collected by what the tests have for that.
TESTS = Path(__file__).parents[2] / "tests"
if str(TESTS) not in sys.path:
    sys.path.append(str(TESTS))

from cuda.host import Host  # noqa: E402

ENGINE = "cuda"


class NoGpu(Exception):
    """There is none to run on; the message says why."""


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel.

    Attributes:
        name: Of the kernel.
        blocks: Of the launch.
        threads: Of a block.
        shared_bytes: Of a block.
        together: Blocks on a multiprocessor, as the machine says.
        resources: That the kernel takes.
        events: On a GPU, around it.
    """

    name: str
    blocks: int
    threads: int
    shared_bytes: int
    together: int
    resources: Resources
    events: tuple[torch.cuda.Event, torch.cuda.Event] | None

    @property
    def seconds(self) -> float | None:
        """That it took, once it is over; None on the host, where it says nothing."""
        return None if self.events is None else self.events[0].elapsed_time(self.events[1]) / 1e3


@dataclass
class Watched(Machine):
    """A machine whose launches are noted.

    Attributes:
        machine: What runs the kernels.
        launches: All that there have been.
    """

    machine: Machine
    launches: list[Launch] = field(default_factory=list)

    @property
    def device_type(self) -> str:
        """Of the machine."""
        return self.machine.device_type

    def properties(self, device: torch.device) -> Properties:
        """Of the machine."""
        return self.machine.properties(device)

    def kernel(self, source: str, name: str, device: torch.device) -> Kernel:
        """Of the machine, watched."""
        return _WatchedKernel(self.machine.kernel(source, name, device), name, self)

    def is_compiled(self, source: str, name: str, device: torch.device) -> bool:
        """Of the machine."""
        return self.machine.is_compiled(source, name, device)

    def synchronize(self, device: torch.device) -> None:
        """Waits."""
        self.machine.synchronize(device)


@dataclass(frozen=True)
class _WatchedKernel(Kernel):
    kernel: Kernel
    name: str
    machine: Watched

    @property
    def resources(self) -> Resources:
        return self.kernel.resources

    def blocks_together(self, threads: int, shared_bytes: int) -> int:
        return self.kernel.blocks_together(threads, shared_bytes)

    def launch(
        self, blocks: int, threads: int, shared_bytes: int, arguments: bytes, *, meeting: bool = True
    ) -> bool:
        events = None
        if self.machine.device_type == "cuda":
            events = _event(), _event()
            events[0].record()
        if not self.kernel.launch(blocks, threads, shared_bytes, arguments, meeting=meeting):
            return False
        if events is not None:
            events[1].record()
        together = self.kernel.blocks_together(threads, shared_bytes)
        self.machine.launches.append(
            Launch(self.name, blocks, threads, shared_bytes, together, self.resources, events)
        )
        return True


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def machine(on_host: bool) -> Watched:
    """The one to run on.

    Raises:
        NoGpu: There is none.
    """
    if on_host:
        return Watched(Host())
    if not torch.cuda.is_available():
        raise NoGpu(f"PyTorch {torch.__version__} sees no GPU; --host runs every phase without one")
    found = driver()
    if isinstance(found, Declined):
        raise NoGpu(f"the CUDA engine does not run here: {found.reason}")
    return Watched(found)


def device(of: Machine) -> torch.device:
    """Where its tensors are."""
    return (
        torch.device("cpu") if of.device_type == "cpu" else torch.device("cuda", torch.cuda.current_device())
    )


def name(on_host: bool) -> str:
    """What a reader calls it."""
    return HOST if on_host else torch.cuda.get_device_name()


@contextmanager
def solving(of: Machine, budget: int | None = None) -> Iterator[None]:
    """Within it solves run in the CUDA engine on this machine, and in no other engine.

    Args:
        of: The machine.
        budget: Attempts until a launch pauses; None lets the time that they take decide.
    """
    # Kernels are remembered with captures, and are those of a machine.
    flashode.capture._cache.clear()
    engine = CompiledEngine(CudaBackend(of, budget=budget))
    with patch.dict(REGISTRY, {ENGINE: lambda: engine}), flashode.use_engine(ENGINE):
        yield


@contextmanager
def solving_natively() -> Iterator[None]:
    """Within it solves run in the compiled engine of the processor."""
    with flashode.use_engine("native"):
        yield
