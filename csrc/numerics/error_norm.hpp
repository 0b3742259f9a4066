// The error of one component over its tolerance, and squared. Sums of these over whatever a norm covers,
// divided by the number of components, give the squared root-mean-square norm.
#pragma once

#include "numerics/platform.hpp"

namespace flashode::numerics {

template <class Real>
struct Tolerance {
    Real relative;
    Real absolute;
};

}  // namespace flashode::numerics

namespace flashode::numerics::inline FLASHODE_ISA {

template <class Real>
FLASHODE_HD Real magnitude(Real x) {
    return x < Real(0) ? -x : x;
}

template <class Real>
FLASHODE_HD Real scaled_error(const Tolerance<Real>& tolerance, Real error, Real y0, Real y1) {
    const Real m0 = magnitude(y0);
    const Real m1 = magnitude(y1);
    return error / (tolerance.absolute + tolerance.relative * (m0 > m1 ? m0 : m1));
}

template <class Real>
FLASHODE_HD Real scaled_square(const Tolerance<Real>& tolerance, Real error, Real y0, Real y1) {
    const Real scaled = scaled_error(tolerance, error, y0, y1);
    return scaled * scaled;
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
