// Threads that share the work of one solve.
//
// They belong to a pool of this process, which grows to the size of its largest team. A team takes those that
// are idle, maybe none: no solve waits for another, and the number of threads changes how long one takes and
// nothing else.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <vector>

namespace flashode::cpu {

// A piece of work for all members of a team: they take its parts in turn until none is left.
struct Round {
    void (*call)(const void* job, int worker, int part) = nullptr;
    const void* job = nullptr;
    int parts = 0;
    unsigned float_modes = 0;  // the calling thread's: whether denormal numbers are flushed, and so on
    std::atomic<int> next{0};
    std::atomic<bool> failed{false};
    std::exception_ptr error;  // of the first worker whose job threw
};

// Where a thread of the pool finds what to do. One to a cache line: it is looked at all the time.
struct alignas(64) Post {
    enum State : int { EMPTY, POSTED, TAKEN };
    std::atomic<int> state{EMPTY};
    int worker = 0;
    Round* round = nullptr;
};

class Team {
   public:
    // The calling thread and up to `size` - 1 others.
    explicit Team(int size);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const { return static_cast<int>(others_.size()) + 1; }

    // Seconds that the calling thread had nothing left to do and waited for the others.
    double waited() const { return std::chrono::duration<double>(waited_).count(); }

    // Calls job(worker, part) once for each part of 0 … parts - 1, and returns when all are done. Workers are
    // 0 … size() - 1, the calling thread is the first, which calls `meanwhile` now and then when there is
    // nothing left but to wait. What either throws is thrown here, after the parts that had begun.
    template <class Job>
    void run(int parts, const Job& job, const std::function<void()>& meanwhile = {}) {
        if (others_.empty() || parts == 1) {
            for (int part = 0; part < parts; ++part) job(0, part);
            return;
        }
        Round round;
        round.call = [](const void* erased, int worker, int part) {
            (*static_cast<const Job*>(erased))(worker, part);
        };
        round.job = &job;
        round.parts = parts;
        share(round, meanwhile);
    }

   private:
    void share(Round& round, const std::function<void()>& meanwhile);

    std::vector<Post*> others_;
    unsigned forks_;  // of this process when the team was made
    std::chrono::steady_clock::duration waited_{0};
};

}  // namespace flashode::cpu
