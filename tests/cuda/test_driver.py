"""The GPU as a machine, with a driver that has none and notes its calls: compiled, kept and launched."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest
import torch

from fake_driver import FakeDriver
from flashode import notices
from flashode.engines.cuda import nvrtc
from flashode.engines.cuda.machine import CompilationError, Machine, Properties, Resources
from flashode.engines.cuda.nvrtc import Nvrtc

pytestmark = pytest.mark.usefixtures("cache")

TEXT = 'extern "C" __global__ void solve(const __grid_constant__ int q) {}'
DEVICE = torch.device("cuda", 0)


class Stream:
    """What torch calls a stream."""

    def __init__(self, index: int) -> None:
        self.cuda_stream = 70 + index


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch, compiler: Nvrtc) -> list[str]:
    """The texts that are compiled, each when its compilation begins."""
    compiled: list[str] = []
    compile_ = Nvrtc.compile

    def noting(self: Nvrtc, source: str, name: str, target: str) -> tuple[bytes, str]:
        compiled.append(source)
        return compile_(self, source, name, target)

    monkeypatch.setattr(Nvrtc, "compile", noting)
    return compiled


@pytest.fixture
def make(fake: FakeDriver, compiler: Nvrtc, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Machine]:
    """Makes a machine, as another process would."""
    from flashode.engines.cuda.driver import Driver

    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    return lambda: Driver(fake.path)


def test_properties(make: Callable[[], Machine], fake: FakeDriver) -> None:
    machine = make()
    expected = Properties(
        architecture="sm_90",
        multiprocessors=132,
        shared_bytes=232448,
        shared_bytes_together=233472,
        reserved_bytes=1024,
        threads_together=2048,
        memory_bytes=2**37,
    )
    assert machine.properties(DEVICE) == expected
    asked = len(fake.calls("cuDeviceGetAttribute"))
    assert machine.properties(DEVICE) == expected
    assert len(fake.calls("cuDeviceGetAttribute")) == asked
    assert machine.properties(torch.device("cuda", 1)).multiprocessors == 133
    assert machine.properties(torch.device("cuda", 1)).memory_bytes == 2**37 + 1


def test_a_kernel_is_compiled_loaded_and_launched(make: Callable[[], Machine], fake: FakeDriver) -> None:
    machine = make()
    kernel = machine.kernel(TEXT, "solve", torch.device("cuda", 1))
    assert kernel.resources == Resources(registers=96, local_bytes=8, shared_bytes=448)
    assert kernel.blocks_together(128, 4096) == 3
    assert kernel.launch(4, 128, 4096, bytes(16))
    machine.synchronize(torch.device("cuda", 1))
    assert fake.calls("cuModuleLoadData") == ["cuModuleLoadData(ELF)"]
    (launch,) = fake.calls("cuLaunchKernelEx")
    assert "4x1x1 blocks of 128x1x1, 4096 bytes, stream 71, attribute 2 is 1" in launch
    assert fake.calls("cuStreamSynchronize") == ["cuStreamSynchronize(71)"]
    fake.fail("cuLaunchKernelEx", 720)
    assert not kernel.launch(4000, 128, 4096, bytes(16))


def test_a_kernel_is_remembered_for_its_text_name_and_device(
    make: Callable[[], Machine], fake: FakeDriver, texts: list[str]
) -> None:
    machine = make()
    kernel = machine.kernel(TEXT, "solve", DEVICE)
    assert machine.kernel(TEXT, "solve", DEVICE) is kernel
    assert machine.kernel(TEXT, "solve", torch.device("cuda", 1)) is not kernel
    assert machine.kernel(TEXT, "other", DEVICE) is not kernel
    assert texts == [TEXT]  # the same code, from the disk
    assert machine.kernel(TEXT + " ", "solve", DEVICE) is not kernel
    assert texts == [TEXT, TEXT + " "]


def test_another_process_reads_it_from_the_disk(
    make: Callable[[], Machine], texts: list[str], cache: Path
) -> None:
    make().kernel(TEXT, "solve", DEVICE)
    make().kernel(TEXT, "solve", DEVICE)
    assert texts == [TEXT]
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:-10])
    make().kernel(TEXT, "solve", DEVICE)
    make().kernel(TEXT, "solve", DEVICE)
    assert texts == [TEXT, TEXT]


def test_other_headers_options_and_compilers_have_entries_of_their_own(
    make: Callable[[], Machine], texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make().kernel(TEXT, "solve", DEVICE)
    for owner, name, value in (
        ("flashode.engines.cuda.headers", "digest", lambda: "other"),
        ("flashode.engines.cuda.nvrtc", "OPTIONS", (*nvrtc.OPTIONS, "--fmad=false")),
        ("flashode.engines.cuda.nvrtc.Nvrtc", "__str__", lambda self: "NVRTC 12.9"),
        ("flashode.engines.cuda.nvrtc.Nvrtc", "target", lambda self, architecture: "sm_80"),
    ):
        monkeypatch.setattr(f"{owner}.{name}", value)
        before = len(texts)
        make().kernel(TEXT, "solve", DEVICE)
        make().kernel(TEXT, "solve", DEVICE)
        assert len(texts) == before + 1, name


def test_kernels_used_longest_ago_are_let_go(
    make: Callable[[], Machine], fake: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flashode.engines.cuda.driver._MOST_KERNELS", 2)
    machine = make()
    first = machine.kernel(TEXT, "a", DEVICE)
    machine.kernel(TEXT, "b", DEVICE)
    assert machine.kernel(TEXT, "a", DEVICE) is first
    machine.kernel(TEXT, "c", DEVICE)
    assert fake.calls("cuModuleUnload") == ["cuModuleUnload()"]
    assert machine.kernel(TEXT, "a", DEVICE) is first
    machine.kernel(TEXT, "b", DEVICE)
    assert fake.calls("cuModuleGetFunction") == [f"cuModuleGetFunction({name})" for name in "abcb"]


def test_threads_that_want_the_same_kernel_compile_it_once(
    make: Callable[[], Machine], texts: list[str]
) -> None:
    machine = make()
    with ThreadPoolExecutor(4) as pool:
        kernels = set(pool.map(lambda _: machine.kernel(TEXT, "solve", DEVICE), range(8)))
    assert len(kernels) == 1
    assert texts == [TEXT]


def test_threads_that_want_different_kernels_compile_at_the_same_time(
    make: Callable[[], Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Barrier(2)

    def compile_(self: Nvrtc, source: str, name: str, target: str) -> tuple[bytes, str]:
        both.wait(timeout=60)
        return source.encode(), ""

    monkeypatch.setattr(Nvrtc, "compile", compile_)
    machine = make()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda text: machine.kernel(text, "solve", DEVICE), ["one text", "another text"]))


def test_a_text_that_does_not_compile_says_so_each_time(
    make: Callable[[], Machine], texts: list[str]
) -> None:
    machine = make()
    for _ in range(2):
        with pytest.raises(CompilationError, match="no_such_name"):
            machine.kernel("int f() { return no_such_name; }", "solve", DEVICE)
    assert len(texts) == 2


@pytest.mark.parametrize("what", [KeyboardInterrupt, TimeoutError])
def test_who_waits_for_a_thread_that_is_interrupted_compiles_itself(
    make: Callable[[], Machine], monkeypatch: pytest.MonkeyPatch, what: type[BaseException]
) -> None:
    waiting, machine = Event(), make()
    lock = machine._lock  # type: ignore[attr-defined]

    class Noting:
        """The machine's lock, which tells when a second thread has looked for the kernel."""

        asked = 0

        def __enter__(self) -> None:
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()
            self.asked += 1
            if self.asked == 2:
                waiting.set()

    texts: list[str] = []

    def compile_(self: Nvrtc, source: str, name: str, target: str) -> tuple[bytes, str]:
        texts.append(source)
        if len(texts) == 1:
            assert waiting.wait(timeout=60)
            raise what
        return b"code", ""

    monkeypatch.setattr(Nvrtc, "compile", compile_)
    monkeypatch.setattr(machine, "_lock", Noting())
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(machine.kernel, TEXT, "solve", DEVICE) for _ in range(2)]
        errors = [answer.exception(timeout=60) for answer in answers]
    assert [type(error) for error in errors if error is not None] == [what]
    assert machine.kernel(TEXT, "solve", DEVICE) is answers[errors.index(None)].result()
    assert texts == [TEXT, TEXT]


def test_a_compilation_that_takes_long_says_so_meanwhile(
    make: Callable[[], Machine], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Event()

    def compile_(self: Nvrtc, source: str, name: str, target: str) -> tuple[bytes, str]:
        assert told.wait(timeout=60)
        return b"code", ""

    def tell(*values: Any, **keywords: Any) -> None:
        print(*values, **keywords)
        told.set()

    monkeypatch.setattr(Nvrtc, "compile", compile_)
    monkeypatch.setattr("flashode.engines.cuda.driver._SLOW_SECONDS", 0.0)
    monkeypatch.setattr(notices, "print", tell, raising=False)
    make().kernel(TEXT, "solve", DEVICE)
    assert capsys.readouterr().err == "flashode: compiling a kernel for sm_90 …\n"


def test_one_that_does_not_says_nothing(
    make: Callable[[], Machine], capsys: pytest.CaptureFixture[str]
) -> None:
    with notices.told_if_slow("sleeping", 3600.0):
        time.sleep(0.0)
    assert capsys.readouterr().err == ""


def test_why_there_is_none(monkeypatch: pytest.MonkeyPatch, fake: FakeDriver, compiler: Nvrtc) -> None:
    from flashode.declined import Declined
    from flashode.engines.cuda import driver

    def reason() -> str:
        answer = driver.driver.__wrapped__()
        assert isinstance(answer, Declined) and answer.absent
        return answer.reason

    def no_compiler(newest: int) -> Nvrtc:
        raise CompilationError(f"there is no NVRTC for {newest}: pip install it")

    monkeypatch.setattr(driver, "_LIBRARY", fake.path)
    assert isinstance(driver.driver.__wrapped__(), driver.Driver)
    monkeypatch.setattr(nvrtc, "load", no_compiler)
    assert reason() == "there is no NVRTC for 13: pip install it"
    fake.set("version", 12000)
    assert reason() == "the CUDA driver is for CUDA 12.0, and 12.1 or newer is needed"
    monkeypatch.setattr(driver, "_LIBRARY", "libnone.so.1")
    assert reason().startswith("there is no CUDA driver: libnone.so.1: ")
    monkeypatch.setattr("flashode._flashode.cuda_built", False)
    assert reason() == "this installation was built without CUDA (FLASHODE_CUDA=OFF)"


def test_importing_and_explaining_asks_for_no_driver_and_no_compiler() -> None:
    program = """
import ctypes, sys, torch
import flashode
def opened(name, *rest, **named):
    raise AssertionError(f"{name} is opened")
ctypes.CDLL = opened
import flashode.engines.cuda.machine, flashode.engines.cuda.headers, flashode.engines.cuda.nvrtc
print(flashode.explain(lambda t, y: -y, torch.ones(2)).engine)
assert not any("libcuda" in line for line in open("/proc/self/maps")), "a driver is loaded"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
