#include "cpu/workers.hpp"

#include <pthread.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

namespace flashode::cpu {

namespace {

// Rounds follow each other within microseconds, and waking a sleeper takes tens of them.
constexpr int SPINS = 2'000;

void pause_briefly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

void take_parts(Round& round, int worker) {
    for (int part = round.next.fetch_add(1); part < round.parts; part = round.next.fetch_add(1)) {
        round.call(round.job, worker, part);
    }
}

Round* next_round(Post& post) {
    for (int spin = 0; spin < SPINS; ++spin) {
        Round* round = post.round.load(std::memory_order_acquire);
        if (round != nullptr) return round;
        pause_briefly();
    }
    post.round.wait(nullptr, std::memory_order_acquire);
    return post.round.load(std::memory_order_acquire);
}

[[noreturn]] void serve(Post& post) {
    for (;;) {
        Round* round = next_round(post);
        // Not before: its number in this team is written with the round.
        take_parts(*round, post.worker);
        // The round is its team's again from here on.
        post.round.store(nullptr, std::memory_order_release);
    }
}

class Pool {
   public:
    // Up to so many threads that nobody uses.
    std::vector<Post*> take(int wanted) {
        const std::lock_guard<std::mutex> held(mutex_);
        while (static_cast<int>(posts_.size()) < wanted && add_thread()) {
        }
        std::vector<Post*> taken;
        while (static_cast<int>(taken.size()) < wanted && !idle_.empty()) {
            taken.push_back(idle_.back());
            idle_.pop_back();
        }
        return taken;
    }

    void give_back(const std::vector<Post*>& posts) {
        const std::lock_guard<std::mutex> held(mutex_);
        idle_.insert(idle_.end(), posts.begin(), posts.end());
    }

   private:
    // False where the system allows no more.
    bool add_thread() {
        auto post = std::make_unique<Post>();
        try {
            std::thread(serve, std::ref(*post)).detach();
        } catch (const std::system_error&) {
            return false;
        }
        idle_.push_back(post.get());
        posts_.push_back(std::move(post));
        return true;
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
    Pool* found = pool.load();
    if (found == nullptr) {
        auto made = std::make_unique<Pool>();
        if (pool.compare_exchange_strong(found, made.get())) found = made.release();
    }
    return *found;
}

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
    if (forks_ != forks.load()) others_.clear();
    for (Post* post : others_) {
        post->round.store(&round, std::memory_order_release);
        post->round.notify_one();
    }
    take_parts(round, 0);
    for (Post* post : others_) {
        for (int spin = 0; post->round.load(std::memory_order_acquire) != nullptr; ++spin) {
            if (spin < SPINS) {
                pause_briefly();
            } else {
                std::this_thread::sleep_for(std::chrono::microseconds(50));
                if (meanwhile) meanwhile();
            }
        }
    }
}

}  // namespace flashode::cpu
