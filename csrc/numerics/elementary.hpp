// Elementary functions for float and double, the same source on host and device. Those of the included
// headers are free of branches and calls, so that loops over lanes vectorise; bounds on their errors are
// asserted by tests/cpp/test_function_accuracy.cpp. Those below are rare in vector fields, and left to the
// standard library.
#pragma once

#include "numerics/arithmetic.hpp"
#include "numerics/error_function.hpp"
#include "numerics/exponential.hpp"
#include "numerics/logarithm.hpp"
#include "numerics/sigmoids.hpp"
#include "numerics/trigonometry.hpp"

namespace flashode::numerics::inline FLASHODE_ISA {

FLASHODE_STANDARD(exp2, exp2)  // this and the logarithms are exact at the powers of their bases
FLASHODE_STANDARD(log2, log2)
FLASHODE_STANDARD(log10, log10)
FLASHODE_STANDARD(tan, tan)
FLASHODE_STANDARD(asin, asin)
FLASHODE_STANDARD(acos, acos)
FLASHODE_STANDARD(atan, atan)
FLASHODE_STANDARD(sinh, sinh)
FLASHODE_STANDARD(cosh, cosh)
FLASHODE_STANDARD(asinh, asinh)
FLASHODE_STANDARD(acosh, acosh)
FLASHODE_STANDARD(atanh, atanh)
#undef FLASHODE_STANDARD

template <class Real>
FLASHODE_LANE Real atan2(Real y, Real x) {
    return std::atan2(y, x);
}

template <class Real>
FLASHODE_LANE Real pow(Real x, Real p) {
    return std::pow(x, p);
}

// What a division by b that rounds towards zero leaves of a; exact, with the sign of a.
template <class Real>
FLASHODE_LANE Real fmod(Real a, Real b) {
    return std::fmod(a, b);
}

// A division that rounds downwards: what it leaves of a has the sign of b.
template <class Real>
struct FloorDivision {
    Real quotient;
    Real rest;
};

template <class Real>
FLASHODE_LANE FloorDivision<Real> floor_division(Real a, Real b) {
    const Real rest = numerics::fmod(a, b);
    const bool turn = (rest != Real(0)) & ((b < Real(0)) != (rest < Real(0)));
    // floor(a / b) is one too much where the quotient rounds up to a whole number.
    const Real whole = numerics::round((a - rest) / b) - (turn ? Real(1) : Real(0));
    return {b == Real(0) ? a / b : whole, turn ? rest + b : rest};
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
