// The most that this machine can do: what a solve's arithmetic and its traffic are measured against.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flashode::measure {

// Multiply-adds in registers alone, as many at once as it takes to keep the machine's units busy.
struct MultiplyAdds {
    double (*run)(std::int64_t rounds);  // the sum of what the registers hold then, 2 each
    std::int64_t per_round = 0;          // registers' numbers, each multiplied and added to once
};

struct PeakKernels {
    MultiplyAdds float32;
    MultiplyAdds float64;
    // sum = a + factor * b
    void (*triad)(double* sum, const double* a, const double* b, double factor, std::size_t size) = nullptr;
};

// Operations a second of so many threads together, over about so many seconds.
double arithmetic_rate(const MultiplyAdds& work, int threads, double seconds);

// Bytes a second that triads read and write, as STREAM counts them: what a cache line is read for before it
// is written is left out. The arrays take so many bytes together.
double memory_rate(const PeakKernels& kernels, int threads, std::size_t bytes, double seconds);

}  // namespace flashode::measure
