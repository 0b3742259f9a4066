// Values and derivatives of the Program's binary functions, with torch's conventions.
#pragma once

#include "numerics/elementary.hpp"
#include "numerics/function_names.hpp"

namespace flashode::numerics::inline FLASHODE_ISA {

// The square root of a^2 + b^2, of numbers near one, so that no square overflows or vanishes.
template <class Real>
FLASHODE_LANE Real hypotenuse(Real a, Real b) {
    const Real width = numerics::fabs(a);
    const Real height = numerics::fabs(b);
    const Real size = width > height ? width : height;
    const Real unit = size == Real(0) ? Real(1) : size;
    const Real x = width / unit;
    const Real y = height / unit;
    const Real length = size * numerics::sqrt(x * x + y * y);
    const bool infinite = (width == FloatFormat<Real>::infinity) | (height == FloatFormat<Real>::infinity);
    return infinite ? FloatFormat<Real>::infinity : length;
}

// log(base**a + base**b), where rate = log(base). Infinities may be equal, but have no difference.
template <class Real>
FLASHODE_LANE Real log_of_sum(Real a, Real b, Real rate) {
    const Real larger = ((a > b) | (a != a)) ? a : b;
    const Real rest = numerics::log1p_unit(numerics::exp(-rate * numerics::fabs(a - b)));
    const bool same = (a == b) & (numerics::fabs(a) == FloatFormat<Real>::infinity);
    return same ? a : larger + rest / rate;
}

template <BinaryFn F, class Real>
FLASHODE_LANE Real binary_value(Real a, Real b) {
    if constexpr (F == BinaryFn::add) return a + b;
    if constexpr (F == BinaryFn::sub) return a - b;
    if constexpr (F == BinaryFn::mul) return a * b;
    if constexpr (F == BinaryFn::div) return a / b;
    // NaN in either argument wins: in a by the second test, in b because every comparison with it is false.
    if constexpr (F == BinaryFn::maximum) return ((a > b) | (a != a)) ? a : b;
    if constexpr (F == BinaryFn::minimum) return ((a < b) | (a != a)) ? a : b;
    if constexpr (F == BinaryFn::power) return numerics::pow(a, b);
    if constexpr (F == BinaryFn::atan2) return numerics::atan2(a, b);
    if constexpr (F == BinaryFn::hypot) return hypotenuse(a, b);
    if constexpr (F == BinaryFn::logaddexp) return log_of_sum(a, b, Real(1));
    if constexpr (F == BinaryFn::logaddexp2) return log_of_sum(a, b, Real(0.693147180559945309417));
    // Zero times anything is zero here, but for NaN.
    if constexpr (F == BinaryFn::xlogy) return (a == Real(0)) & (b == b) ? Real(0) : a * numerics::log(b);
    if constexpr (F == BinaryFn::xlog1py) return (a == Real(0)) & (b == b) ? Real(0) : a * numerics::log1p(b);
    if constexpr (F == BinaryFn::prelu) {
        const Real below = b * a;
        return a > Real(0) ? a : below;
    }
    if constexpr (F == BinaryFn::floor_divide) {
        const Real quotient = numerics::floor_division(a, b).quotient;
        return quotient == Real(0) ? numerics::with_sign_of(Real(0), a / b) : quotient;
    }
    if constexpr (F == BinaryFn::trunc_divide) return numerics::trunc(a / b);
    if constexpr (F == BinaryFn::fmod) return numerics::fmod(a, b);
    if constexpr (F == BinaryFn::remainder) return numerics::floor_division(a, b).rest;
    if constexpr (F == BinaryFn::lt) return a < b ? Real(1) : Real(0);
    if constexpr (F == BinaryFn::le) return a <= b ? Real(1) : Real(0);
    if constexpr (F == BinaryFn::eq) return a == b ? Real(1) : Real(0);
    if constexpr (F == BinaryFn::ne) return a != b ? Real(1) : Real(0);
}

// Whether a gradient passes at all, to a and to b.
template <BinaryFn F, class Real>
FLASHODE_LANE void binary_passes([[maybe_unused]] Real a, [[maybe_unused]] Real b, bool& to_a, bool& to_b) {
    if constexpr (F == BinaryFn::maximum) {
        to_a = !(a < b);
        to_b = !(a > b);
    } else if constexpr (F == BinaryFn::minimum) {
        to_a = !(a > b);
        to_b = !(a < b);
    } else if constexpr (F == BinaryFn::power) {
        to_a = b != Real(0);
        to_b = true;  // its slope is masked, where a is zero, and not the gradient
    } else if constexpr (F == BinaryFn::prelu) {
        to_a = true;
        to_b = !(a > Real(0));
    } else if constexpr (multiplies_logarithm(F)) {
        to_a = !((a == Real(0)) & (b <= (F == BinaryFn::xlogy ? Real(0) : Real(-1))));
        to_b = true;
    } else {
        static_assert(!is_masking(F));
        to_a = !is_flat(F);
        to_b = !is_flat(F);
    }
}

// da = dy/da and db = dy/db, where y = binary_value<F>(a, b).
template <BinaryFn F, class Real>
FLASHODE_LANE void binary_derivatives([[maybe_unused]] Real a, [[maybe_unused]] Real b,
                                      [[maybe_unused]] Real y, Real& da, Real& db) {
    if constexpr (is_flat(F)) {
        da = Real(0);
        db = Real(0);
    } else if constexpr (F == BinaryFn::add) {
        da = Real(1);
        db = Real(1);
    } else if constexpr (F == BinaryFn::sub) {
        da = Real(1);
        db = Real(-1);
    } else if constexpr (F == BinaryFn::mul) {
        da = b;
        db = a;
    } else if constexpr (F == BinaryFn::div) {
        da = Real(1) / b;
        db = -y / b;
    } else if constexpr (F == BinaryFn::maximum || F == BinaryFn::minimum) {
        da = a == b ? Real(0.5) : Real(1);
        db = da;
    } else if constexpr (F == BinaryFn::atan2) {
        // The angle of the origin has no gradient.
        const Real square = a * a + b * b;
        const Real per_square = square == Real(0) ? Real(0) : Real(1) / square;
        da = b * per_square;
        db = -a * per_square;
    } else if constexpr (F == BinaryFn::hypot) {
        da = a / y;
        db = b / y;
    } else if constexpr (F == BinaryFn::logaddexp || F == BinaryFn::logaddexp2) {
        const Real rate = F == BinaryFn::logaddexp ? Real(1) : Real(0.693147180559945309417);
        da = numerics::sigmoid(rate * (a - b));
        db = numerics::sigmoid(rate * (b - a));
    } else if constexpr (F == BinaryFn::prelu) {
        da = a > Real(0) ? Real(1) : b;
        db = a;
    } else if constexpr (F == BinaryFn::xlogy) {
        da = numerics::log(b);
        db = a / b;
    } else if constexpr (F == BinaryFn::xlog1py) {
        da = numerics::log1p(b);
        db = a / (b + Real(1));
    } else if constexpr (F == BinaryFn::fmod) {
        da = Real(1);
        db = -numerics::trunc(a / b);
    } else if constexpr (F == BinaryFn::remainder) {
        da = Real(1);
        db = -numerics::floor_division(a, b).quotient;
    } else {
        static_assert(F == BinaryFn::power);
        da = b * numerics::pow(a, b - Real(1));
        db = ((a == Real(0)) & (b >= Real(0))) ? Real(0) : y * numerics::log(a);
    }
    if constexpr (is_masking(F)) {
        bool to_a;
        bool to_b;
        binary_passes<F>(a, b, to_a, to_b);
        da = to_a ? da : Real(0);
        db = to_b ? db : Real(0);
    }
}

// The gradients in a and b that a gradient in y = binary_value<F>(a, b) gives.
template <BinaryFn F, class Real>
FLASHODE_LANE void binary_vjp(Real a, Real b, Real y, Real grad_y, Real& grad_a, Real& grad_b) {
    binary_derivatives<F>(a, b, y, grad_a, grad_b);
    bool to_a;
    bool to_b;
    binary_passes<F>(a, b, to_a, to_b);
    // Torch multiplies the gradient by the logarithm as the function does its first argument.
    if constexpr (multiplies_logarithm(F)) to_a = to_a & ((grad_y != Real(0)) | (b != b));
    grad_a = chained(to_a, grad_y, grad_a);
    grad_b = chained(to_b, grad_y, grad_b);
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
