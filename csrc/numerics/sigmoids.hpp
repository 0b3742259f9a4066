// tanh, the logistic function and the smooth gates built on them, branch-free.
#pragma once

#include "numerics/exponential.hpp"
#include "numerics/logarithm.hpp"

namespace flashode::numerics::inline FLASHODE_ISA {

// e / (e + 2) with e = expm1(2 |x|). (A rational function of x^2 takes a quarter fewer operations in float,
// but its rounding errors reach 5.6 units in the last place.)
template <class Real>
FLASHODE_LANE Real tanh(Real x) {
    const Real a = at_most(fabs(x), is_float<Real> ? Real(10) : Real(20));  // rounds to 1 beyond
    const Real e = expm1_moderate(a + a);
    if constexpr (is_float<Real>) {
        return with_sign_of(quotient(e, e + Real(2)), x);
    } else {
        // Takes out the rounding error of the denominator, whose reciprocal is (1 - y) / 2.
        const Pair<Real> d = two_sum(Real(2), e);
        const Real y = quotient(e, d.hi);
        return with_sign_of(multiply_add(-y, d.lo * (Real(0.5) * (Real(1) - y)), y), x);
    }
}

// 1 / (1 + exp(-x)) from e = exp(-|x|), relatively accurate on both sides.
template <class Real>
FLASHODE_LANE Real sigmoid_from(Real x, Real e) {
    const Real d = Real(1) + e;
    const Real y = quotient(x < Real(0) ? e : Real(1), d);
    if constexpr (is_float<Real>) {
        return y;
    } else {
        // As in tanh; 1 / d is the larger of y and 1 - y.
        const Real d_lo = (Real(1) - d) + e;
        return multiply_add(-y, d_lo * at_least(y, Real(1) - y), y);
    }
}

template <class Real>
FLASHODE_LANE Real sigmoid(Real x) {
    return sigmoid_from(x, numerics::exp(-fabs(x)));
}

// log(1 + exp(x))
template <class Real>
FLASHODE_LANE Real softplus(Real x) {
    return (x > Real(0) ? x : Real(0)) + log1p_unit(numerics::exp(-fabs(x)));
}

// tanh(softplus(x)) = n / (n + 2) with n = e^x (e^x + 2).
template <class Real>
FLASHODE_LANE Real tanh_softplus(Real x) {
    const Real e = exp_in<Form::precise>(at_most(x, Real(20)));  // the quotient rounds to 1 from here on
    const Real n = multiply_add(e, e, e + e);
    return quotient(n, n + Real(2));
}

// sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)) = (1 + tanh(...)) / 2. The argument a (linear + cubic a^2) is
// carried to twice the precision, because the lower tail magnifies its error.
template <class Real>
FLASHODE_LANE Real gelu_tanh_gate(Real x) {
    constexpr Real linear = is_float<Real> ? Real(0x1.988454p+0) : Real(0x1.9884533d43651p+0);
    constexpr Real cubic = is_float<Real> ? Real(0x1.2444f2p-4) : Real(0x1.2444f2a4d8b4bp-4);
    constexpr Real linear_lo = is_float<Real> ? Real(-0x1.857936p-25) : Real(-0x1.cbc0d30ebfd15p-54);
    constexpr Real cubic_lo = is_float<Real> ? Real(0x1.49b16ap-29) : Real(-0x1.6c843a29d1c70p-61);
    const Real a = at_most(fabs(x), is_float<Real> ? Real(11) : Real(22));  // 0 or 1 beyond
    const Pair<Real> square = two_product(a, a);
    const Pair<Real> bend = two_product(cubic, square.hi);
    const Pair<Real> slope = two_sum(linear, bend.hi);
    const Real slope_lo =
        slope.lo + (bend.lo + multiply_add(cubic, square.lo, multiply_add(cubic_lo, square.hi, linear_lo)));
    const Pair<Real> lead = two_product(a, slope.hi);
    return sigmoid_from(x, exp_minus(Pair<Real>{lead.hi, multiply_add(a, slope_lo, lead.lo)}));
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
