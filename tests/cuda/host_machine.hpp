// The kernels' machine on the host, for tests: each thread of each block is a fiber, and a barrier a place
// where all of them must meet. Included by cuda/machine.hpp in the place of CUDA's own words.
//
// What it finds that a GPU would not tell: a result that depends on the order in which fibers run is a race;
// a thread that leaves while others of its block have yet to meet, all waiting for each other, and writing
// beside shared memory are errors with a text; shared memory, and what is beside it, starts as NaN. What it
// cannot: how memory of a GPU is ordered, and warps that diverge.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "host_fibers.hpp"

// Whether they are inlined changes nothing here; where they need not be, kernels compile in half the time.
#define FLASHODE_DEVICE inline
#define FLASHODE_ONCE inline
#define FLASHODE_TABLE static constexpr
#define FLASHODE_KERNEL(threads, together) inline void
#define FLASHODE_ARGUMENTS const

namespace flashode::cuda {

inline constexpr int WARP = host::WARP;

inline int thread() { return host::self().thread; }
inline int block() { return host::self().block->index; }
inline int blocks() { return host::self().block->launch->blocks(); }

inline void sync_block() { host::meet(host::self().block->all); }

inline void sync_warp() { host::meet(host::self().block->warps[thread() / WARP].all); }

inline double from_lane_xor(double value, int bits) {
    host::Fiber& fiber = host::self();
    host::Warp& warp = fiber.block->warps[fiber.thread / WARP];
    // Two places: who is here again has seen all others leave the first.
    double* exchange = warp.exchange[fiber.exchanges++ % 2];
    exchange[fiber.thread % WARP] = value;
    host::meet(warp.all);
    return exchange[(fiber.thread ^ bits) % WARP];
}

template <class Real>
inline Real* shared_memory() {
    return static_cast<Real*>(static_cast<void*>(host::self().block->shared));
}

template <class Real>
inline const Real* global_memory(const void* address) {
    return static_cast<const Real*>(address);
}

inline void store_slot(Slot* to, Slot slot) {
    *to = slot;
    host::self().block->launch->wake_those_who_poll();
}
inline Slot load_slot(const Slot* from) { return *from; }
inline void wait_for_others() { host::poll(); }
inline void fence() {}
inline void fence_and_sync_block() {}
template <class Real>
inline Real from_other_block(const Real* address) {
    return *address;
}

namespace host {

// 0, or 1 with a message.
template <class Arguments>
int run_kernel(void (*kernel)(const void*), const char* bytes, std::size_t count, int blocks, int threads,
               std::size_t shared_bytes, unsigned order, char* message, std::size_t room) {
    alignas(Arguments) char arguments[sizeof(Arguments)];
    if (count != sizeof(Arguments)) {
        std::strncpy(message, "the arguments have another size than the kernel takes", room - 1);
        return 1;
    }
    std::memcpy(arguments, bytes, count);
    const char* failure = Launch(blocks, threads, shared_bytes, order).run(kernel, arguments);
    if (failure == nullptr) return 0;
    std::strncpy(message, failure, room - 1);
    return 1;
}

}  // namespace host

}  // namespace flashode::cuda
