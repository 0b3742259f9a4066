"""What the compiled module asks of a CUDA driver, with one that has no GPU and notes its calls."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from fake_driver import SOURCES, FakeDriver
from fake_driver import compiler as cpp_compiler

IMAGE = b"\x7fELF and more"
ARGUMENTS = bytes(range(16))
SHARED_BYTES, STATIC_BYTES = (
    232448,
    448,
)  # of the driver without a GPU: of a block at most, and of its kernels


def driver(fake: FakeDriver) -> Any:
    from flashode import _flashode

    return _flashode.cuda.Driver(library=fake.path)


def kernel(fake: FakeDriver, device: int = 0) -> Any:
    from flashode import _flashode

    return _flashode.cuda.Kernel(driver=driver(fake), device=device, image=IMAGE, name="solve")


def launch(kernel: Any, **changed: Any) -> bool:
    asked = {"blocks": 1, "threads": 128, "shared_bytes": 1024, "meeting": True}
    asked |= {"arguments": ARGUMENTS, "stream": 7}
    return kernel.launch(**asked | changed)


def test_properties_are_those_of_the_device(fake: FakeDriver) -> None:
    first, second = (driver(fake).properties(device=device) for device in (0, 1))
    assert first.architecture == "sm_90"
    assert first.shared_bytes == SHARED_BYTES
    assert (first.shared_bytes_together, first.reserved_bytes, first.threads_together) == (233472, 1024, 2048)
    assert (first.multiprocessors, second.multiprocessors) == (132, 133)


@pytest.mark.parametrize(("blocks", "meeting"), [(1, True), (264, False)])
def test_blocks_that_do_not_meet_are_launched_as_any(fake: FakeDriver, blocks: int, meeting: bool) -> None:
    assert launch(kernel(fake), blocks=blocks, meeting=meeting)
    assert fake.calls("cuLaunchKernelEx") == [
        f"cuLaunchKernelEx({blocks}x1x1 blocks of 128x1x1, 1024 bytes, stream 7: {ARGUMENTS.hex()})"
    ]


def test_blocks_that_meet_are_launched_together(fake: FakeDriver) -> None:
    assert launch(kernel(fake), blocks=264)
    assert fake.calls("cuLaunchKernelEx") == [
        "cuLaunchKernelEx(264x1x1 blocks of 128x1x1, 1024 bytes, stream 7, attribute 2 is 1: "
        f"{ARGUMENTS.hex()})"
    ]


def test_more_blocks_than_the_device_holds(fake: FakeDriver) -> None:
    loaded = kernel(fake)
    fake.fail("cuLaunchKernelEx", 720)
    assert not launch(loaded, blocks=1000)


def test_a_large_argument_arrives_whole(fake: FakeDriver) -> None:
    arguments = os.urandom(9000)
    fake.set("argument_bytes", len(arguments))
    assert launch(kernel(fake), arguments=arguments)
    assert arguments.hex() in fake.calls("cuLaunchKernelEx")[0]


def test_an_argument_of_another_size_is_refused(fake: FakeDriver) -> None:
    with pytest.raises(ValueError, match=r"arguments has 15 bytes, and the kernel 'solve' takes 16"):
        launch(kernel(fake), arguments=ARGUMENTS[1:])
    assert fake.calls("cuLaunchKernelEx") == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"blocks": 0}, "blocks is 0, not at least 1"),
        ({"threads": 0}, "threads is 0, not at least 1"),
        ({"shared_bytes": -1}, "shared_bytes is -1, less than 0"),
    ],
)
def test_numbers_that_are_none_are_refused(fake: FakeDriver, changed: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        launch(kernel(fake), **changed)


def test_occupancy(fake: FakeDriver) -> None:
    assert kernel(fake).blocks_together(threads=256, shared_bytes=4096) == 3
    assert fake.calls("cuOccupancyMaxActiveBlocksPerMultiprocessor") == [
        "cuOccupancyMaxActiveBlocksPerMultiprocessor(256, 4096)"
    ]


def test_a_kernel_says_what_it_takes_and_may_take_all_shared_memory(fake: FakeDriver) -> None:
    loaded = kernel(fake)
    assert (loaded.registers, loaded.local_bytes, loaded.shared_bytes) == (96, 8, STATIC_BYTES)
    assert fake.calls("cuModuleLoadData") == ["cuModuleLoadData(ELF)"]
    assert fake.calls("cuModuleGetFunction") == ["cuModuleGetFunction(solve)"]
    assert fake.calls("cuFuncSetAttribute") == [f"cuFuncSetAttribute(8, {SHARED_BYTES - STATIC_BYTES})"]


def test_each_call_is_in_the_context_of_its_device(fake: FakeDriver) -> None:
    loaded = kernel(fake, device=1)
    launch(loaded)
    loaded.blocks_together(threads=1, shared_bytes=0)
    driver(fake).synchronize(device=1, stream=7)
    del loaded
    assert fake.calls("cuCtxPushCurrent") == ["cuCtxPushCurrent(1)"] * 5
    assert len(fake.calls("cuCtxPopCurrent")) == 5
    assert fake.calls("cuModuleUnload") == ["cuModuleUnload()"]


@pytest.mark.parametrize(
    ("function", "attempt", "act"),
    [
        ("cuModuleLoadData", "loading the kernel 'solve' on CUDA device 0", kernel),
        ("cuModuleGetFunction", "looking for the kernel 'solve'", kernel),
        ("cuFuncSetAttribute", "letting the kernel 'solve' take 232000 bytes of shared memory", kernel),
        ("cuDevicePrimaryCtxRetain", "taking the context of CUDA device 0", kernel),
        (
            "cuStreamSynchronize",
            "waiting for kernels on CUDA device 0",
            lambda fake: driver(fake).synchronize(device=0, stream=0),
        ),
        ("cuDeviceGetAttribute", "asking CUDA device 0", lambda fake: driver(fake).properties(device=0)),
        ("cuInit", "the CUDA driver does not start", driver),
    ],
)
def test_a_failure_says_what_was_attempted_and_what_the_driver_says(
    fake: FakeDriver, function: str, attempt: str, act: Callable[[FakeDriver], Any]
) -> None:
    fake.fail(function, 1)
    with pytest.raises(RuntimeError, match=rf"^{attempt}.*: CUDA_ERROR_OF_A_TEST, a test wants it$"):
        act(fake)
    assert len(fake.calls("cuCtxPushCurrent")) == len(fake.calls("cuCtxPopCurrent"))
    loaded = len(fake.calls("cuModuleLoadData")) if function != "cuModuleLoadData" else 0
    assert len(fake.calls("cuModuleUnload")) == loaded


def test_a_launch_that_fails_says_what_was_asked(fake: FakeDriver) -> None:
    loaded = kernel(fake)
    fake.fail("cuLaunchKernelEx", 701)
    with pytest.raises(
        RuntimeError,
        match="launching the kernel 'solve' with 2 blocks of 128 threads and 1024 bytes of shared memory on "
        "CUDA device 0: CUDA_ERROR_OF_A_TEST, a test wants it",
    ):
        launch(loaded, blocks=2)


def test_a_device_that_is_not_there(fake: FakeDriver) -> None:
    with pytest.raises(RuntimeError, match="there is no CUDA device 2: "):
        driver(fake).properties(device=2)


def test_others_run_while_one_waits(fake: FakeDriver) -> None:
    errors = []

    def wait() -> None:
        try:
            waiting.synchronize(device=0, stream=7)
        except RuntimeError as error:
            errors.append(error)

    waiting = driver(fake)
    fake.let_streams_wait()
    thread = Thread(target=wait)
    thread.start()
    while thread.is_alive() and not fake.calls("cuStreamSynchronize"):
        pass
    fake.release()
    thread.join()
    assert errors == []


@pytest.mark.parametrize("number", [11040, 12000])
def test_a_driver_that_is_too_old(fake: FakeDriver, number: int) -> None:
    fake.set("version", number)
    said = f"the CUDA driver is for CUDA {number // 1000}.{number % 1000 // 10}, and 12.1 or newer is needed"
    with pytest.raises(RuntimeError, match=f"^{said}$"):
        driver(fake)
    fake.set("version", 12010)
    assert driver(fake).version == 12010


def test_a_driver_without_a_device(fake: FakeDriver) -> None:
    fake.set("devices", 0)
    with pytest.raises(RuntimeError, match=r"^the CUDA driver has no device$"):
        driver(fake)


def test_a_driver_that_lacks_a_function_it_need_not_have(fake: FakeDriver, tmp_path: Path) -> None:
    old = FakeDriver(tmp_path, "OLD")
    assert launch(kernel(old))
    assert len(old.calls("cuLaunchKernelEx")) == 1


def test_a_driver_that_lacks_a_function(fake: FakeDriver, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^the CUDA driver has no function cuLaunchKernelEx$"):
        driver(FakeDriver(tmp_path, "VERY_OLD"))


def test_no_driver(fake: FakeDriver) -> None:
    from flashode import _flashode

    with pytest.raises(RuntimeError, match=r"^there is no CUDA driver: libnone\.so\.1: "):
        _flashode.cuda.Driver(library="libnone.so.1")


def test_declarations_are_those_of_the_driver_s_own_header(tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no CUDA toolkit, which has the header")
    declarations = (SOURCES / "bindings" / "cuda_driver.hpp").read_text()
    constants = [word for word in words(declarations) if word.startswith(("CU_", "CUDA_"))]
    assert len(constants) > 10
    claims = [f"static_assert(int(own::{name}) == int(::{name}));" for name in constants]
    members = ("gridDimX", "blockDimX", "blockDimZ", "sharedMemBytes", "hStream", "attrs", "numAttrs")
    fields = [("CUlaunchConfig", member) for member in members]
    fields += [("CUlaunchAttribute", member) for member in ("id", "value", "value.cooperative")]
    for structure, member in fields:
        claims.append(
            f"static_assert(offsetof(own::{structure}, {member}) == offsetof({structure}, {member}));"
        )
    for structure in ("CUlaunchConfig", "CUlaunchAttribute", "CUdevice", "CUresult"):
        claims.append(f"static_assert(sizeof(own::{structure}) == sizeof({structure}));")
    source = tmp_path / "header.cpp"
    lines = [
        '#include "bindings/cuda_driver.hpp"',
        "#include <cuda.h>",
        "namespace own = flashode::bindings;",
    ]
    source.write_text("\n".join([*lines, *claims]))
    # nvcc knows where its own headers are.
    command = [nvcc, f"-ccbin={cpp_compiler()}", "-std=c++20", f"-I{SOURCES}", "-c", str(source)]
    done = subprocess.run([*command, "-o", str(tmp_path / "header.o")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def words(text: str) -> set[str]:
    """The names in a C++ text."""
    return set("".join(letter if letter.isalnum() or letter == "_" else " " for letter in text).split())
