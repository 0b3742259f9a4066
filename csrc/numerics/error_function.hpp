// erf and the normal distribution function, branch-free.
#pragma once

#include "numerics/exponential.hpp"

namespace flashode::numerics {

// H in Phi(-a) = exp(-a^2/2) H(t) / (a + K), t = (a - K) / (a + K), for a >= 0.8. Minimax in t by the Remez
// exchange for the relative error, on 0.79 <= a <= 14.5 with K = 2 (float): 2^-27.3; 0.79 <= a <= 39 with K =
// 3 (double): 2^-56.3. K is near the a where rounding errors of t count most, and cancels them there.
template <class Real>
inline constexpr Real normal_tail_shift = is_float<Real> ? Real(2) : Real(3);

template <class Real>
FLASHODE_LANE Real normal_tail_polynomial(Real t) {
    if constexpr (is_float<Real>) {
        return horner(t, 0x1.5845dcp-1F, -0x1.535bbp-2F, 0x1.d7ce6cp-6F, 0x1.2cccf4p-5F, -0x1.dddd38p-12F,
                      -0x1.b9d69cp-8F, -0x1.0d7538p-9F, 0x1.f6613ap-11F, 0x1.14c4f6p-10F, -0x1.58a72ap-12F);
    } else {
        return horner(
            t, 0x1.754a751a56f4ap-1, -0x1.04c7295a48f3p-1, 0x1.d71387c654c54p-3, -0x1.832dbf6993fd5p-5,
            -0x1.56d8e3d7d689dp-7, 0x1.c8f52c348a5aap-8, 0x1.0d608c6cecf29p-10, -0x1.12285fbb63a3ap-10,
            -0x1.0d09e0b1c640bp-12, 0x1.43ca2a0ad5c59p-13, 0x1.4a8ebad840c82p-14, -0x1.bc8fe392b6192p-17,
            -0x1.5aee81925e5fp-16, -0x1.d6e972175e18fp-19, 0x1.e2e0f3c5ac3e9p-19, 0x1.2db8f443e3b6ap-19,
            0x1.e3348cdf1b61p-24, -0x1.4f3ab9d41f081p-21, -0x1.bc1cab3e65535p-22, 0x1.3190d549e85efp-23,
            0x1.6654f6ff52183p-23, -0x1.1467f57f14c15p-24);
    }
}

// Phi(-a) given square = a^2 / 2, for a >= 0.8; finite below. What a + K and its reciprocal lose in rounding
// is handed to the exponential, which can add a small relative correction without another rounding.
template <class Real>
FLASHODE_LANE Real normal_tail(Real a, Pair<Real> square) {
    const Real k = normal_tail_shift<Real>;
    const Pair<Real> d = two_sum(a, k);
    const Real w = Real(1) / d.hi;
    const Real scaled = normal_tail_polynomial(multiply_add(Real(-2) * k, w, Real(1))) * w;
    return exp_minus(Pair<Real>{square.hi, square.lo + reciprocal_error(d, w)}) * scaled;
}

// (Phi(x) - 1/2) / x as a polynomial in z = x^2, x <= 0.8. Minimax by the Remez exchange for the relative
// error: 2^-27.7 (float), 2^-61.7 (double).
template <class Real>
FLASHODE_LANE Real normal_centre_polynomial(Real z) {
    if constexpr (is_float<Real>) {
        return horner(z, 0x1.988454p-2F, -0x1.105812p-4F, 0x1.46c182p-7F, -0x1.3538e2p-10F, 0x1.a909ccp-14F);
    } else {
        return horner(z, 0x1.9884533d43651p-2, -0x1.1058377e2cedep-4, 0x1.46d0429768e2fp-7,
                      -0x1.37403f6b7c891p-10, 0x1.e42b0d3af41fcp-14, -0x1.3ce8f68a3cea1p-17,
                      0x1.658931973bf22p-21, -0x1.620150371b98cp-25, 0x1.35b21ee92e418p-29,
                      -0x1.ae2cd92407203p-34);
    }
}

// Phi(x), relatively accurate in the lower tail too, where (1 + erf(x / sqrt(2))) / 2 cancels.
template <class Real>
FLASHODE_LANE Real normal_cdf(Real x) {
    const Real a = at_most(fabs(x), Real(40));
    const Real tail = normal_tail(a, two_product(Real(0.5) * a, a));
    const Real far = x > Real(0) ? Real(1) - tail : tail;
    const Real near = multiply_add(x, normal_centre_polynomial(a * a), Real(0.5));
    return a > Real(0.8) ? far : near;
}

// erf(x) / x as a polynomial in z = x^2 <= 1. Minimax by the Remez exchange for the relative error: 2^-29.6
// (float), 2^-56.9 (double).
template <class Real>
FLASHODE_LANE Real erf_polynomial(Real z) {
    if constexpr (is_float<Real>) {
        return horner(z, 0x1.20dd74p+0F, -0x1.81273ep-2F, 0x1.ce2cf8p-4F, -0x1.b7f90ep-6F, 0x1.5405b2p-8F,
                      -0x1.a3f7p-11F, 0x1.496a32p-14F);
    } else {
        return horner(z, 0x1.20dd750429b6dp+0, -0x1.812746b0379bdp-2, 0x1.ce2f21a040d16p-4,
                      -0x1.b82ce311fa93fp-6, 0x1.565bccf92b31fp-8, -0x1.c02db03dd762ap-11,
                      0x1.f9a2baa903947p-14, -0x1.f4ca4d6f6fdeap-17, 0x1.b97fd3dabcef8p-20,
                      -0x1.5c0726f37da84p-23, 0x1.d71b0f197af5bp-27, -0x1.abae48da6a237p-31);
    }
}

template <class Real>
FLASHODE_LANE Real erf(Real x) {
    const Real a = at_most(fabs(x), Real(6));  // erf(6) rounds to 1 in either format
    const Real near = x * erf_polynomial(a * a);
    const Real tail = normal_tail(a * Real(1.41421356237309504880), two_product(a, a));
    const Real far = with_sign_of(Real(1) - Real(2) * tail, x);
    return a > Real(1) ? far : near;
}

}  // namespace flashode::numerics
