// Dense output: the solution inside a step as a weighted sum of what the step produced.
//
// A polynomial in x = (t - t0) / (t1 - t0) that is linear in its data is fixed by one weight for each datum;
// the weights' derivatives in x give the derivative in time, and the transpose of the sum is its vjp.
#pragma once

#include "numerics/platform.hpp"

namespace flashode::numerics {

template <class Real>
struct DenseWeights {
    Real y0 = Real(0);
    Real y1 = Real(0);
    Real y_mid = Real(0);
    Real f0 = Real(0);  // times dt
    Real f1 = Real(0);  // times dt
};

}  // namespace flashode::numerics

namespace flashode::numerics::inline FLASHODE_ISA {

// The quartic through y0, y_mid, y1 with slopes f0 and f1 at the ends (Shampine, "Some Practical Runge-Kutta
// Formulas", Math. Comp. 46, 1986).
template <class Real>
FLASHODE_HD DenseWeights<Real> quartic_weights(double x) {
    const double x2 = x * x;
    DenseWeights<Real> w;
    w.y0 = static_cast<Real>(1.0 + x2 * (-11.0 + x * (18.0 - 8.0 * x)));
    w.y1 = static_cast<Real>(x2 * (-5.0 + x * (14.0 - 8.0 * x)));
    w.y_mid = static_cast<Real>(x2 * (16.0 + x * (-32.0 + 16.0 * x)));
    w.f0 = static_cast<Real>(x * (1.0 + x * (-4.0 + x * (5.0 - 2.0 * x))));
    w.f1 = static_cast<Real>(x2 * (1.0 + x * (-3.0 + 2.0 * x)));
    return w;
}

// d/dx of the weights above
template <class Real>
FLASHODE_HD DenseWeights<Real> quartic_weights_derivative(double x) {
    DenseWeights<Real> w;
    w.y0 = static_cast<Real>(x * (-22.0 + x * (54.0 - 32.0 * x)));
    w.y1 = static_cast<Real>(x * (-10.0 + x * (42.0 - 32.0 * x)));
    w.y_mid = static_cast<Real>(x * (32.0 + x * (-96.0 + 64.0 * x)));
    w.f0 = static_cast<Real>(1.0 + x * (-8.0 + x * (15.0 - 8.0 * x)));
    w.f1 = static_cast<Real>(x * (2.0 + x * (-9.0 + 8.0 * x)));
    return w;
}

template <class Real>
FLASHODE_HD DenseWeights<Real> linear_weights(double x) {
    DenseWeights<Real> w;
    w.y0 = static_cast<Real>(1.0 - x);
    w.y1 = static_cast<Real>(x);
    return w;
}

template <class Real>
FLASHODE_HD DenseWeights<Real> linear_weights_derivative() {
    DenseWeights<Real> w;
    w.y0 = Real(-1);
    w.y1 = Real(1);
    return w;
}

// Hermite's cubic through y0 and y1 with slopes f0 and f1 there.
template <class Real>
FLASHODE_HD DenseWeights<Real> cubic_weights(double x) {
    const double x2 = x * x;
    const double rest = (1.0 - x) * (1.0 - x);
    DenseWeights<Real> w;
    w.y0 = static_cast<Real>((1.0 + 2.0 * x) * rest);
    w.y1 = static_cast<Real>(x2 * (3.0 - 2.0 * x));
    w.f0 = static_cast<Real>(x * rest);
    w.f1 = static_cast<Real>(x2 * (x - 1.0));
    return w;
}

template <class Real>
FLASHODE_HD DenseWeights<Real> cubic_weights_derivative(double x) {
    DenseWeights<Real> w;
    w.y0 = static_cast<Real>(-6.0 * x * (1.0 - x));
    w.y1 = static_cast<Real>(6.0 * x * (1.0 - x));
    w.f0 = static_cast<Real>((1.0 - x) * (1.0 - 3.0 * x));
    w.f1 = static_cast<Real>(x * (3.0 * x - 2.0));
    return w;
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
