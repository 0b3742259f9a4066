// log and log1p, branch-free. With s = f / (2 + f): log(1 + f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + R(s^2)),
// the arrangement of fdlibm, which keeps the leading term exact.
#pragma once

#include "numerics/arithmetic.hpp"

namespace flashode::numerics::inline FLASHODE_ISA {

template <class Real>
struct LogConstants;

template <>
struct LogConstants<float> {
    static constexpr std::uint32_t one = 0x3f800000U;
    static constexpr std::uint32_t sqrt_half = 0x3f3504f3U;
    static constexpr std::uint32_t mantissa = 0x007fffffU;
    static constexpr float integer_magic = 0x1p+23F;
    static constexpr float subnormal_scale = 0x1p+25F;
    static constexpr float subnormal_log2 = 25.0F;
    static constexpr float ln2_hi = 0x1.62e4p-1F;
    static constexpr float ln2_lo = 0x1.7f7d1cp-20F;
};

template <>
struct LogConstants<double> {
    static constexpr std::uint64_t one = 0x3ff0000000000000U;
    static constexpr std::uint64_t sqrt_half = 0x3fe6a09e667f3bcdU;
    static constexpr std::uint64_t mantissa = 0x000fffffffffffffU;
    static constexpr double integer_magic = 0x1p+52;
    static constexpr double subnormal_scale = 0x1p+54;
    static constexpr double subnormal_log2 = 54.0;
    static constexpr double ln2_hi = 0x1.62e42fefa2p-1;
    static constexpr double ln2_lo = 0x1.9ef35793c7673p-41;
};

// R(z) / z in 2 atanh(s) = s (2 + R(s^2)), for f in [sqrt(1/2) - 1, sqrt(2) - 1]. Minimax by the Remez
// exchange for the error relative to the logarithm: 2^-29.4 (float), 2^-58.5 (double).
template <class Real>
FLASHODE_LANE Real log_polynomial(Real z) {
    if constexpr (is_float<Real>) {
        return horner(z, 0x1.55557ap-1F, 0x1.995ae2p-2F, 0x1.327014p-2F);
    } else {
        return horner(z, 0x1.555555555557cp-1, 0x1.9999999984845p-2, 0x1.2492493faa536p-2,
                      0x1.c71c52bf19b95p-3, 0x1.7466481302b13p-3, 0x1.399d1cec619a7p-3, 0x1.2f51a7e126605p-3);
    }
}

// The same for f in [0, 1], where z <= 1/9: 2^-27.7 (float), 2^-59.3 (double).
template <class Real>
FLASHODE_LANE Real log1p_unit_polynomial(Real z) {
    if constexpr (is_float<Real>) {
        return horner(z, 0x1.5555p-1F, 0x1.99d27cp-2F, 0x1.1eb612p-2F, 0x1.1ef87p-2F);
    } else {
        return horner(z, 0x1.5555555555535p-1, 0x1.99999999a084p-2, 0x1.249249208574dp-2,
                      0x1.c71c741f8d869p-3, 0x1.745cb39b409a1p-3, 0x1.3b1de32792386p-3, 0x1.1067686e22c2p-3,
                      0x1.efdd85cdd003p-4, 0x1.559c44b1594b4p-4, 0x1.5c8a6171a8373p-3);
    }
}

// log(x) + correction, for normal positive x.
template <class Real>
FLASHODE_LANE Real log_normal(Real x, Real exponent_shift, Real correction) {
    using C = LogConstants<Real>;
    const BitsOf<Real> shifted = to_bits(x) + (C::one - C::sqrt_half);
    const BitsOf<Real> biased = shifted >> FloatFormat<Real>::mantissa_bits;
    const Real k = from_bits<Real>(biased | to_bits(C::integer_magic)) -
                   (C::integer_magic + Real(FloatFormat<Real>::exponent_bias)) - exponent_shift;
    const Real f = from_bits<Real>((shifted & C::mantissa) + C::sqrt_half) - Real(1);
    const Real s = quotient(f, Real(2) + f);
    const Real z = s * s;
    const Real half_square = Real(0.5) * f * f;
    const Real small = multiply_add(s, multiply_add(z, log_polynomial(z), half_square),
                                    multiply_add(k, C::ln2_lo, correction));
    return multiply_add(k, C::ln2_hi, f - (half_square - small));
}

// What log gives outside the positive finite numbers, chosen by x, else `inside`.
template <class Real>
FLASHODE_LANE Real log_special(Real x, Real inside) {
    const Real not_positive = x == Real(0) ? -FloatFormat<Real>::infinity : FloatFormat<Real>::nan;
    const Real positive = x == FloatFormat<Real>::infinity ? x : inside;
    return x > Real(0) ? positive : not_positive;
}

template <class Real>
FLASHODE_LANE Real log(Real x) {
    using C = LogConstants<Real>;
    const bool subnormal = x < FloatFormat<Real>::smallest_normal;
    const Real scaled = x * (subnormal ? C::subnormal_scale : Real(1));
    return log_special(x, log_normal(scaled, subnormal ? C::subnormal_log2 : Real(0), Real(0)));
}

template <class Real>
FLASHODE_LANE Real log1p(Real x) {
    const Pair<Real> u = two_sum(Real(1), x);
    const Real inside = log_special(u.hi, log_normal(u.hi, Real(0), quotient(u.lo, u.hi)));
    return fabs(x) < FloatFormat<Real>::smallest_normal ? x : inside;
}

// log(1 + e) for 0 <= e <= 1.
template <class Real>
FLASHODE_LANE Real log1p_unit(Real e) {
    const Real s = quotient(e, Real(2) + e);
    const Real z = s * s;
    const Real half_square = Real(0.5) * e * e;
    const Real rest = multiply_add(z, log1p_unit_polynomial(z), half_square);
    return e - multiply_add(-s, rest, half_square);
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
