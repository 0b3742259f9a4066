// Values and derivatives of the Program's binary functions, with torch's conventions.
#pragma once

#include "numerics/elementary.hpp"
#include "numerics/function_names.hpp"

namespace flashode::numerics::inline FLASHODE_ISA {

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
}

// da = dy/da and db = dy/db, where y = binary_value<F>(a, b).
template <BinaryFn F, class Real>
FLASHODE_LANE void binary_derivatives([[maybe_unused]] Real a, [[maybe_unused]] Real b,
                                      [[maybe_unused]] Real y, Real& da, Real& db) {
    if constexpr (F == BinaryFn::add) {
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
        const bool a_loses = F == BinaryFn::maximum ? a < b : a > b;
        const bool b_loses = F == BinaryFn::maximum ? a > b : a < b;
        da = a == b ? Real(0.5) : (a_loses ? Real(0) : Real(1));
        db = a == b ? Real(0.5) : (b_loses ? Real(0) : Real(1));
    } else {
        static_assert(F == BinaryFn::power);
        da = b == Real(0) ? Real(0) : b * numerics::pow(a, b - Real(1));
        db = ((a == Real(0)) & (b >= Real(0))) ? Real(0) : y * numerics::log(a);
    }
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
