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

// What numbers are taken together by.
struct Sum {
    FLASHODE_DEVICE static double of(double a, double b) { return a + b; }
};
struct Largest {
    FLASHODE_DEVICE static double of(double a, double b) { return a > b ? a : b; }
};

// Sum number `which` of the round, once it has been taken.
FLASHODE_DEVICE double& sum_of_round(int which) { return shared_memory<double>()[MAX_WARPS + which]; }

namespace detail {

template <class Together>
FLASHODE_DEVICE double of_warp(double value) {
#pragma unroll
    for (int bits = WARP / 2; bits > 0; bits /= 2) value = Together::of(value, from_lane_xor(value, bits));
    return value;
}

}  // namespace detail

// Takes sum number `which` over the block. Solves take sums at some ten places.
template <int Threads, class Together = Sum>
FLASHODE_ONCE static void take_block(int which, double value) {
    constexpr int warps = Threads / WARP;
    static_assert(Threads % WARP == 0 && warps <= MAX_WARPS);
    value = detail::of_warp<Together>(value);
    if constexpr (warps > 1) {
        double* of_warps = shared_memory<double>();
        if (thread() % WARP == 0) of_warps[thread() / WARP] = value;
        sync_block();
        value = 0.0;
        for (int warp = 0; warp < warps; ++warp) value = Together::of(value, of_warps[warp]);
    } else {
        sync_warp();  // the sum before has been read
    }
    if (thread() == 0) sum_of_round(which) = value;
    sync_block();
}

// Takes the first `count` sums, which have been taken over the block, over all blocks.
template <class Together = Sum>
FLASHODE_ONCE static void take_blocks(int count, Slot* slots, std::uint64_t round) {
    Slot* now = slots + (round & 1U) * static_cast<unsigned>(MAX_SUMS * blocks());
    if (thread() == 0) {
        for (int i = 0; i < count; ++i) store_slot(now + i * blocks() + block(), {sum_of_round(i), round});
    }
    if (thread() < WARP) {
        for (int i = 0; i < count; ++i) {
            double sum = 0.0;
            for (int other = thread(); other < blocks(); other += WARP) {
                Slot slot = load_slot(now + i * blocks() + other);
                while (slot.round != round) {
                    wait_for_others();
                    slot = load_slot(now + i * blocks() + other);
                }
                sum = Together::of(sum, slot.value);
            }
            sum = detail::of_warp<Together>(sum);
            if (thread() == 0) sum_of_round(i) = sum;
        }
    }
    sync_block();
}
template <class Together = Sum>
FLASHODE_DEVICE void take_blocks(int count, Slots& slots) {
    if (blocks() > 1) take_blocks<Together>(count, slots.at, slots.round++);
}

// Of the block alone; every thread has it.
template <int Threads>
FLASHODE_DEVICE double sum_of_block(double value) {
    take_block<Threads>(0, value);
    return sum_of_round(0);
}

// Of all blocks; every thread has them.
template <int Threads, int Count>
FLASHODE_DEVICE void sum_of_blocks(double (&sums)[Count], Slots& slots) {
    static_assert(Count <= MAX_SUMS);
#pragma unroll
    for (int i = 0; i < Count; ++i) take_block<Threads>(i, sums[i]);
    take_blocks(Count, slots);
#pragma unroll
    for (int i = 0; i < Count; ++i) sums[i] = sum_of_round(i);
}

// The largest of numbers that are not negative.
template <int Threads>
FLASHODE_DEVICE double largest_of_blocks(double value, Slots& slots) {
    take_block<Threads, Largest>(0, value);
    take_blocks<Largest>(1, slots);
    return sum_of_round(0);
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
    fence_and_sync_block();
}

}  // namespace flashode::cuda
