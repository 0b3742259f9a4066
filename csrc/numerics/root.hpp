// Roots of doubles for the controller of step sizes: on the device in float, where pow of doubles is some 200
// instructions, half of them in double, and steps need no such precision.
#pragma once

#include "numerics/elementary.hpp"

namespace flashode::numerics::inline FLASHODE_ISA {

// With an absolute error of 2^-22 for 1 <= x <= 2.
FLASHODE_HD float quick_log2(float x) {
#if defined(__CUDA_ARCH__)
    return __log2f(x);
#else
    return numerics::log2(x);
#endif
}

// log2 of a double whose exponent no float may have, for x >= 0 or NaN: wrong by 2^-13 at most, and where x
// is about 1 by 2^-21.
FLASHODE_HD float float_log2(double x) {
    using Double = FloatFormat<double>;
    using Float = FloatFormat<float>;
    constexpr int SUBNORMAL_LOG2 = 54;
    constexpr BitsOf<float> MANTISSA = (BitsOf<float>(1) << Float::mantissa_bits) - 1;
    const bool subnormal = x < Double::smallest_normal;
    const BitsOf<double> bits = to_bits(subnormal ? x * 0x1p54 : x);
    const auto leading = static_cast<BitsOf<float>>(bits >> (Double::mantissa_bits - Float::mantissa_bits));
    const float mantissa = from_bits<float>((leading & MANTISSA) | to_bits(1.0F));
    const int biased = static_cast<int>(bits >> Double::mantissa_bits) - (subnormal ? SUBNORMAL_LOG2 : 0);
    const auto exponent = static_cast<float>(biased - Double::exponent_bias);
    const bool has_both = x > 0.0 && x < Double::infinity;
    return quick_log2(has_both ? mantissa : static_cast<float>(x)) + (has_both ? exponent : 0.0F);
}

// x^(1 / n) in float, for x >= 0 or NaN; n may be negative.
FLASHODE_HD float float_root(double x, int n) {
    return numerics::exp2(float_log2(x) * quotient(1.0F, static_cast<float>(n)));
}

// x^(1 / n)
FLASHODE_HD double root(double x, int n) {
#if defined(__CUDA_ARCH__)
    return static_cast<double>(float_root(x, n));
#else
    return ::pow(x, 1.0 / n);
#endif
}

// a / x^(1 / n)
FLASHODE_HD double over_root(double a, double x, int n) {
#if defined(__CUDA_ARCH__)
    return a * static_cast<double>(float_root(x, -n));
#else
    return a / ::pow(x, 1.0 / n);
#endif
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
