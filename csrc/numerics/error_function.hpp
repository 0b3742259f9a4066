// erf and the normal distribution function, branch-free.
#pragma once

#include "numerics/exponential.hpp"

namespace flashode::numerics::inline FLASHODE_ISA {

// M in a Phi(-a) = exp(-a^2/2) M(t), t = (a - K) / (a + K), for a >= 0.8. Minimax in t by the Remez exchange
// for the relative error, on 0.79 <= a <= 14.5 with K = 3 (float): 2^-27.4; 0.79 <= a <= 39 with K = 4
// (double): 2^-56.2. The factor a makes M nearly constant in the tail, so that it hardly feels the rounding
// of t.
template <class Real>
FLASHODE_LANE Real normal_tail_polynomial(Real t) {
    if constexpr (is_float<Real>) {
        return horner(t, 0x1.754a76p-2F, 0x1.c20d32p-4F, -0x1.1e04aep-3F, 0x1.76478ep-4F, -0x1.d8d03p-6F,
                      -0x1.c7debp-10F, 0x1.03ed12p-8F, -0x1.3639aep-15F, -0x1.1fa464p-11F);
    } else {
        return horner(t, 0x1.82b4bb8c94dcep-2, 0x1.2dda040d62d08p-4, -0x1.c41d6bcaf8535p-4,
                      0x1.9adc525a90551p-4, -0x1.024df8efd2f33p-4, 0x1.b0ffe01d98045p-6,
                      -0x1.691976fae977ap-8, -0x1.e4abd38cae95p-11, 0x1.ce76f6f33156fp-11,
                      -0x1.99ff2fc1ec196p-15, -0x1.e8a4f753b02cp-14, 0x1.16d23b5faf8b1p-16,
                      0x1.2cd9e74e188b5p-16, -0x1.5db1ff2e0511cp-19, -0x1.b81e58efaeb0bp-19,
                      0x1.bb76e63004c54p-23, 0x1.5f0944539544bp-21, 0x1.51412cacb74bep-25,
                      -0x1.0fcb33b43f32fp-23, -0x1.0d0e906ccb4afp-26, 0x1.3a6ab7ff39048p-26);
    }
}

// a Phi(-a) given square = a^2 / 2, for a >= 0.8; finite below.
template <class Real>
FLASHODE_LANE Real normal_tail_times(Real a, Pair<Real> square) {
    const Real k = is_float<Real> ? Real(3) : Real(4);
    return exp_minus(square) * normal_tail_polynomial(quotient(a - k, a + k));
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

// Where |x| is small enough for Phi(x) = 1/2 + x * normal_centre_polynomial(x^2) not to cancel.
template <class Real>
inline constexpr Real normal_centre = Real(0.8);

// Phi(x), relatively accurate in the lower tail too, where (1 + erf(x / sqrt(2))) / 2 cancels.
template <class Real>
FLASHODE_LANE Real normal_cdf(Real x) {
    const Real a = at_most(fabs(x), Real(40));  // 0 or 1 beyond
    const Real tail = quotient(normal_tail_times(a, two_product(Real(0.5) * a, a)), a);
    const Real far = x > Real(0) ? Real(1) - tail : tail;
    const Real near = multiply_add(x, normal_centre_polynomial(a * a), Real(0.5));
    return a > normal_centre<Real> ? far : near;
}

// x Phi(x). The zero far below keeps its sign, and at -inf it is NaN, as in torch: -inf times zero.
template <class Real>
FLASHODE_LANE Real gelu(Real x) {
    const Real a = at_most(fabs(x), Real(40));
    const Real tail = normal_tail_times(a, two_product(Real(0.5) * a, a));
    const Real far = x * (x > Real(0) ? Real(1) : Real(0)) - tail;
    const Real near = x * multiply_add(x, normal_centre_polynomial(a * a), Real(0.5));
    return a > normal_centre<Real> ? far : near;
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
    const Real b = a * Real(1.41421356237309504880);
    const Real tail = quotient(normal_tail_times(b, two_product(a, a)), b);
    const Real far = with_sign_of(Real(1) - Real(2) * tail, x);
    return a > Real(1) ? far : near;
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
