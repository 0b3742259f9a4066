// The peak's loops compiled for one instruction set, as the kernels are.
#include "cpu/vectors/simd.hpp"
#include "measure/peak.hpp"

namespace flashode::measure {

namespace FLASHODE_ISA {

namespace {

using cpu::Vector;
using cpu::VECTOR_LENGTH;

// Two units with a latency of four or five need ten at once; with two operands more they fit in 16 registers.
constexpr int CHAINS = 12;

template <class Real>
double multiply_adds(std::int64_t rounds) {
    // Volatile: a compiler that knew the numbers would know the result.
    const volatile Real half = Real(0.5);
    const volatile Real one = Real(1);
    const Vector<Real> factor = Vector<Real>{} + half;
    const Vector<Real> term = Vector<Real>{} + one;
    Vector<Real> chain[CHAINS];
    for (int k = 0; k < CHAINS; ++k) chain[k] = Vector<Real>{} + static_cast<Real>(k);
    for (std::int64_t round = 0; round < rounds; ++round) {
        for (int k = 0; k < CHAINS; ++k) chain[k] = chain[k] * factor + term;
    }
    double sum = 0.0;
    for (const Vector<Real>& one_chain : chain) {
        for (int l = 0; l < VECTOR_LENGTH<Real>; ++l) sum += static_cast<double>(one_chain[l]);
    }
    return sum;
}

template <class Real>
constexpr std::int64_t PER_ROUND = CHAINS * VECTOR_LENGTH<Real>;

void triad(double* sum, const double* a, const double* b, double factor, std::size_t size) {
    FLASHODE_LANE_LOOP
    for (std::size_t i = 0; i < size; ++i) sum[i] = a[i] + factor * b[i];
}

}  // namespace

PeakKernels peak_kernels() {
    return {{&multiply_adds<float>, PER_ROUND<float>}, {&multiply_adds<double>, PER_ROUND<double>}, &triad};
}

}  // namespace FLASHODE_ISA

}  // namespace flashode::measure
