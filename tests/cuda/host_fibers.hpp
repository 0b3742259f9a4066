// Threads of a launch as fibers of one thread of the host. Of those that can go on the first in a given order
// does, so that it, or its warp, is as far ahead of the others as barriers let it be.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <numeric>
#include <random>
#include <vector>

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define FLASHODE_OWN_SWITCH
#else
#include <ucontext.h>
#endif

namespace flashode::cuda::host {

inline constexpr int WARP = 32;
inline constexpr int MOST_WARPS = 32;

class Launch;

// Of consecutive fibers, who meet.
struct Meeting {
    Launch* launch = nullptr;
    int first = 0;
    int expected = 0;
    int arrived = 0;
    bool left = false;  // by one of them, for good
};

struct Warp {
    Meeting all;
    double exchange[2][WARP];
};

struct Block {
    Launch* launch = nullptr;
    int index = 0;
    char* shared = nullptr;
    Meeting all;
    Warp warps[MOST_WARPS];
};

#ifdef FLASHODE_OWN_SWITCH

// Where a fiber stands: the end of its stack, on which is what a called function has to preserve.
using Context = void*;

// Leaves one stack for another. swapcontext asks the kernel for the signal mask each time.
__attribute__((naked, noinline)) inline void switch_context(Context*, Context*) {
    asm("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        "movq %rsp, (%rdi)\n movq (%rsi), %rsp\n"
        "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret");
}

inline void make_context(Context& context, char* stack, std::size_t size, void (*enter)()) {
    // Six registers, the function that is returned to, and what keeps the stack aligned as after a call.
    void** end = static_cast<void**>(static_cast<void*>(stack + size)) - 8;
    std::fill(end, end + 8, nullptr);
    std::memcpy(end + 6, &enter, sizeof(enter));
    context = end;
}

#else

using Context = ucontext_t;

inline void switch_context(Context* from, Context* to) { swapcontext(from, to); }

inline void make_context(Context& context, char* stack, std::size_t size, void (*enter)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = size;
    context.uc_link = nullptr;
    makecontext(&context, enter, 0);
}

#endif

// One of a launch.
struct Fiber {
    Context context{};
    Block* block = nullptr;
    int thread = 0;
    unsigned exchanges = 0;
    bool polls = false;  // waits for any slot to be stored
    bool done = false;
};

inline constexpr std::size_t STACK = std::size_t{128} << 10;

// The fiber that runs: it lies at the lowest address of its stack, which is a multiple of its size.
inline __attribute__((always_inline)) Fiber& self() {
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    return *reinterpret_cast<Fiber*>(here & ~(STACK - 1));
}

class Launch {
   public:
    // order: 0 is that of the fibers' numbers, 1 the other way round, any other shuffles them.
    Launch(int blocks, int threads, std::size_t shared_bytes, unsigned order)
        : block_count_(blocks),
          fiber_count_(blocks * threads),
          shared_bytes_((shared_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT),
          blocks_(static_cast<std::size_t>(blocks)),
          ranks_(static_cast<std::size_t>(fiber_count_)),
          fibers_(ranks_.size()),
          ready_(ranks_.size() / 64 + 1),
          stacks_(static_cast<char*>(std::aligned_alloc(STACK, ranks_.size() * STACK))) {
        std::iota(ranks_.begin(), ranks_.end(), 0);
        if (order == 1) std::reverse(ranks_.begin(), ranks_.end());
        if (order > 1) std::shuffle(ranks_.begin(), ranks_.end(), std::mt19937(order));
        for (int b = 0; b < blocks; ++b) {
            Block& block = blocks_[static_cast<std::size_t>(b)];
            block.launch = this;
            block.index = b;
            block.shared = new char[shared_bytes_ + 2 * GUARD] + GUARD;
            std::memset(block.shared - GUARD, UNWRITTEN, shared_bytes_ + 2 * GUARD);
            block.all = {this, b * threads, threads};
            for (int w = 0; w * WARP < threads; ++w)
                block.warps[w].all = {this, b * threads + w * WARP, std::min(WARP, threads - w * WARP)};
        }
        for (int i = 0; i < fiber_count_; ++i) {
            char* stack = stacks_ + static_cast<std::size_t>(i) * STACK;
            Fiber& fiber = *new (stack) Fiber;
            fiber.block = &blocks_[static_cast<std::size_t>(i / threads)];
            fiber.thread = i % threads;
            make_context(fiber.context, stack + sizeof(Fiber), STACK - sizeof(Fiber), enter);
            fibers_[rank(i)] = &fiber;
            wake(i);
        }
    }
    Launch(const Launch&) = delete;
    Launch& operator=(const Launch&) = delete;
    ~Launch() {
        std::free(stacks_);
        for (const Block& block : blocks_) delete[] (block.shared - GUARD);
    }

    // Null, or what went wrong.
    const char* run(void (*kernel)(const void*), const void* arguments) {
        kernel_ = kernel;
        arguments_ = arguments;
        for (int left = fiber_count_; left > 0 && failure_ == nullptr;) {
            Fiber* fiber = first_ready();
            if (fiber == nullptr) {
                fail("all threads wait, for each other");
            } else {
                switch_context(&scheduler_, &fiber->context);
                if (fiber->done) --left;
            }
        }
        if (failure_ == nullptr && !guards_are_whole()) fail("a thread wrote beside shared memory");
        return failure_;
    }

    int blocks() const { return block_count_; }

    // Until it is woken.
    void sleep(Fiber& fiber) {
        const std::size_t rank = this->rank(fiber.block->all.first + fiber.thread);
        ready_[rank / 64] &= ~(std::uint64_t{1} << rank % 64);
        switch_context(&fiber.context, &scheduler_);
    }
    // Those before it in the order may go on first.
    void give_way(Fiber& fiber) { switch_context(&fiber.context, &scheduler_); }

    void wake(int fiber) { ready_[rank(fiber) / 64] |= std::uint64_t{1} << rank(fiber) % 64; }
    void wake(const Meeting& meeting) {
        for (int i = 0; i < meeting.expected; ++i) wake(meeting.first + i);
    }
    void wake_those_who_poll() {
        for (int i = 0; i < fiber_count_; ++i) {
            if (fibers_[rank(i)]->polls) wake(i);
        }
    }

    void fail(const char* what) {
        if (failure_ == nullptr) failure_ = what;
    }

   private:
    static constexpr std::size_t ALIGNMENT = 16;
    static constexpr char UNWRITTEN = '\xff';
    // Before and after the shared memory of a block; the sanitizer has its own.
#ifdef __SANITIZE_ADDRESS__
    static constexpr std::size_t GUARD = 0;
#else
    static constexpr std::size_t GUARD = 1024;
#endif

    static void enter() {
        Fiber& fiber = self();
        Launch& launch = *fiber.block->launch;
        launch.kernel_(launch.arguments_);
        launch.leave(fiber.block->all);
        launch.leave(fiber.block->warps[fiber.thread / WARP].all);
        fiber.done = true;
        launch.sleep(fiber);
    }

    void leave(Meeting& meeting) {
        meeting.left = true;
        if (meeting.arrived > 0) fail("a thread left while others of its block wait at a barrier");
    }

    Fiber* first_ready() const {
        for (std::size_t word = 0; word < ready_.size(); ++word) {
            if (ready_[word] != 0)
                return fibers_[word * 64 + static_cast<std::size_t>(__builtin_ctzll(ready_[word]))];
        }
        return nullptr;
    }

    bool guards_are_whole() const {
        const auto written = [](char byte) { return byte != UNWRITTEN; };
        for (const Block& block : blocks_) {
            const char* end = block.shared + shared_bytes_;
            if (std::any_of(block.shared - GUARD, block.shared, written)) return false;
            if (std::any_of(end, end + GUARD, written)) return false;
        }
        return true;
    }

    std::size_t rank(int fiber) const {
        return static_cast<std::size_t>(ranks_[static_cast<std::size_t>(fiber)]);
    }

    int block_count_;
    int fiber_count_;
    std::size_t shared_bytes_;
    std::vector<Block> blocks_;
    std::vector<int> ranks_;            // in the order, of each fiber
    std::vector<Fiber*> fibers_;        // in that order
    std::vector<std::uint64_t> ready_;  // bits, likewise
    char* stacks_;
    void (*kernel_)(const void*) = nullptr;
    const void* arguments_ = nullptr;
    Context scheduler_{};
    const char* failure_ = nullptr;
};

inline void meet(Meeting& meeting) {
    Launch& launch = *meeting.launch;
    if (meeting.left) launch.fail("a thread waits at a barrier that another of its block has left behind");
    if (++meeting.arrived < meeting.expected) {
        launch.sleep(self());
    } else {
        meeting.arrived = 0;
        launch.wake(meeting);
        launch.give_way(self());
    }
}

// Until a slot is stored, anywhere.
inline void poll() {
    Fiber& fiber = self();
    fiber.polls = true;
    fiber.block->launch->sleep(fiber);
    fiber.polls = false;
}

}  // namespace flashode::cuda::host
