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

// Exact at the powers of their bases.
template <class Real>
FLASHODE_LANE Real exp2(Real x) {
    return std::exp2(x);
}

template <class Real>
FLASHODE_LANE Real log2(Real x) {
    return std::log2(x);
}

template <class Real>
FLASHODE_LANE Real log10(Real x) {
    return std::log10(x);
}

template <class Real>
FLASHODE_LANE Real tan(Real x) {
    return std::tan(x);
}

template <class Real>
FLASHODE_LANE Real asin(Real x) {
    return std::asin(x);
}

template <class Real>
FLASHODE_LANE Real acos(Real x) {
    return std::acos(x);
}

template <class Real>
FLASHODE_LANE Real atan(Real x) {
    return std::atan(x);
}

template <class Real>
FLASHODE_LANE Real atan2(Real y, Real x) {
    return std::atan2(y, x);
}

template <class Real>
FLASHODE_LANE Real sinh(Real x) {
    return std::sinh(x);
}

template <class Real>
FLASHODE_LANE Real cosh(Real x) {
    return std::cosh(x);
}

template <class Real>
FLASHODE_LANE Real asinh(Real x) {
    return std::asinh(x);
}

template <class Real>
FLASHODE_LANE Real acosh(Real x) {
    return std::acosh(x);
}

template <class Real>
FLASHODE_LANE Real atanh(Real x) {
    return std::atanh(x);
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
