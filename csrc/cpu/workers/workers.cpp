#include "cpu/workers/workers.hpp"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace flashode::cpu {

namespace {

// Rounds follow each other within microseconds, and waking a sleeper takes tens of them.
constexpr int SPINS = 2'000;
constexpr std::chrono::microseconds NAP{50};

#if defined(__x86_64__)
constexpr unsigned EXCEPTIONS_SEEN = 0x3FU;  // no modes, though in the same register

void pause_briefly() { _mm_pause(); }
unsigned float_modes() { return _mm_getcsr() & ~EXCEPTIONS_SEEN; }
void set_float_modes(unsigned modes) { _mm_setcsr(modes); }
#elif defined(__aarch64__)
void pause_briefly() { asm volatile("yield"); }
unsigned float_modes() {
    std::uint64_t modes = 0;
    asm volatile("mrs %0, fpcr" : "=r"(modes));
    return static_cast<unsigned>(modes);
}
void set_float_modes(unsigned modes) { asm volatile("msr fpcr, %0" ::"r"(std::uint64_t{modes})); }
#else
void pause_briefly() {}
unsigned float_modes() { return 0; }
void set_float_modes(unsigned) {}
#endif

void take_parts(Round& round, int worker) {
    for (int part = round.next.fetch_add(1); part < round.parts; part = round.next.fetch_add(1)) {
        round.call(round.job, worker, part);
    }
}

// Everything that has not begun is left undone.
void stop(Round& round) { round.next.store(round.parts); }

void wait_for_round(const Post& post) {
    for (int spin = 0; spin < SPINS; ++spin) {
        if (post.state.load() == Post::POSTED) return;
        pause_briefly();
    }
    post.state.wait(Post::EMPTY);
}

[[noreturn]] void serve(Post& post) {
    for (;;) {
        wait_for_round(post);
        int posted = Post::POSTED;
        if (!post.state.compare_exchange_strong(posted, Post::TAKEN)) continue;
        Round& round = *post.round;
        set_float_modes(round.float_modes);
        try {
            take_parts(round, post.worker);
        } catch (...) {
            stop(round);
            if (!round.failed.exchange(true)) round.error = std::current_exception();
        }
        // The round is its team's again from here on.
        post.state.store(Post::EMPTY);
    }
}

class Pool {
   public:
    // Up to so many threads that nobody uses.
    std::vector<Post*> take(int wanted) {
        const std::lock_guard<std::mutex> held(mutex_);
        while (static_cast<int>(posts_.size()) < wanted && add_thread()) {
        }
        const std::size_t count = std::min(static_cast<std::size_t>(wanted), idle_.size());
        const auto first = idle_.end() - static_cast<std::ptrdiff_t>(count);
        std::vector<Post*> taken(first, idle_.end());
        idle_.erase(first, idle_.end());
        return taken;
    }

    void give_back(const std::vector<Post*>& posts) {
        const std::lock_guard<std::mutex> held(mutex_);
        idle_.insert(idle_.end(), posts.begin(), posts.end());
    }

   private:
    // False where the system allows no more.
    bool add_thread() {
        // Nothing may fail once the thread looks at its post; nor does giving back.
        posts_.reserve(posts_.size() + 1);
        idle_.reserve(posts_.size() + 1);
        auto post = std::make_unique<Post>();
        if (!start(*post)) return false;
        idle_.push_back(post.get());
        posts_.push_back(std::move(post));
        return true;
    }

    // Signals are other threads' business: to whoever waits for one they must not get lost here.
    static bool start(Post& post) {
        sigset_t all;
        sigset_t before;
        sigfillset(&all);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigdelset(&all, fault);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        bool started = true;
        try {
            std::thread(serve, std::ref(post)).detach();
        } catch (const std::system_error&) {
            started = false;
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        return started;
    }

    std::mutex mutex_;
    std::vector<std::unique_ptr<Post>> posts_;
    std::vector<Post*> idle_;
};

// A pool is never destroyed: its threads look at their posts until the process ends. A fork copies none of
// them, so that the child has to begin anew, and knows by the count that the teams it inherits have no
// others.
std::atomic<Pool*> pool{nullptr};
std::atomic<unsigned> forks{0};

void begin_anew() {
    pool.store(nullptr);
    forks.fetch_add(1);
}

Pool& shared_pool() {
    static const int registered = pthread_atfork(nullptr, nullptr, begin_anew);
    static_cast<void>(registered);
    Pool* current = pool.load();
    if (current == nullptr) {
        auto fresh = std::make_unique<Pool>();
        if (pool.compare_exchange_strong(current, fresh.get())) current = fresh.release();
    }
    return *current;
}

// Waits until no other thread is at work on the round; whatever unwinds the calling thread, they may not go
// on with what it takes away.
class Finish {
   public:
    Finish(Round& round, const std::vector<Post*>& others, const unsigned& forks_before)
        : round_(round), others_(others), forks_before_(forks_before) {}
    Finish(const Finish&) = delete;
    Finish& operator=(const Finish&) = delete;
    ~Finish() {
        stop(round_);
        wait({});
    }

    void wait(const std::function<void()>& meanwhile) {
        for (Post* post : others_) {
            // A thread that has not woken up yet need not.
            int posted = Post::POSTED;
            post->state.compare_exchange_strong(posted, Post::EMPTY);
            for (int spin = 0; post->state.load() != Post::EMPTY; ++spin) {
                if (forks_before_ != forks.load()) return;  // they are in the other process
                if (spin < SPINS) {
                    pause_briefly();
                } else {
                    std::this_thread::sleep_for(NAP);
                    if (meanwhile) meanwhile();
                }
            }
        }
    }

   private:
    Round& round_;
    const std::vector<Post*>& others_;
    const unsigned& forks_before_;
};

}  // namespace

Team::Team(int size) : forks_(forks.load()) {
    if (size < 2) return;
    others_ = shared_pool().take(size - 1);
    for (std::size_t i = 0; i < others_.size(); ++i) others_[i]->worker = static_cast<int>(i) + 1;
}

Team::~Team() {
    if (!others_.empty() && forks_ == forks.load()) shared_pool().give_back(others_);
}

void Team::share(Round& round, const std::function<void()>& meanwhile) {
    if (forks_ != forks.load()) {  // this is the child, which has inherited a team without its threads
        others_.clear();
        forks_ = forks.load();
    }
    round.float_modes = float_modes();
    {
        Finish finish(round, others_, forks_);
        for (Post* post : others_) {
            post->round = &round;
            post->state.store(Post::POSTED);
            post->state.notify_one();
        }
        take_parts(round, 0);
        const auto idle_since = std::chrono::steady_clock::now();
        finish.wait(meanwhile);
        waited_ += std::chrono::steady_clock::now() - idle_since;
    }
    if (round.error) std::rethrow_exception(round.error);
    if (forks_ != forks.load()) throw std::runtime_error("the process was forked in the middle of a solve");
}

}  // namespace flashode::cpu
