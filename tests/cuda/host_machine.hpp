// The kernels' machine on the host, for tests: each thread of each block is a fiber, and a barrier a place
// where all of them must meet. Included by cuda/machine.hpp in the place of CUDA's own words.
//
// What it finds that a GPU would not tell: a result that depends on the order in which fibers run is a race;
// a thread that leaves while others of its block wait, or all waiting for each other, is an error with a
// text; shared memory starts as NaN. What it cannot: how memory of a GPU is ordered, and warps that diverge.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#define FLASHODE_DEVICE inline __attribute__((always_inline))
#define FLASHODE_ONCE inline __attribute__((noinline))
#define FLASHODE_TABLE static constexpr
#define FLASHODE_KERNEL(threads) inline void
#define FLASHODE_ARGUMENTS const

namespace flashode::cuda {

inline constexpr int WARP = 32;

namespace host {

// Of those who meet.
struct Meeting {
    int expected = 0;
    int arrived = 0;
    unsigned generation = 0;
};

struct Block {
    Meeting all;
    std::vector<Meeting> warps;
    std::vector<double> exchange;  // one a thread
    std::unique_ptr<char[]> shared;
    std::size_t shared_bytes = 0;
};

struct Fiber {
    ucontext_t context{};
    std::unique_ptr<char[]> stack;
    int block = 0;
    int thread = 0;
    bool done = false;
};

class Launch;
inline thread_local Launch* launched = nullptr;

class Launch {
   public:
    // order: 0 runs the fibers one after another, 1 the other way round, any other shuffles them.
    Launch(int blocks, int threads, std::size_t shared_bytes, unsigned order)
        : blocks_(static_cast<std::size_t>(blocks)) {
        for (Block& block : blocks_) {
            block.all.expected = threads;
            block.warps.resize(static_cast<std::size_t>((threads + WARP - 1) / WARP));
            block.exchange.resize(static_cast<std::size_t>(threads));
            block.shared_bytes = shared_bytes;
            block.shared = std::make_unique<char[]>(shared_bytes + ALIGNMENT);
            std::memset(block.shared.get(), 0xff, shared_bytes + ALIGNMENT);
        }
        fibers_.resize(blocks_.size() * static_cast<std::size_t>(threads));
        for (std::size_t i = 0; i < fibers_.size(); ++i) {
            fibers_[i].block = static_cast<int>(i) / threads;
            fibers_[i].thread = static_cast<int>(i) % threads;
            ++own_block(fibers_[i]).warps[static_cast<std::size_t>(fibers_[i].thread / WARP)].expected;
        }
        turns_.resize(fibers_.size());
        std::iota(turns_.begin(), turns_.end(), std::size_t{0});
        if (order == 1) turns_.assign(turns_.rbegin(), turns_.rend());
        if (order > 1) std::shuffle(turns_.begin(), turns_.end(), std::mt19937(order));
    }

    // Empty, or what went wrong.
    std::string run(const std::function<void()>& kernel) {
        kernel_ = &kernel;
        launched = this;
        for (Fiber& fiber : fibers_) {
            fiber.stack = std::make_unique<char[]>(STACK);
            getcontext(&fiber.context);
            fiber.context.uc_stack.ss_sp = fiber.stack.get();
            fiber.context.uc_stack.ss_size = STACK;
            fiber.context.uc_link = &scheduler_;
            makecontext(&fiber.context, enter, 0);
        }
        std::size_t left = fibers_.size();
        while (left > 0 && failure_.empty()) {
            happened_ = false;
            for (const std::size_t turn : turns_) {
                now_ = &fibers_[turn];
                if (now_->done) continue;
                swapcontext(&scheduler_, &now_->context);
                if (now_->done) --left;
                if (!failure_.empty()) break;
            }
            if (!happened_ && failure_.empty()) failure_ = "all threads wait, for each other";
        }
        launched = nullptr;
        return failure_;
    }

    int thread() const { return now_->thread; }
    int block() const { return now_->block; }
    int blocks() const { return static_cast<int>(blocks_.size()); }
    Block& own_block() { return own_block(*now_); }

    void wait() { swapcontext(&now_->context, &scheduler_); }
    // What others may wait for.
    void happen() { happened_ = true; }

    void meet(Meeting& meeting) {
        const unsigned generation = meeting.generation;
        if (++meeting.arrived == meeting.expected) {
            meeting.arrived = 0;
            ++meeting.generation;
            happen();
            return;
        }
        while (meeting.generation == generation) wait();
    }
    void meet_warp() { meet(own_block().warps[static_cast<std::size_t>(thread() / WARP)]); }

   private:
    static constexpr std::size_t STACK = std::size_t{128} << 10;
    static constexpr std::size_t ALIGNMENT = 16;

    static void enter() {
        Launch& launch = *launched;
        (*launch.kernel_)();
        launch.leave();
    }

    void leave() {
        now_->done = true;
        happen();
        Block& block = own_block();
        if (block.all.arrived > 0) failure_ = "a thread left while others of its block wait at a barrier";
        --block.all.expected;
    }

    Block& own_block(const Fiber& fiber) { return blocks_[static_cast<std::size_t>(fiber.block)]; }

    std::vector<Block> blocks_;
    std::vector<Fiber> fibers_;
    std::vector<std::size_t> turns_;
    const std::function<void()>* kernel_ = nullptr;
    Fiber* now_ = nullptr;
    ucontext_t scheduler_{};
    bool happened_ = false;
    std::string failure_;
};

// 0, or 1 with a message.
template <class Arguments, class Kernel>
int run_kernel(const Kernel& kernel, const char* bytes, std::size_t count, int blocks, int threads,
               std::size_t shared_bytes, unsigned order, char* message, std::size_t room) {
    std::string failure;
    if (count == sizeof(Arguments)) {
        Arguments arguments;
        std::memcpy(static_cast<void*>(&arguments), bytes, count);
        failure = Launch(blocks, threads, shared_bytes, order).run([&] { kernel(arguments); });
    } else {
        failure = "the arguments have " + std::to_string(count) + " bytes, the kernel takes " +
                  std::to_string(sizeof(Arguments));
    }
    std::strncpy(message, failure.c_str(), room - 1);
    return failure.empty() ? 0 : 1;
}

}  // namespace host

inline int thread() { return host::launched->thread(); }
inline int block() { return host::launched->block(); }
inline int blocks() { return host::launched->blocks(); }

inline void sync_block() { host::launched->meet(host::launched->own_block().all); }

inline double from_lane_xor(double value, int bits) {
    host::Launch& launch = *host::launched;
    std::vector<double>& exchange = launch.own_block().exchange;
    exchange[static_cast<std::size_t>(thread())] = value;
    launch.meet_warp();
    const double other = exchange[static_cast<std::size_t>(thread() ^ bits)];
    launch.meet_warp();
    return other;
}

template <class Real>
inline Real* shared_memory() {
    void* memory = host::launched->own_block().shared.get();
    std::size_t space = host::launched->own_block().shared_bytes + 16;
    return static_cast<Real*>(std::align(16, 1, memory, space));
}

template <class Real>
inline const Real* global_memory(const void* address) {
    return static_cast<const Real*>(address);
}

inline void store_slot(Slot* to, Slot slot) {
    *to = slot;
    host::launched->happen();
}
inline Slot load_slot(const Slot* from) { return *from; }
inline void wait_for_others() { host::launched->wait(); }
inline void fence() {}

}  // namespace flashode::cuda
