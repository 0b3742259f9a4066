// Sums over all threads of a launch, the same bits each time: lanes of a warp by halves, warps in their
// order, of the blocks first each 32nd in their order and then those sums by halves. The only thing that
// blocks tell each other in a solve, and the barrier between them.
//
// A block puts its sum where all can see it, and adds up what all others put: once it has seen every sum of a
// round, no block is still before it. It says nothing of other memory, and waits for none: blocks do not read
// each other's tiles. Where one is to read what others have written, exchange_with_blocks() is for that.
// Two sets of slots suffice, for who is a round ahead has seen all sums of the round before.
#pragma once

#include <cstdint>

#include "cuda/machine.hpp"

namespace flashode::cuda {

// What a launch is given to take sums with. Rounds of one launch follow each other; no slot has held one of
// them before.
struct Slots {
    Slot* at;             // (2, MAX_SUMS, blocks)
    std::uint64_t round;  // of the next sum
};

// Room in shared memory: one number for each warp that a block can have.
inline constexpr int MAX_WARPS = 32;
inline constexpr int REDUCTION_BYTES = MAX_WARPS * static_cast<int>(sizeof(double));

// What numbers are taken together by.
struct Sum {
    FLASHODE_DEVICE static double of(double a, double b) { return a + b; }
};
struct Largest {
    FLASHODE_DEVICE static double of(double a, double b) { return a > b ? a : b; }
};

namespace detail {

FLASHODE_DEVICE double* warp_sums() { return shared_memory<double>(); }

template <class Together>
FLASHODE_DEVICE double of_warp(double value) {
#pragma unroll
    for (int bits = WARP / 2; bits > 0; bits /= 2) value = Together::of(value, from_lane_xor(value, bits));
    return value;
}

// Of the block alone.
template <int Threads, class Together>
FLASHODE_DEVICE double of_block(double value) {
    constexpr int warps = Threads / WARP;
    static_assert(Threads % WARP == 0 && warps <= MAX_WARPS);
    value = of_warp<Together>(value);
    if constexpr (warps == 1) return value;
    double* sums = warp_sums();
    if (thread() % WARP == 0) sums[thread() / WARP] = value;
    sync_block();
    double sum = 0.0;
    for (int warp = 0; warp < warps; ++warp) sum = Together::of(sum, sums[warp]);
    sync_block();
    return sum;
}

template <int Threads, class Together, int Count>
FLASHODE_DEVICE void of_blocks(double (&sums)[Count], Slots& slots) {
    static_assert(Count <= MAX_SUMS);
    for (double& sum : sums) sum = of_block<Threads, Together>(sum);
    if (blocks() == 1) return;
    Slot* now = slots.at + (slots.round & 1U) * static_cast<unsigned>(MAX_SUMS * blocks());
    if (thread() == 0) {
        for (int i = 0; i < Count; ++i) store_slot(now + i * blocks() + block(), {sums[i], slots.round});
    }
    if (thread() < WARP) {
        for (int i = 0; i < Count; ++i) {
            double sum = 0.0;
            for (int other = thread(); other < blocks(); other += WARP) {
                Slot slot = load_slot(now + i * blocks() + other);
                while (slot.round != slots.round) {
                    wait_for_others();
                    slot = load_slot(now + i * blocks() + other);
                }
                sum = Together::of(sum, slot.value);
            }
            sum = of_warp<Together>(sum);
            if (thread() == 0) warp_sums()[i] = sum;
        }
    }
    ++slots.round;
    sync_block();
    for (int i = 0; i < Count; ++i) sums[i] = warp_sums()[i];
    sync_block();
}

}  // namespace detail

// Of the block alone; every thread has it.
template <int Threads>
FLASHODE_DEVICE double sum_of_block(double value) {
    return detail::of_block<Threads, Sum>(value);
}

// Of all blocks; every thread has them.
template <int Threads, int Count>
FLASHODE_DEVICE void sum_of_blocks(double (&sums)[Count], Slots& slots) {
    detail::of_blocks<Threads, Sum>(sums, slots);
}

// The largest of numbers that are not negative.
template <int Threads>
FLASHODE_DEVICE double largest_of_blocks(double value, Slots& slots) {
    double largest[1] = {value};
    detail::of_blocks<Threads, Largest>(largest, slots);
    return largest[0];
}

// A barrier after which all blocks may read, past their first-level caches (from_other_block), what any of
// them has written to global memory before it.
template <int Threads>
FLASHODE_DEVICE void exchange_with_blocks(Slots& slots) {
    sync_block();
    if (blocks() == 1) return;
    fence();
    double nothing[1] = {0.0};
    sum_of_blocks<Threads>(nothing, slots);
    fence();
}

}  // namespace flashode::cuda
