// What a kernel sees of the machine that runs it: CUDA's own words, or, where FLASHODE_HOST_MACHINE names
// one, a header that stands in for them.
//
// Kernels are written for a block whose threads all take the same way through the control flow: barriers
// stand outside of whatever depends on a thread.
#pragma once

#include <cstdint>

#include "cuda/slot.hpp"
#include "numerics/platform.hpp"

#ifdef FLASHODE_HOST_MACHINE

#include FLASHODE_HOST_MACHINE

#else

// FLASHODE_DEVICE: a function that is part of whatever calls it.
// FLASHODE_ONCE: one that is compiled once, however often it is called. No pointer into shared memory may be
// carried into it, nor `this`: the compiler would have to load through them without knowing which memory they
// lead to, from a stack.
// FLASHODE_TABLE: in front of an array of numbers that are known when the kernel is compiled.
#define FLASHODE_DEVICE __device__ __forceinline__
#define FLASHODE_ONCE __device__ __noinline__
#define FLASHODE_TABLE __device__ const
// FLASHODE_KERNEL: of blocks of so many threads, of which so many have the registers of a multiprocessor.
#define FLASHODE_KERNEL(threads, together) extern "C" __global__ void __launch_bounds__(threads, together)
#define FLASHODE_ARGUMENTS const __grid_constant__

namespace flashode::cuda {

inline constexpr int WARP = 32;

FLASHODE_DEVICE int thread() { return static_cast<int>(threadIdx.x); }
FLASHODE_DEVICE int block() { return static_cast<int>(blockIdx.x); }
FLASHODE_DEVICE int blocks() { return static_cast<int>(gridDim.x); }

FLASHODE_DEVICE void sync_block() { __syncthreads(); }
// What the threads of a warp have read and written before, in shared memory too, is over for all of them.
FLASHODE_DEVICE void sync_warp() { __syncwarp(); }

// That of the lane whose number differs from the own one in these bits. All lanes of a warp call it.
FLASHODE_DEVICE double from_lane_xor(double value, int bits) {
    return __shfl_xor_sync(0xffffffffU, value, bits);
}

// The memory of the block, as much as the launch asks for, aligned to 16 bytes.
template <class Real>
FLASHODE_DEVICE Real* shared_memory() {
    extern __shared__ __align__(16) char memory[];
    return reinterpret_cast<Real*>(memory);
}

// An address that the compiler is to know as one of global memory.
template <class Real>
FLASHODE_DEVICE const Real* global_memory(const void* address) {
    __builtin_assume(__isGlobal(address));
    return static_cast<const Real*>(address);
}

// Written and read as one: who sees the round sees the value. 16 bytes are so from sm_70 on, and need
// PTX 8.3. Nothing is said of other memory, and so nothing waits for it or leaves a cache.
FLASHODE_DEVICE void store_slot(Slot* to, Slot slot) {
    asm volatile(
        "{ .reg .b128 both; mov.b128 both, {%1, %2}; st.relaxed.gpu.global.b128 [%0], both; }" ::"l"(to),
        "l"(__double_as_longlong(slot.value)), "l"(slot.round)
        : "memory");
}
FLASHODE_DEVICE Slot load_slot(const Slot* from) {
    long long value;
    unsigned long long round;
    asm volatile("{ .reg .b128 both; ld.relaxed.gpu.global.b128 both, [%2]; mov.b128 {%0, %1}, both; }"
                 : "=l"(value), "=l"(round)
                 : "l"(from)
                 : "memory");
    return {__longlong_as_double(value), round};
}

// While a thread waits for another block.
FLASHODE_DEVICE void wait_for_others() {}

// A number that a thread of another block may have written before a barrier between blocks.
template <class Real>
FLASHODE_DEVICE Real from_other_block(const Real* address) {
    return __ldcg(address);
}

// All that this thread has written to global memory is seen by whoever sees what it writes from here on.
FLASHODE_DEVICE void fence() { __threadfence(); }
// What other blocks have written before a fence, and any thread of this block has seen to be so, all see.
FLASHODE_DEVICE void fence_and_sync_block() {
    fence();
    sync_block();
}

}  // namespace flashode::cuda

#endif
