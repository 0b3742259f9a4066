// Branch-free building blocks of the elementary functions.
#pragma once

#include "numerics/platform.hpp"

namespace flashode::numerics::inline FLASHODE_ISA {

// A function of the standard library's, for either precision and as fast as a loop over lanes needs it.
#define FLASHODE_STANDARD(name, of_standard) \
    template <class Real>                    \
    FLASHODE_LANE Real name(Real x) {        \
        return std::of_standard(x);          \
    }
FLASHODE_STANDARD(fabs, fabs)
FLASHODE_STANDARD(sqrt, sqrt)
FLASHODE_STANDARD(floor, floor)
FLASHODE_STANDARD(ceil, ceil)
FLASHODE_STANDARD(trunc, trunc)
FLASHODE_STANDARD(round, rint)  // halves go to even; std::round takes them away from zero

// What a slope makes of a gradient. Where none passes it is zero whatever the two are: zero times infinity,
// which the root's slope is at zero, would be NaN.
template <class Real>
FLASHODE_LANE Real chained(bool passes, Real grad, Real slope) {
    return passes ? grad * slope : Real(0);
}

// -1, 0 or 1; 0 for NaN, as torch.sign.
template <class Real>
FLASHODE_LANE Real sign(Real x) {
    const Real below = x < Real(0) ? Real(-1) : Real(0);
    return x > Real(0) ? Real(1) : below;
}

// The magnitude of a non-negative value with the sign of another.
template <class Real>
FLASHODE_LANE Real with_sign_of(Real magnitude, Real signed_value) {
    const BitsOf<Real> sign_bit = BitsOf<Real>(1) << (8 * sizeof(Real) - 1);
    return from_bits<Real>(to_bits(magnitude) | (to_bits(signed_value) & sign_bit));
}

// These keep NaN: they write the comparison so that NaN fails it.
template <class Real>
FLASHODE_LANE Real at_most(Real x, Real bound) {
    return x > bound ? bound : x;
}

template <class Real>
FLASHODE_LANE Real at_least(Real x, Real bound) {
    return x < bound ? bound : x;
}

// c0 + c1 x + c2 x^2 + ...
template <class Real>
FLASHODE_LANE Real horner(Real, Real c0) {
    return c0;
}

template <class Real, class... Rest>
FLASHODE_LANE Real horner(Real x, Real c0, Rest... rest) {
    return multiply_add(horner(x, rest...), x, c0);
}

// A value as an unevaluated sum: |lo| is small beside |hi|.
template <class Real>
struct Pair {
    Real hi;
    Real lo;
};

// Knuth's two-sum: hi = a + b rounded, lo its error, whatever the order of magnitudes.
template <class Real>
FLASHODE_LANE Pair<Real> two_sum(Real a, Real b) {
    const Real hi = a + b;
    const Real b_seen = hi - a;
    return {hi, (a - (hi - b_seen)) + (b - b_seen)};
}

// The leading half of the significand: products of two such values are exact.
template <class Real>
FLASHODE_LANE Real leading_half(Real x) {
    return from_bits<Real>(to_bits(x) & (~BitsOf<Real>(0) << (FloatFormat<Real>::mantissa_bits + 2) / 2));
}

// hi = a * b rounded, lo its error: by a fused operation, or by Dekker's splitting where there is none.
template <class Real>
FLASHODE_LANE Pair<Real> two_product(Real a, Real b) {
    const Real hi = a * b;
#if FLASHODE_FUSED
    return {hi, multiply_add(a, b, -hi)};
#else
    const Real a_head = leading_half(a);
    const Real a_tail = a - a_head;
    const Real b_head = leading_half(b);
    const Real b_tail = b - b_head;
    return {hi, ((a_head * b_head - hi) + (a_head * b_tail + a_tail * b_head)) + a_tail * b_tail};
#endif
}

// 1 / b from a value close to it, by Newton's method: twice as many bits are right.
template <class Real>
FLASHODE_LANE Real refined_reciprocal(Real b, Real rough) {
    return multiply_add(multiply_add(-rough, b, Real(1)), rough, rough);
}

// a / b from 1 / b, wrong by a unit in the last place or so: the error of the product is taken out. A zero
// may lose its sign.
template <class Real>
FLASHODE_LANE Real refined_quotient(Real a, Real b, Real reciprocal) {
    const Real rough = a * reciprocal;
    return multiply_add(multiply_add(-rough, b, a), reciprocal, rough);
}

// a / b within an elementary function, whose own error hides that of the last bit; for |b| > 2^-120, and
// beyond 2^120 it may be zero. An exact division on the device takes several times as many instructions, and
// a call for rare operands. A Program's own divisions are exact, as torch's.
template <class Real>
FLASHODE_LANE Real quotient(Real a, Real b) {
#if defined(__CUDA_ARCH__)
    Real reciprocal;
    if constexpr (is_float<Real>) {
        asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(reciprocal) : "f"(b));  // wrong by one unit at most
    } else {
        asm("rcp.approx.ftz.f64 %0, %1;" : "=d"(reciprocal) : "d"(b));  // by 2^-20 or so
        reciprocal = refined_reciprocal(b, refined_reciprocal(b, reciprocal));
    }
    return refined_quotient(a, b, reciprocal);
#else
    return a / b;
#endif
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
