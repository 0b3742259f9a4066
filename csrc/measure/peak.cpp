// Threads that work side by side for a while, and how much they get done.
#include "measure/peak.hpp"

#include <algorithm>
#include <chrono>
#include <latch>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

namespace flashode::measure {

namespace {

using Clock = std::chrono::steady_clock;

// Threads side by side: each prepares, waits for the others, and then works until the time is up. Returns
// their rates together, in whatever unit a call of `work` returns.
template <class Prepare, class Work>
double rate_together(int threads, double seconds, const Prepare& prepare, const Work& work) {
    std::vector<double> rates(static_cast<std::size_t>(threads));
    std::latch ready(threads);
    const auto run = [&](std::size_t thread) {
        prepare(thread);
        ready.arrive_and_wait();
        const Clock::time_point begin = Clock::now();
        double done = 0.0;
        double elapsed = 0.0;
        do {
            done += work(thread);
            elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
        } while (elapsed < seconds);
        rates[thread] = done / elapsed;
    };
    {
        std::vector<std::jthread> workers;
        workers.reserve(rates.size());
        try {
            for (std::size_t thread = 0; thread < rates.size(); ++thread) workers.emplace_back(run, thread);
        } catch (...) {
            // Those that did start must not wait for ever.
            ready.count_down(static_cast<std::ptrdiff_t>(rates.size() - workers.size()));
            throw;
        }
    }
    return std::accumulate(rates.begin(), rates.end(), 0.0);
}

}  // namespace

double arithmetic_rate(const MultiplyAdds& work, int threads, double seconds) {
    // Some tens of microseconds, beside which reading the clock is nothing.
    constexpr std::int64_t ROUNDS = 10'000;
    // Where a result goes that nobody needs, so that it is computed.
    std::vector<double> sums(static_cast<std::size_t>(threads));
    return rate_together(
        threads, seconds, [](std::size_t) {},
        [&](std::size_t thread) {
            sums[thread] += work.run(ROUNDS);
            return 2.0 * static_cast<double>(ROUNDS * work.per_round);
        });
}

double memory_rate(const PeakKernels& kernels, int threads, std::size_t bytes, double seconds) {
    struct Arrays {
        std::unique_ptr<double[]> sum, a, b;
    };
    const auto count = static_cast<std::size_t>(threads);
    const std::size_t size = bytes / (3 * sizeof(double) * count);
    std::vector<Arrays> arrays(count);
    for (Arrays& own : arrays) {
        for (auto* array : {&own.sum, &own.a, &own.b})
            *array = std::make_unique_for_overwrite<double[]>(size);
    }
    return rate_together(
        threads, seconds,
        // The thread that writes to memory first has it close by.
        [&](std::size_t thread) {
            const Arrays& own = arrays[thread];
            std::fill_n(own.sum.get(), size, 0.0);
            std::fill_n(own.a.get(), size, 1.0);
            std::fill_n(own.b.get(), size, 2.0);
        },
        [&](std::size_t thread) {
            const Arrays& own = arrays[thread];
            kernels.triad(own.sum.get(), own.a.get(), own.b.get(), 0.5, size);
            return 3.0 * sizeof(double) * static_cast<double>(size);
        });
}

}  // namespace flashode::measure
