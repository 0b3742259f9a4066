"""Two barriers between blocks that are their sum at once: slots of 16 bytes, as the engine has them, and a
counter with fences."""

from __future__ import annotations

import statistics
import struct

import torch

from benchmarks.gpu import machines
from benchmarks.gpu.findings import Recorder
from benchmarks.gpu.machines import Watched
from flashode import _flashode
from flashode.memory import address

THREADS = 128
# On a multiprocessor, of which an H200 has 132.
TOGETHER = 3
BLOCKS = (1, 2, 4, 16, 32, 64, 132, 264, 396)
ROUNDS = 2000
# The host has three multiprocessors.
BLOCKS_ON_HOST = (1, 5)
ROUNDS_ON_HOST = 4
REPEATS = 7

HEAD = f"""#include "cuda/reduction.hpp"

namespace {{

using namespace flashode::cuda;

struct Arguments {{
    double* totals;     // (blocks,)
    Slot* slots;
    std::uint64_t round;
    unsigned* counter;  // zero
    double* sums;       // (2, blocks)
    int rounds;
}};

constexpr int THREADS = {THREADS};
constexpr int TOGETHER = {TOGETHER};

// Whole numbers: their sum is the same in any order.
FLASHODE_DEVICE double summand(int round) {{ return (1.0 + thread()) * (1.0 + block()) + round; }}

}}  // namespace

"""
TEXTS = {
    "slots": HEAD
    + """FLASHODE_KERNEL(THREADS, TOGETHER) barrier(FLASHODE_ARGUMENTS Arguments q) {
    Slots slots{q.slots, q.round};
    double total = 0.0;
    for (int round = 0; round < q.rounds; ++round) {
        double sum[1] = {summand(round)};
        sum_of_blocks<THREADS>(sum, slots);
        total += sum[0];
    }
    if (thread() == 0) q.totals[block()] = total;
}
""",
    "counter": HEAD
    + """#ifdef FLASHODE_HOST_MACHINE
inline void add_one(unsigned* counter) {
    ++*counter;
    host::self().block->launch->wake_those_who_poll();
}
inline unsigned read(const unsigned* counter) { return *counter; }
#else
FLASHODE_DEVICE void add_one(unsigned* counter) { atomicAdd(counter, 1U); }
FLASHODE_DEVICE unsigned read(const volatile unsigned* counter) { return *counter; }
#endif

FLASHODE_KERNEL(THREADS, TOGETHER) barrier(FLASHODE_ARGUMENTS Arguments q) {
    double total = 0.0;
    for (int round = 0; round < q.rounds; ++round) {
        const double own = sum_of_block<THREADS>(summand(round));
        double* sums = q.sums + (round & 1) * blocks();
        if (thread() == 0) {
            sums[block()] = own;
            fence();
            add_one(q.counter);
            const unsigned all = static_cast<unsigned>(round + 1) * static_cast<unsigned>(blocks());
            while (read(q.counter) < all) wait_for_others();
            fence();
        }
        sync_block();
        double sum = 0.0;
        for (int other = thread() % WARP; other < blocks(); other += WARP)
            sum += from_other_block(sums + other);
        total += detail::of_warp<Sum>(sum);
    }
    if (thread() == 0) q.totals[block()] = total;
}
""",
}


def measure(machine: Watched, host: bool, found: Recorder) -> None:
    """A round's time of both, over numbers of blocks; the sums are checked."""
    on = machines.device(machine)
    for blocks in BLOCKS_ON_HOST if host else BLOCKS:
        rounds = ROUNDS_ON_HOST if host else ROUNDS
        right, times = True, {}
        for which, text in TEXTS.items():
            seconds = []
            for _ in range(1 if host else REPEATS):
                totals = launched(machine, text, blocks, rounds, on)
                if totals is None:
                    found.add(f"barrier: {which}", None, f"the device does not hold {blocks} blocks")
                    break
                right = right and bool((totals == expected(blocks, rounds)).all())
                took = machine.launches[-1].seconds
                if took is not None:
                    seconds.append(took / rounds)
            if seconds:
                times[f"{which}, µs"] = statistics.median(seconds) * 1e6
        found.add(f"barrier of {blocks} blocks", right, "" if right else "wrong sums", times)


def launched(machine: Watched, text: str, blocks: int, rounds: int, on: torch.device) -> torch.Tensor | None:
    """The totals of all blocks; None where the device does not hold so many."""
    totals = torch.zeros(blocks, dtype=torch.float64, device=on)
    sums = torch.zeros(2, blocks, dtype=torch.float64, device=on)
    size = 2 * _flashode.cuda.MAX_SUMS * blocks * _flashode.cuda.SLOT_BYTES
    slots = torch.zeros(size, dtype=torch.uint8, device=on)
    counter = torch.zeros(1, dtype=torch.int32, device=on)
    arguments = struct.pack(
        "QQQQQi4x", address(totals), address(slots), 1, address(counter), address(sums), rounds
    )
    kernel = machine.kernel(text, "barrier", on)
    if not kernel.launch(blocks, THREADS, _flashode.cuda.REDUCTION_BYTES, arguments):
        return None
    machine.synchronize(on)
    return totals


def expected(blocks: int, rounds: int) -> float:
    """Each block's total."""
    products = (THREADS * (THREADS + 1) // 2) * (blocks * (blocks + 1) // 2)
    return float(rounds * products + THREADS * blocks * (rounds * (rounds - 1) // 2))
