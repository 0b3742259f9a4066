// The loops that the peak is measured with do the work that is counted.
#include <cmath>
#include <cstdint>
#include <vector>

#include "check.hpp"
#include "cpu/engine.hpp"
#include "measure/peak.hpp"

namespace {

namespace cpu = flashode::cpu;
namespace measure = flashode::measure;
using namespace flashode::testing;

// Chain k starts at k and halves its distance from 2 in each round, in every lane; all of it is exact.
double sum_after(std::int64_t rounds, std::int64_t numbers) {
    constexpr std::int64_t CHAINS = 12;
    double sum = 0.0;
    for (std::int64_t k = 0; k < CHAINS; ++k) {
        sum += 2.0 + (static_cast<double>(k) - 2.0) * std::ldexp(1.0, static_cast<int>(-rounds));
    }
    return sum * static_cast<double>(numbers) / CHAINS;
}

void check_arithmetic(const measure::MultiplyAdds& work) {
    CHECK(work.per_round > 0);
    for (const std::int64_t rounds : {0, 1, 2, 7}) {
        CHECK(work.run(rounds) == sum_after(rounds, work.per_round));
    }
    // So long that a denormal number on the way would show: nothing may decay to zero.
    CHECK(work.run(10'000) == 2.0 * static_cast<double>(work.per_round));
    for (const int threads : {1, 3}) {
        const double rate = measure::arithmetic_rate(work, threads, 1e-3);
        CHECK(rate > 0.0);
        CHECK(std::isfinite(rate));
    }
}

void check_memory(const measure::PeakKernels& kernels) {
    constexpr std::size_t SIZE = 37;  // a multiple of no number of lanes
    std::vector<double> a(SIZE), b(SIZE), sum(SIZE + 1, -1.0);
    for (std::size_t i = 0; i < SIZE; ++i) {
        a[i] = static_cast<double>(i);
        b[i] = static_cast<double>(i * i);
    }
    kernels.triad(sum.data(), a.data(), b.data(), 0.5, SIZE);
    for (std::size_t i = 0; i < SIZE; ++i) CHECK(sum[i] == a[i] + 0.5 * b[i]);
    CHECK(sum[SIZE] == -1.0);
    for (const int threads : {1, 3}) {
        const double rate = measure::memory_rate(kernels, threads, 3000, 1e-3);
        CHECK(rate > 0.0);
        CHECK(std::isfinite(rate));
    }
}

TEST_CASE("peak rates") {
    for (const cpu::InstructionSet& set : cpu::instruction_sets()) {
        if (!set.supported()) continue;
        const measure::PeakKernels kernels = set.peak_kernels();
        check_arithmetic(kernels.float32);
        check_arithmetic(kernels.float64);
        check_memory(kernels);
    }
}

}  // namespace
