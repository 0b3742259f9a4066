"""The host as a machine: sums over its threads, and the faults that it finds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cuda.host import Host
from cuda.host_compiler import HostCompiler
from cuda.kernels import kernel_text, run
from flashode import _flashode
from flashode.engines.cuda.machine import CompilationError

CSRC = Path(__file__).parents[2] / "csrc"
WARP = 32
ROUNDS = 3
REDUCTION_BYTES = _flashode.cuda.REDUCTION_BYTES


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Host:
    return Host()


def of_warp(lanes: Tensor) -> Tensor:
    """Their sum by halves."""
    half = WARP // 2
    while half:
        lanes = lanes + lanes[torch.arange(WARP) ^ half]
        half //= 2
    return lanes[0]


def in_order(numbers: Tensor) -> Tensor:
    """Their sum, one after the other."""
    total = torch.zeros((), dtype=torch.float64)
    for number in numbers:
        total = total + number
    return total


def of_blocks(numbers: Tensor) -> Tensor:
    """The sum of ``(blocks, threads)`` as csrc/cuda/reduction.hpp says."""
    blocks, threads = numbers.shape
    warps = [[of_warp(warp) for warp in block.view(threads // WARP, WARP)] for block in numbers]
    sums = torch.stack([in_order(torch.stack(block)) if len(block) > 1 else block[0] for block in warps])
    if blocks == 1:
        return sums[0]
    return of_warp(torch.stack([in_order(sums[lane::WARP]) for lane in range(WARP)]))


def sums_text(count: int, threads: int) -> str:
    """Sums of so many numbers at a time, three rounds of them."""
    return kernel_text(
        f"""
    Slots slots{{reinterpret_cast<Slot*>(q.memory[2]), q.round}};
    const int own = block() * THREADS + thread();
    const int all = blocks() * THREADS;
    for (int round = 0; round < {ROUNDS}; ++round) {{
        double sums[{count}];
        for (int i = 0; i < {count}; ++i) sums[i] = q.memory[0][i * all + own] * (round + 1);
        sum_of_blocks<THREADS>(sums, slots);
        for (int i = 0; i < {count}; ++i) q.memory[1][(round * {count} + i) * all + own] = sums[i];
    }}""",
        threads=threads,
        memory=3,
    )


def slots_of(blocks: int) -> Tensor:
    """Where so many blocks meet."""
    size = 2 * _flashode.cuda.MAX_SUMS * blocks * _flashode.cuda.SLOT_BYTES
    return torch.zeros(size, dtype=torch.uint8)


def check_sums(host: Host, blocks: int, count: int, threads: int) -> None:
    """Bit for bit, in every thread."""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(count, blocks, threads, dtype=torch.float64, generator=generator)
    sums = torch.zeros(ROUNDS, count, blocks, threads, dtype=torch.float64)
    memory = numbers, sums, slots_of(blocks)
    run(host, sums_text(count, threads), memory, blocks=blocks, threads=threads, shared_bytes=REDUCTION_BYTES)
    for round_ in range(ROUNDS):
        expected = torch.stack([of_blocks(part * (round_ + 1)) for part in numbers])
        assert torch.equal(sums[round_], expected[:, None, None].expand(count, blocks, threads))


@pytest.mark.parametrize("order", [0, 1, 7])
@pytest.mark.parametrize(
    ("blocks", "count", "threads"),
    [(1, 1, 32), (5, 1, 32), (40, 1, 32), (1, 3, 64), (5, 3, 64), (40, 3, 64), (2, 32, 128)],
)
def test_sums_are_added_in_their_order(host: Host, blocks: int, count: int, threads: int, order: int) -> None:
    host.order = order
    check_sums(host, blocks, count, threads)


def check_exchange(host: Host, blocks: int, threads: int) -> None:
    """Each thread reads what the next has written, round for round, and the largest of all."""
    text = kernel_text(
        f"""
    Slots slots{{reinterpret_cast<Slot*>(q.memory[3]), q.round}};
    const int own = block() * THREADS + thread();
    const int all = blocks() * THREADS;
    for (int round = 0; round < {ROUNDS}; ++round) {{
        q.memory[1][round * all + own] = q.memory[0][own] + round;
        exchange_with_blocks<THREADS>(slots);
        const double next = from_other_block(q.memory[1] + round * all + (own + 1) % all);
        q.memory[2][round * all + own] = next + largest_of_blocks<THREADS>(q.memory[0][own], slots);
    }}""",
        threads=threads,
        memory=4,
    )
    numbers = torch.rand(blocks * threads, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    written, read = torch.zeros(2, ROUNDS, blocks * threads, dtype=torch.float64)
    memory = numbers, written, read, slots_of(blocks)
    run(host, text, memory, blocks=blocks, threads=threads, shared_bytes=REDUCTION_BYTES)
    rounds = torch.arange(ROUNDS)[:, None]
    assert torch.equal(read, (numbers.roll(-1) + rounds) + numbers.max())


@pytest.mark.parametrize("order", [0, 1, 7])
@pytest.mark.parametrize(("blocks", "threads"), [(1, 64), (5, 64), (40, 32)])
def test_blocks_read_what_others_have_written(host: Host, blocks: int, threads: int, order: int) -> None:
    host.order = order
    check_exchange(host, blocks, threads)


BARRIER = "sync_block();"


@pytest.mark.parametrize("which", range((CSRC / "cuda" / "reduction.hpp").read_text().count(BARRIER)))
def test_each_barrier_of_a_reduction_is_needed(which: int, tmp_path: Path) -> None:
    for room in ("numerics", "solve", "cuda"):
        shutil.copytree(CSRC / room, tmp_path / room)
    header = tmp_path / "cuda" / "reduction.hpp"
    parts = header.read_text().split(BARRIER)
    header.write_text(BARRIER.join(parts[: which + 1]) + BARRIER.join(parts[which + 1 :]))
    host = Host(compiler=HostCompiler(csrc=tmp_path, kept=tmp_path))
    assert any(is_wrong(host, blocks, order) for order in (0, 1, 7) for blocks in (1, 5))


def is_wrong(host: Host, blocks: int, order: int) -> bool:
    """Whether a number is, or is never there."""
    host.order = order
    try:
        check_sums(host, blocks, 3, 64)
        check_exchange(host, blocks, 64)
    except (AssertionError, RuntimeError):
        return True
    return False


# Kernels of one block of 64 threads, with 64 doubles of shared memory.
FAULTS = {
    "all threads wait": "while (q.memory[0][0] != 1.0) wait_for_others();",
    "a thread left while others": "if (thread() != 63) sync_block();",
    "that another of its block has left": "if (thread() != 0) sync_block();",
    "beside shared memory": "shared_memory<double>()[thread() + 1] = 0.0;",
}


@pytest.mark.parametrize("told", FAULTS)
def test_a_fault_has_a_text(host: Host, told: str) -> None:
    text = kernel_text(FAULTS[told], threads=64, memory=1)
    with pytest.raises(RuntimeError, match=told):
        run(host, text, (torch.zeros(64).double(),), blocks=1, threads=64, shared_bytes=64 * 8)


@pytest.mark.parametrize("place", ["thread()", "thread() + 64", "-1 - thread()"])
def test_what_nobody_has_written_is_nan(host: Host, place: str) -> None:
    """In shared memory and beside it."""
    text = kernel_text(f"q.memory[0][thread()] = shared_memory<double>()[{place}];", threads=64, memory=1)
    read = torch.zeros(64, dtype=torch.float64)
    run(host, text, (read,), blocks=1, threads=64, shared_bytes=64 * 8)
    assert read.isnan().all()


def test_a_race_depends_on_the_order(host: Host) -> None:
    text = kernel_text(
        """
    shared_memory<double>()[thread()] = thread();
    q.memory[0][thread()] = shared_memory<double>()[63 - thread()];""",
        threads=64,
        memory=1,
    )
    results = []
    for host.order in (0, 1):
        read = torch.zeros(64, dtype=torch.float64)
        run(host, text, (read,), blocks=1, threads=64, shared_bytes=64 * 8)
        results.append(read)
    assert not torch.equal(*results)


def test_arguments_of_another_size(host: Host) -> None:
    kernel = host.kernel(kernel_text("", threads=32, memory=1), "test", torch.device("cpu"))
    with pytest.raises(RuntimeError, match="another size"):
        kernel.launch(1, 32, 0, bytes(8))


def test_a_text_that_is_none_of_cpp(tmp_path: Path) -> None:
    host = Host(compiler=HostCompiler(kept=tmp_path))
    with pytest.raises(CompilationError, match="no_such_function"):
        host.kernel(kernel_text("no_such_function();", threads=32, memory=1), "test", torch.device("cpu"))


def test_more_blocks_than_it_holds(host: Host) -> None:
    kernel = host.kernel(kernel_text("", threads=32, memory=1), "test", torch.device("cpu"))
    most = host.given.multiprocessors * kernel.blocks_together(32, 0)
    assert not kernel.launch(most + 1, 32, 0, bytes(16))
