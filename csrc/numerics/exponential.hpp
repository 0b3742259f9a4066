// exp and expm1, branch-free: x = n ln2 + r with |r| <= ln2 / 2, and a polynomial in r.
#pragma once

#include "numerics/arithmetic.hpp"

namespace flashode::numerics::inline FLASHODE_ISA {

template <class Real>
struct ExpConstants;

// ln2_hi has so few bits that n * ln2_hi is exact. Adding round_magic rounds to an integer and leaves n + 256
// (or n + 2048) in the low bits of the sum, where integer shifts turn it into powers of two; conversions
// from double to 64-bit integers, which AVX2 lacks, are not needed.
template <>
struct ExpConstants<float> {
    static constexpr float log2_e = 0x1.715476p+0F;
    static constexpr float ln2_hi = 0x1.62e4p-1F;
    static constexpr float ln2_lo = 0x1.7f7d1cp-20F;
    static constexpr float round_magic = 0x1.8p+23F + 256.0F;
    static constexpr std::uint32_t round_offset = 256;
    static constexpr float overflow = 89.0F;     // exp is infinite from here on
    static constexpr float underflow = -104.0F;  // and rounds to zero from here down
    static constexpr float expm1_is_minus_one = -18.0F;
};

template <>
struct ExpConstants<double> {
    static constexpr double log2_e = 0x1.71547652b82fep+0;
    static constexpr double ln2_hi = 0x1.62e42fefa2p-1;
    static constexpr double ln2_lo = 0x1.9ef35793c7673p-41;
    static constexpr double round_magic = 0x1.8p+52 + 2048.0;
    static constexpr std::uint64_t round_offset = 2048;
    static constexpr double overflow = 710.0;
    static constexpr double underflow = -746.0;
    static constexpr double expm1_is_minus_one = -38.0;
};

// P in exp(r) = 1 + r + r^2 P(r). Minimax on |r| <= 1.0001 ln2 / 2 by the Remez exchange in 60 digits, for
// the error relative to expm1(r): 2^-26.1 (float), 2^-61.7 (double).
template <class Real>
FLASHODE_LANE Real exp_polynomial(Real r) {
    if constexpr (is_float<Real>) {
        return horner(r, 0x1.fffffep-2F, 0x1.5554bp-3F, 0x1.555674p-5F, 0x1.122776p-7F, 0x1.6bec0ap-10F);
    } else {
        return horner(r, 0x1p-1, 0x1.5555555555559p-3, 0x1.555555555553fp-5, 0x1.111111110f6dap-7,
                      0x1.6c16c16c1f076p-10, 0x1.a01a01afd3df1p-13, 0x1.a01a017bc7087p-16,
                      0x1.71ddf87ec10cbp-19, 0x1.27e5362b11598p-22, 0x1.af5e74f7db296p-26,
                      0x1.1ee8895081c26p-29);
    }
}

// x = n ln2 + r + r_lo; exponent holds n + round_offset.
template <class Real>
struct ExpReduction {
    Real r;
    Real r_lo;
    BitsOf<Real> exponent;
};

template <class Real>
FLASHODE_LANE ExpReduction<Real> reduce_exp(Real x) {
    using C = ExpConstants<Real>;
    const Real shifted = multiply_add(x, C::log2_e, C::round_magic);
    const Real n = shifted - C::round_magic;
    const Real r_hi = multiply_add(-n, C::ln2_hi, x);
    const Real r = multiply_add(-n, C::ln2_lo, r_hi);
    const Real r_lo = multiply_add(-n, C::ln2_lo, r_hi - r);
    return {r, r_lo, to_bits(shifted) - (to_bits(C::round_magic) - C::round_offset)};
}

// Precise forms carry the errors of the leading terms along and stay near half a unit in the last place.
// Float, whose bound is wider, saves the operations where nothing magnifies the error afterwards.
enum class Form { quick, precise };

template <class Real>
inline constexpr Form usual_form = is_float<Real> ? Form::quick : Form::precise;

// unit + scale * (exp(r + r_lo) - 1), where scale is a power of two and |unit| >= |scale| / 2, or unit is 0.
template <Form form, class Real>
FLASHODE_LANE Real affine_expm1(ExpReduction<Real> e, Real scale, Real unit) {
    const Real lead = multiply_add(scale, e.r, unit);
    if constexpr (form == Form::quick) {
        return multiply_add(scale, (e.r * e.r) * exp_polynomial(e.r), lead);
    } else {
        const Real tail = multiply_add(e.r * e.r, exp_polynomial(e.r), e.r_lo);
        const Real lead_error = multiply_add(scale, e.r, unit - lead);
        return lead + multiply_add(scale, tail, lead_error);
    }
}

// 2^(exponent - round_offset), for normal results.
template <class Real>
FLASHODE_LANE Real power_of_two(BitsOf<Real> exponent) {
    const auto bias = static_cast<BitsOf<Real>>(FloatFormat<Real>::exponent_bias);
    return from_bits<Real>((exponent + (bias - ExpConstants<Real>::round_offset))
                           << FloatFormat<Real>::mantissa_bits);
}

// exp(r + r_lo) 2^n. The power is applied in two halves, so that subnormal results are rounded once and the
// largest finite ones do not pass through infinity.
template <Form form, class Real>
FLASHODE_LANE Real scaled_exp(ExpReduction<Real> e) {
    const auto offset = ExpConstants<Real>::round_offset;
    const BitsOf<Real> half = e.exponent >> 1;
    const Real p = affine_expm1<form>(e, Real(1), Real(1));
    return (p * power_of_two<Real>(half + offset / 2)) * power_of_two<Real>(e.exponent - half + offset / 2);
}

template <Form form, class Real>
FLASHODE_LANE Real exp_in(Real x) {
    using C = ExpConstants<Real>;
    return scaled_exp<form>(reduce_exp(at_least(at_most(x, C::overflow), C::underflow)));
}

template <class Real>
FLASHODE_LANE Real exp(Real x) {
    return exp_in<usual_form<Real>>(x);
}

// exp(-x.hi - x.lo) for x.hi >= 0 and x.lo a few of its units in the last place: exp would magnify the error
// of rounding a large argument.
template <class Real>
FLASHODE_LANE Real exp_minus(Pair<Real> x) {
    ExpReduction<Real> e = reduce_exp(at_least(-x.hi, ExpConstants<Real>::underflow));
    const Real lo = e.r_lo - x.lo;
    const Real r = e.r + lo;
    e.r_lo = (e.r - r) + lo;
    e.r = r;
    return scaled_exp<Form::precise>(e);
}

// exp(x) - 1 where 2^n neither overflows nor underflows. Zeros lose their signs.
template <class Real>
FLASHODE_LANE Real expm1_moderate(Real x) {
    const ExpReduction<Real> e = reduce_exp(x);
    const Real power = power_of_two<Real>(e.exponent);
    return affine_expm1<usual_form<Real>>(e, power, power - Real(1));
}

template <class Real>
FLASHODE_LANE Real expm1(Real x) {
    using C = ExpConstants<Real>;
    const ExpReduction<Real> e = reduce_exp(at_least(at_most(x, C::overflow), C::expm1_is_minus_one));
    // Half of it, because 2^n itself overflows below the largest finite result.
    const Real half_power = power_of_two<Real>(e.exponent - 1);
    const Real half = affine_expm1<usual_form<Real>>(e, half_power, half_power - Real(0.5));
    // Halves of subnormals, and the sign of zero, would be lost.
    return fabs(x) < Real(4) * FloatFormat<Real>::smallest_normal ? x : half + half;
}

// exp(-x^2) and exp(-x^2 / 2), with x^2 carried to twice the precision.
template <class Real>
FLASHODE_LANE Real exp_minus_square(Real x) {
    const Real a = at_most(fabs(x), Real(40));  // zero beyond
    return exp_minus(two_product(a, a));
}

template <class Real>
FLASHODE_LANE Real exp_minus_half_square(Real x) {
    const Real a = at_most(fabs(x), Real(40));
    return exp_minus(two_product(Real(0.5) * a, a));
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
