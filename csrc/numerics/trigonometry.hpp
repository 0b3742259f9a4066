// sin and cos. The branch-free forms reduce by Cody and Waite with as many parts of pi/2 as keep full
// relative accuracy next to every zero up to trigonometric_limit; beyond it, where a table of the bits of
// 2/pi is needed, the standard library (which has one) is asked.
#pragma once

#include "numerics/arithmetic.hpp"

namespace flashode::numerics::inline FLASHODE_ISA {

// In float, n = x 2/pi is rounded from a product that may be wrong by n 2^-24, which must stay a small part
// of 1; in double, |n| <= 2^26 keeps its products with 27-bit parts of pi/2 exact.
template <class Real>
inline constexpr Real trigonometric_limit = is_float<Real> ? Real(5.0e5) : Real(1.0e8);

// x = n pi/2 + r + r_lo; quadrant holds n modulo 4 in its low bits.
template <class Real>
struct QuarterTurns {
    Real r;
    Real r_lo;
    BitsOf<Real> quadrant;
};

FLASHODE_LANE QuarterTurns<float> reduce_quarter_turns(float x) {
    // In double the products with two 31-bit parts are exact and the third part is enough for any float.
    const float magic = 0x1.8p+23F;
    const float shifted = multiply_add(x, 0x1.45f306p-1F, magic);
    const auto n = static_cast<double>(shifted - magic);
    double r = multiply_add(-n, 0x1.921fb544p+0, static_cast<double>(x));
    r = multiply_add(-n, 0x1.0b4611a4p-34, r);
    r = multiply_add(-n, 0x1.13198a2e03707p-65, r);
    return {static_cast<float>(r), 0.0F, to_bits(shifted)};
}

FLASHODE_LANE QuarterTurns<double> reduce_quarter_turns(double x) {
    const double magic = 0x1.8p+52;
    const double shifted = multiply_add(x, 0x1.45f306dc9c883p-1, magic);
    const double n = shifted - magic;
    // The first difference is exact; next to a zero the second one cancels down to the size of the third.
    const double first = multiply_add(-n, 0x1.921fb54p+0, x);
    const Pair<double> second = two_sum(first, -n * 0x1.10b461p-30);
    const Pair<double> third = two_sum(second.hi, -n * 0x1.a62633p-58);
    const double rest = multiply_add(-n, 0x1.45c06e0e68948p-86, second.lo + third.lo);
    const double r = third.hi + rest;
    return {r, (third.hi - r) + rest, to_bits(shifted)};
}

// Polynomials in z = r^2 with sin r = r + r z S(z), cos r = 1 - z/2 + z^2 C(z) on |r| <= 1.0002 pi/4. Minimax
// by the Remez exchange, errors 2^-27.2 and 2^-33.2 (float), 2^-57.1 and 2^-64.2 (double).
template <class Real>
FLASHODE_LANE Real sin_polynomial(Real z) {
    if constexpr (is_float<Real>) {
        return horner(z, -0x1.555546p-3F, 0x1.1106b4p-7F, -0x1.99054ep-13F);
    } else {
        return horner(z, -0x1.555555555554cp-3, 0x1.111111110fb28p-7, -0x1.a01a019c2b74bp-13,
                      0x1.71de356ac57e2p-19, -0x1.ae5e48aa8c368p-26, 0x1.5d86641ed5179p-33);
    }
}

template <class Real>
FLASHODE_LANE Real cos_polynomial(Real z) {
    if constexpr (is_float<Real>) {
        return horner(z, 0x1.55554ap-5F, -0x1.6c0c86p-10F, 0x1.9a00cep-16F);
    } else {
        return horner(z, 0x1.555555555554cp-5, -0x1.6c16c16c15162p-10, 0x1.a01a019caef43p-16,
                      -0x1.27e4f807d69ebp-22, 0x1.1ee9ea6d0edfcp-29, -0x1.8fadd09506569p-37);
    }
}

// sin(r + r_lo + quadrant pi/2)
template <class Real>
FLASHODE_LANE Real sin_of_quarter_turns(QuarterTurns<Real> q) {
    const Real z = q.r * q.r;
    const Real half_z = Real(0.5) * z;
    const Real lead = Real(1) - half_z;
    const Real sine = q.r + multiply_add(q.r * z, sin_polynomial(z), q.r_lo * lead);
    const Real cosine_rest = multiply_add(z * z, cos_polynomial(z), -q.r * q.r_lo);
    const Real cosine = lead + (((Real(1) - lead) - half_z) + cosine_rest);
    const Real magnitude = (q.quadrant & 1) != 0 ? cosine : sine;
    return from_bits<Real>(to_bits(magnitude) ^ ((q.quadrant >> 1) << (8 * sizeof(Real) - 1)));
}

// For |x| <= trigonometric_limit; NaN passes.
template <class Real>
FLASHODE_LANE Real sin_moderate(Real x) {
    const Real y = sin_of_quarter_turns(reduce_quarter_turns(x));
    // The reduction loses the sign of zero.
    return x == Real(0) ? x : y;
}

template <class Real>
FLASHODE_LANE Real cos_moderate(Real x) {
    QuarterTurns<Real> q = reduce_quarter_turns(x);
    q.quadrant += 1;
    return sin_of_quarter_turns(q);
}

template <class Real>
FLASHODE_LANE Real sin(Real x) {
#if defined(__CUDA_ARCH__)
    return ::sin(x);
#else
    return fabs(x) > trigonometric_limit<Real> ? std::sin(x) : sin_moderate(x);
#endif
}

template <class Real>
FLASHODE_LANE Real cos(Real x) {
#if defined(__CUDA_ARCH__)
    return ::cos(x);
#else
    return fabs(x) > trigonometric_limit<Real> ? std::cos(x) : cos_moderate(x);
#endif
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
