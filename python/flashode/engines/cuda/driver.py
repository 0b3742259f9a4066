"""A GPU as the machine of the CUDA engine: kernels are compiled by NVRTC and run by the CUDA driver."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import OrderedDict
from concurrent.futures import CancelledError, Future
from functools import cache
from threading import Lock

import torch

from flashode import _flashode, notices
from flashode.declined import Declined
from flashode.engines.compiled import disk_cache
from flashode.engines.cuda import headers, nvrtc
from flashode.engines.cuda.machine import Kernel, Machine, Properties, Resources

_LIBRARY = "libcuda.so.1"

# Most kernels that stay loaded. One more, and the one used longest ago is loaded anew when it is next needed.
_MOST_KERNELS = 256

_SLOW_SECONDS = 1.0


class Driver(Machine):
    """The GPUs of this machine. It is safe to use from several threads.

    Args:
        library: Of the CUDA driver, as the system's loader takes it.

    Raises:
        RuntimeError: The driver is missing, too old, or has no device.
        CompilationError: There is no compiler that goes with it.
    """

    device_type = "cuda"

    def __init__(self, library: str) -> None:
        self._driver = _flashode.cuda.Driver(library=library)
        self._nvrtc = nvrtc.load(self._driver.version // 1000)
        self._properties: dict[int, Properties] = {}
        self._kernels: OrderedDict[tuple[str, str, int], Future[Kernel]] = OrderedDict()
        self._lock = Lock()

    def properties(self, device: torch.device) -> Properties:
        """Those of a device that kernels can be compiled for."""
        index = device.index
        if index not in self._properties:
            known = self._driver.properties(device=index)
            self._nvrtc.target(known.architecture)
            names = [field.name for field in dataclasses.fields(Properties)]
            self._properties[index] = Properties(**{name: getattr(known, name) for name in names})
        return self._properties[index]

    def kernel(self, source: str, name: str, device: torch.device) -> Kernel:
        """A kernel of a source text, compiled and loaded, or remembered, by this process or on disk.

        Different texts compile at the same time in different threads; who asks for one that another thread is
        compiling waits for it.
        """
        key = (source, name, device.index)
        while True:
            own = Future[Kernel]()
            try:
                with self._lock:
                    future = self._kernels.setdefault(key, own)
                    self._kernels.move_to_end(key)
                    if len(self._kernels) > _MOST_KERNELS:
                        self._kernels.popitem(last=False)
                if future is own:
                    own.set_result(self._load(source, name, device))
            except BaseException:
                self._give_up(key, own)
                raise
            with contextlib.suppress(CancelledError):
                return future.result()

    def is_compiled(self, source: str, name: str, device: torch.device) -> bool:
        """Whether the machine code of such a kernel is there already, in this process or on the disk."""
        with self._lock:
            known = (source, name, device.index) in self._kernels
        return known or disk_cache.read(self._target_and_key(source, device)[1]) is not None

    def synchronize(self, device: torch.device) -> None:
        """Waits, without the GIL, for all that torch's current stream of the device has been given."""
        self._driver.synchronize(device=device.index, stream=_stream(device.index))

    def _give_up(self, key: tuple[str, str, int], own: Future[Kernel]) -> None:
        """Lets those who wait for a kernel see for themselves: a signal may have stopped this thread only."""
        with self._lock:
            if self._kernels.get(key) is own:
                del self._kernels[key]
        own.cancel()

    def _load(self, source: str, name: str, device: torch.device) -> Kernel:
        target, key = self._target_and_key(source, device)
        image = disk_cache.read(key)
        if image is None:
            with notices.told_if_slow(f"compiling a kernel for {target}", _SLOW_SECONDS):
                image, _ = self._nvrtc.compile(source, name, target)
            disk_cache.write(key, image)
        loaded = _flashode.cuda.Kernel(driver=self._driver, device=device.index, image=image, name=name)
        return _LoadedKernel(loaded, device.index)

    def _target_and_key(self, source: str, device: torch.device) -> tuple[str, str]:
        """The architecture that a text is compiled for, and what its machine code is called on the disk."""
        target = self._nvrtc.target(self.properties(device).architecture)
        return target, disk_cache.key_of(source, headers.digest(), *nvrtc.OPTIONS, str(self._nvrtc), target)


class _LoadedKernel(Kernel):
    """A kernel of the compiled module."""

    def __init__(self, loaded: _flashode.cuda.Kernel, index: int) -> None:
        self._loaded = loaded
        self._index = index

    @property
    def resources(self) -> Resources:
        """What it takes."""
        loaded = self._loaded
        return Resources(
            registers=loaded.registers, local_bytes=loaded.local_bytes, shared_bytes=loaded.shared_bytes
        )

    def blocks_together(self, threads: int, shared_bytes: int) -> int:
        """How many of its blocks are on a multiprocessor at a time."""
        return self._loaded.blocks_together(threads=threads, shared_bytes=shared_bytes)

    def launch(
        self, blocks: int, threads: int, shared_bytes: int, arguments: bytes, *, meeting: bool = True
    ) -> bool:
        """Runs it on torch's current stream of its device; False where that cannot hold all that meet."""
        return self._loaded.launch(
            blocks=blocks,
            threads=threads,
            shared_bytes=shared_bytes,
            meeting=meeting,
            arguments=arguments,
            stream=_stream(self._index),
        )


@cache
def driver() -> Driver | Declined:
    """The machine's, or why kernels cannot run on it.

    The first call starts the CUDA driver, after which a process that is forked off cannot use it: it is to be
    asked of solves whose tensors are on a GPU, where torch has started it already.
    """
    if not _flashode.cuda_built:
        return Declined("this installation was built without CUDA (FLASHODE_CUDA=OFF)", absent=True)
    try:
        return Driver(_LIBRARY)
    except RuntimeError as error:
        return Declined(str(error), absent=True)


def _stream(index: int) -> int:
    stream: int = torch.cuda.current_stream(index).cuda_stream
    return stream
