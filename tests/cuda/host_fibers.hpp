// Threads of a launch as fibers of one thread of the host, which run in turns until each has ended.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define FLASHODE_OWN_SWITCH
#else
#include <ucontext.h>
#endif

namespace flashode::cuda::host {

inline constexpr int WARP = 32;
inline constexpr int MOST_WARPS = 32;

class Launch;

// Of those who meet.
struct Meeting {
    Launch* launch = nullptr;
    int expected = 0;
    int arrived = 0;
    int left = 0;
    unsigned generation = 0;
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

struct Fiber {
    Context context{};
    Block* block = nullptr;
    int thread = 0;
    unsigned exchanges = 0;
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
    // order: 0 runs the fibers one after another, 1 the other way round, any other shuffles them.
    Launch(int blocks, int threads, std::size_t shared_bytes, unsigned order)
        : block_count_(blocks),
          fiber_count_(blocks * threads),
          shared_bytes_((shared_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT),
          blocks_(new Block[static_cast<std::size_t>(blocks)]),
          turns_(new int[static_cast<std::size_t>(fiber_count_)]),
          shared_(new char[static_cast<std::size_t>(blocks) * shared_stride()]),
          stacks_(
              static_cast<char*>(std::aligned_alloc(STACK, static_cast<std::size_t>(fiber_count_) * STACK))) {
        std::memset(shared_, 0xff, static_cast<std::size_t>(blocks) * shared_stride());
        for (int b = 0; b < blocks; ++b) {
            Block& block = blocks_[b];
            block.launch = this;
            block.index = b;
            block.shared = shared_ + static_cast<std::size_t>(b) * shared_stride() + GUARD;
            block.all.launch = this;
            block.all.expected = threads;
            for (int w = 0; w * WARP < threads; ++w) {
                block.warps[w].all.launch = this;
                block.warps[w].all.expected = std::min(WARP, threads - w * WARP);
            }
        }
        for (int i = 0; i < fiber_count_; ++i) {
            turns_[i] = order == 1 ? fiber_count_ - 1 - i : i;
            Fiber& fiber = *new (stack(i)) Fiber;
            fiber.block = &blocks_[i / threads];
            fiber.thread = i % threads;
            make_context(fiber.context, stack(i) + sizeof(Fiber), STACK - sizeof(Fiber), enter);
        }
        if (order > 1) std::shuffle(turns_, turns_ + fiber_count_, std::mt19937(order));
    }
    Launch(const Launch&) = delete;
    Launch& operator=(const Launch&) = delete;
    ~Launch() {
        std::free(stacks_);
        delete[] shared_;
        delete[] turns_;
        delete[] blocks_;
    }

    // Null, or what went wrong.
    const char* run(void (*kernel)(const void*), const void* arguments) {
        kernel_ = kernel;
        arguments_ = arguments;
        int left = fiber_count_;
        while (left > 0 && failure_ == nullptr) {
            happened_ = false;
            for (int i = 0; i < fiber_count_ && failure_ == nullptr; ++i) {
                Fiber& fiber = *static_cast<Fiber*>(static_cast<void*>(stack(turns_[i])));
                if (fiber.done) continue;
                switch_context(&scheduler_, &fiber.context);
                if (fiber.done) --left;
            }
            if (!happened_) fail("all threads wait, for each other");
        }
        if (failure_ == nullptr && !guards_are_whole()) fail("a thread wrote beside shared memory");
        return failure_;
    }

    int blocks() const { return block_count_; }

    void leave_to_others(Fiber& fiber) { switch_context(&fiber.context, &scheduler_); }
    // What others may wait for.
    void happen() { happened_ = true; }
    void fail(const char* what) {
        if (failure_ == nullptr) failure_ = what;
    }

   private:
    static constexpr std::size_t ALIGNMENT = 16;
    // Before and after the shared memory of a block.
    static constexpr std::size_t GUARD = 1024;

    static void enter() {
        Fiber& fiber = self();
        Launch& launch = *fiber.block->launch;
        launch.kernel_(launch.arguments_);
        launch.leave(fiber, fiber.block->all);
        launch.leave(fiber, fiber.block->warps[fiber.thread / WARP].all);
        for (;;) launch.leave_to_others(fiber);
    }

    void leave(Fiber& fiber, Meeting& meeting) {
        fiber.done = true;
        happen();
        ++meeting.left;
        if (meeting.arrived > 0) fail("a thread left while others of its block wait at a barrier");
    }

    bool guards_are_whole() const {
        for (int b = 0; b < block_count_; ++b) {
            const char* shared = blocks_[b].shared;
            for (const char* guard : {shared - GUARD, shared + shared_bytes_}) {
                if (std::any_of(guard, guard + GUARD, [](char byte) { return byte != '\xff'; })) return false;
            }
        }
        return true;
    }

    std::size_t shared_stride() const { return shared_bytes_ + 2 * GUARD; }
    char* stack(int fiber) const { return stacks_ + static_cast<std::size_t>(fiber) * STACK; }

    int block_count_;
    int fiber_count_;
    std::size_t shared_bytes_;
    Block* blocks_;
    int* turns_;
    char* shared_;
    char* stacks_;
    void (*kernel_)(const void*) = nullptr;
    const void* arguments_ = nullptr;
    Context scheduler_{};
    bool happened_ = false;
    const char* failure_ = nullptr;
};

inline void wait() {
    Fiber& fiber = self();
    fiber.block->launch->leave_to_others(fiber);
}

inline void meet(Meeting& meeting) {
    if (meeting.left > 0) {
        meeting.launch->fail("a thread waits at a barrier that another of its block has left behind");
        for (;;) wait();
    }
    const unsigned generation = meeting.generation;
    if (++meeting.arrived == meeting.expected) {
        meeting.arrived = 0;
        ++meeting.generation;
        meeting.launch->happen();
        return;
    }
    while (meeting.generation == generation) wait();
}

}  // namespace flashode::cuda::host
