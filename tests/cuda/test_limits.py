"""What is found out about the machine code of kernels, and what is compared with limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cuda.check_limits import ARCHITECTURES, Measured, excesses, measure, updated
from cuda.compile_nvrtc import NEWEST
from cuda.generated import Source
from cuda.machine_code import Code, Inspection, inspect, nvdisasm
from flashode.engines.cuda import nvrtc
from flashode.engines.cuda.machine import CompilationError

LIMIT = {"registers": 32, "instructions": 100}

SCALE = """extern "C" __global__ void scale(float a, float* x) { x[threadIdx.x] *= a; }"""

# 32 doubles at a time, where a thread may have 32 registers.
SPILL = """
extern "C" __global__ void __launch_bounds__(1024, 2) spill(const double* x, double* y) {
    double kept[32];
#pragma unroll
    for (int i = 0; i < 32; ++i) kept[i] = x[i * 1024 + threadIdx.x];
#pragma unroll
    for (int r = 0; r < 8; ++r) {
        double sum = 0.0;
#pragma unroll
        for (int i = 0; i < 32; ++i) sum += kept[i] * kept[(i * 7 + r) % 32];
        y[r * 1024 + threadIdx.x] = sum;
    }
}
"""

# An array that is indexed at run time stands on the stack.
STACK = """
extern "C" __global__ void stack(const int* index, float* y) {
    float kept[8];
    for (int i = 0; i < 8; ++i) kept[index[i] & 7] = y[i];
    y[threadIdx.x] = kept[index[threadIdx.x] & 7];
}
"""

# Whether a pointer leads to shared memory is only known at run time.
GENERIC = """
extern "C" __global__ void generic(int which, float* y) {
    __shared__ float inside[256];
    inside[threadIdx.x] = y[threadIdx.x];
    __syncthreads();
    float* from = which > 0 ? inside : y;
    for (int i = 0; i < which; ++i) from[(i + threadIdx.x) & 255] += 1.0f;
    y[256 + threadIdx.x] = inside[255 - threadIdx.x];
}
"""


@pytest.fixture
def _tools() -> None:
    try:
        nvrtc.load(NEWEST)
    except CompilationError as why:
        pytest.skip(str(why))
    if nvdisasm() is None:
        pytest.skip("there is no nvdisasm: pip install nvidia-cuda-nvdisasm")


needs_tools = pytest.mark.usefixtures("_tools")


@needs_tools
def test_a_plain_kernel_takes_little() -> None:
    inspection = inspect(SCALE, "sm_90")
    code = inspection.kernels["scale"]
    assert 0 < code.registers <= 16 and 4 <= code.instructions <= 32
    assert (code.stack_bytes, code.spill_bytes, code.shared_bytes) == (0, 0, 0)
    assert (code.local_accesses, code.generic_accesses) == (0, 0)
    assert inspection.cubin_bytes > 1000 and inspection.seconds > 0


@needs_tools
def test_spills_are_seen() -> None:
    code = inspect(SPILL, "sm_90").kernels["spill"]
    assert code.registers <= 32 and code.spill_bytes > 0 and code.local_accesses > 0


@needs_tools
def test_a_stack_is_seen() -> None:
    code = inspect(STACK, "sm_90").kernels["stack"]
    assert code.stack_bytes >= 32 and code.spill_bytes == 0 and code.local_accesses > 0


@needs_tools
def test_accesses_of_unknown_places_are_seen() -> None:
    code = inspect(GENERIC, "sm_90").kernels["generic"]
    assert code.generic_accesses > 0 and code.shared_bytes >= 1024


@needs_tools
def test_kernels_of_a_source_are_told_apart() -> None:
    kernels = inspect(SCALE + SPILL, "sm_90").kernels
    assert kernels["scale"] == inspect(SCALE, "sm_90").kernels["scale"]
    assert kernels["spill"] == inspect(SPILL, "sm_90").kernels["spill"]


@needs_tools
def test_what_does_not_compile_says_why() -> None:
    with pytest.raises(CompilationError, match='identifier "b" is undefined'):
        inspect(SCALE.replace("= a", "= b"), "sm_90")


@needs_tools
def test_the_corpus_is_measured_on_every_architecture() -> None:
    measured = measure({"plain": Source(SCALE), "wrong": Source("int f(")})
    assert set(measured["plain"]) == set(ARCHITECTURES)
    limits = updated(measured, {"wrong": {"kernel": dict(LIMIT)}})
    assert set(limits["plain"]) == {"scale"} and limits["wrong"] == {"kernel": LIMIT}
    over = list(excesses(measured, limits))
    assert len(over) == len(ARCHITECTURES) + 1 and all("wrong" in why for why in over)


def of_one(seconds: float = 0.1, **over: int) -> Measured:
    code = {"registers": 30, "stack_bytes": 0, "spill_bytes": 0, "shared_bytes": 0, "instructions": 90}
    code |= {"local_accesses": 0, "generic_accesses": 0} | over
    return {"source": {"sm_90": Inspection({"kernel": Code(**code)}, 1000, seconds)}}


@pytest.mark.parametrize(
    ("over", "limit", "why"),
    [
        ({"registers": 33}, LIMIT, "registers 33 > 32"),
        ({"instructions": 101}, LIMIT, "instructions 101 > 100"),
        ({"spill_bytes": 8}, LIMIT, "spill_bytes 8 > 0"),
        ({"stack_bytes": 48}, LIMIT | {"stack_bytes": 40, "reason": "sin"}, "stack_bytes 48 > 40"),
        ({"generic_accesses": 1}, LIMIT, "generic_accesses 1 > 0"),
        ({"shared_bytes": 4096}, LIMIT | {"shared_bytes": 4000}, "shared_bytes 4096 > 4000"),
        ({}, LIMIT | {"stack_bytes": 40}, "its limits say not why"),
    ],
)
def test_an_excess_is_named(over: dict[str, int], limit: Mapping[str, Any], why: str) -> None:
    (line,) = excesses(of_one(**over), {"source": {"kernel": dict(limit)}})
    assert line.startswith("source ") and line.endswith(why)


def test_what_takes_very_long_to_compile_is_named() -> None:
    (line,) = excesses(of_one(seconds=16.0), {"source": {"kernel": dict(LIMIT)}})
    assert line == "source sm_90: 16 s to compile > 15"


@needs_tools
def test_shared_memory_is_what_a_launch_asks_for_too() -> None:
    measured = measure({"plain": Source(SCALE, shared_bytes=2048)})
    for inspection in measured["plain"].values():
        assert isinstance(inspection, Inspection) and inspection.kernels["scale"].shared_bytes == 2048
    assert updated(measured, {})["plain"]["scale"]["shared_bytes"] == 2048


def test_what_is_within_its_limits_is_not_named() -> None:
    assert list(excesses(of_one(), {"source": {"kernel": dict(LIMIT)}})) == []
    with_stack = LIMIT | {"stack_bytes": 40, "local_accesses": 5, "reason": "sin of large arguments"}
    assert list(excesses(of_one(stack_bytes=40), {"source": {"kernel": with_stack}})) == []


def test_limits_and_corpus_have_the_same_kernels() -> None:
    assert list(excesses(of_one(), {})) == ["source sm_90 kernel: it has no limits"]
    stale = {"source": {"kernel": dict(LIMIT), "gone": dict(LIMIT)}}
    assert list(excesses(of_one(), stale)) == ["source gone: it has limits, but is not in the corpus"]


def test_updating_allows_no_spills() -> None:
    limits = updated(of_one(spill_bytes=16), {})
    assert list(excesses(of_one(spill_bytes=16), limits)) == ["source sm_90 kernel: spill_bytes 16 > 0"]
    reasoned = {"source": {"kernel": LIMIT | {"spill_bytes": 16, "reason": "it is rare"}}}
    kept = updated(of_one(registers=40, spill_bytes=16), reasoned)["source"]["kernel"]
    assert kept["spill_bytes"] == 16 and kept["reason"] == "it is rare" and 40 < kept["registers"] <= 48
