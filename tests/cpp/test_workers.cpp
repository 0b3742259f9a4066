// A team does each part of its work once, whoever else is at work, and after a fork.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.hpp"
#include "cpu/workers/workers.hpp"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace {

namespace cpu = flashode::cpu;
using namespace flashode::testing;

// How often each part was done, and whether every worker's number was one of the team's.
bool does_each_part_once(cpu::Team& team, int parts) {
    std::vector<std::atomic<int>> done(static_cast<std::size_t>(parts));
    std::atomic<bool> known{true};
    team.run(parts, [&](int worker, int part) {
        if (worker < 0 || worker >= team.size()) known = false;
        ++done[static_cast<std::size_t>(part)];
    });
    bool once = known;
    for (const std::atomic<int>& times : done) once = once && times == 1;
    return once;
}

TEST_CASE("each part once") {
    for (const int size : {-1, 0, 1, 2, 3, 8}) {
        cpu::Team team(size);
        CHECK(team.size() == (size < 1 ? 1 : size));
        for (int round = 0; round < 200; ++round) CHECK(does_each_part_once(team, round % 17));
    }
}

// A worker that is busy keeps its number to itself.
TEST_CASE("worker numbers") {
    cpu::Team team(4);
    std::vector<std::atomic<int>> busy(4);
    std::atomic<bool> alone{true};
    team.run(500, [&](int worker, int) {
        if (++busy[static_cast<std::size_t>(worker)] != 1) alone = false;
        --busy[static_cast<std::size_t>(worker)];
    });
    CHECK(alone);
}

TEST_CASE("teams at once") {
    std::atomic<bool> right{true};
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int solve = 0; solve < 50; ++solve) {
                cpu::Team team(3);
                for (int round = 0; round < 20; ++round) {
                    if (!does_each_part_once(team, 9)) right = false;
                }
            }
        });
    }
    threads.clear();
    CHECK(right);
    // What the others had is there again.
    CHECK(cpu::Team(3).size() == 3);
}

TEST_CASE("idle seconds") {
    cpu::Team team(2);
    std::atomic<bool> asked{false};
    std::atomic<bool> gave_up{false};
    // The other worker's part lasts until the calling thread, which has none left, has been asked.
    team.run(
        2,
        [&](int worker, int) {
            const auto begin = std::chrono::steady_clock::now();
            while (worker == 1 && !asked && !gave_up) {
                std::this_thread::yield();
                if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(20)) gave_up = true;
            }
        },
        [&] { asked = true; });
    CHECK(!gave_up);
}

// What a job throws comes out of the round, in which every part that has begun ends; the team is whole after
// it.
TEST_CASE("exceptions pass through") {
    cpu::Team team(3);
    for (int round = 0; round < 50; ++round) {
        std::atomic<int> begun{0};
        std::atomic<int> ended{0};
        bool caught = false;
        try {
            team.run(40, [&](int, int part) {
                ++begun;
                if (part == round % 40) {
                    ++ended;
                    throw std::runtime_error("part");
                }
                ++ended;
            });
        } catch (const std::runtime_error&) {
            caught = true;
        }
        CHECK(caught);
        CHECK(begun == ended);
        CHECK(does_each_part_once(team, 10));
    }
}

#if defined(__SSE__)
// Whether half of the smallest normal number is zero in each of these parts.
bool all_flush(cpu::Team& team) {
    std::atomic<int> flushed{0};
    team.run(500, [&](int, int) {
        volatile float tiny = std::numeric_limits<float>::min();
        tiny = tiny * 0.5F;
        if (tiny == 0.0F) ++flushed;
    });
    CHECK((flushed == 0 || flushed == 500));
    return flushed == 500;
}

TEST_CASE("float modes") {
    constexpr unsigned FLUSH_TO_ZERO = 0x8000U;
    cpu::Team team(4);
    CHECK(!all_flush(team));
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | FLUSH_TO_ZERO);
    CHECK(all_flush(team));
    _mm_setcsr(before);
    CHECK(!all_flush(team));
}
#else
TEST_CASE("float modes") {}
#endif

// The status of a child that does this.
template <class Work>
int in_child(const Work& work) {
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);  // a child that hangs is one that fails
        _exit(work() ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

TEST_CASE("a fork") {
    cpu::Team team(3);
    CHECK(does_each_part_once(team, 10));
    CHECK(in_child([&] { return does_each_part_once(team, 10); }) == 0);
    CHECK(in_child([] {
              cpu::Team made(3);
              return made.size() == 3 && does_each_part_once(made, 10);
          }) == 0);
    CHECK(does_each_part_once(team, 10));
}

}  // namespace
