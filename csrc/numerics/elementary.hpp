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

template <class Real>
FLASHODE_LANE Real tan(Real x) {
    return std::tan(x);
}

template <class Real>
FLASHODE_LANE Real atan(Real x) {
    return std::atan(x);
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
FLASHODE_LANE Real pow(Real x, Real p) {
    return std::pow(x, p);
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
