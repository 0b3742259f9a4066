// The solution inside a step.
#pragma once

#include "numerics/combine.hpp"
#include "numerics/dense_output.hpp"
#include "solve/method.hpp"

namespace flashode::solve {

// What a step leaves for dense output over n scalars, constant ones, or their cotangents; y_mid only for the
// quartic, f0 and f1 not for the line.
template <class Real>
using StepData = numerics::DenseData<Real*>;

}  // namespace flashode::solve

namespace flashode::solve::inline FLASHODE_ISA {

// y at the fraction x of a step.
template <class Real>
FLASHODE_HD numerics::DenseWeights<Real> dense_weights(const Method& method, double x) {
    return method.interpolant == Interpolant::cubic
               ? numerics::cubic_weights<Real>(x)
               : numerics::weights_at<Real>(method.interpolant_weights, x);
}

template <class Real>
FLASHODE_HD numerics::DenseWeights<Real> dense_weights_derivative(const Method& method, double x) {
    return method.interpolant == Interpolant::cubic
               ? numerics::cubic_weights_derivative<Real>(x)
               : numerics::weights_derivative_at<Real>(method.interpolant_weights, x);
}

template <class Real>
FLASHODE_HD void dense_output(Interpolant kind, int n, const numerics::DenseWeights<Real>& w, Real dt,
                              const StepData<const Real>& step, Real* out) {
    for (int e = 0; e < n; ++e) out[e] = w.y0 * step.y0[e] + w.y1 * step.y1[e];
    if (kind == Interpolant::quartic) {
        for (int e = 0; e < n; ++e) {
            out[e] += w.y_mid * step.y_mid[e] + dt * (w.f0 * step.f0[e] + w.f1 * step.f1[e]);
        }
    } else if (kind == Interpolant::cubic) {
        for (int e = 0; e < n; ++e) out[e] += dt * (w.f0 * step.f0[e] + w.f1 * step.f1[e]);
    }
}

// Adds what reaches the data from an output's cotangent.
template <class Real>
FLASHODE_HD void dense_output_vjp(Interpolant kind, int n, const numerics::DenseWeights<Real>& w, Real dt,
                                  const Real* cotangent, const StepData<Real>& to) {
    numerics::add_scaled(n, w.y1, cotangent, to.y1);
    numerics::add_scaled(n, w.y0, cotangent, to.y0);
    if (kind == Interpolant::quartic) numerics::add_scaled(n, w.y_mid, cotangent, to.y_mid);
    if (kind == Interpolant::linear) return;
    numerics::add_scaled(n, dt * w.f0, cotangent, to.f0);
    numerics::add_scaled(n, dt * w.f1, cotangent, to.f1);
}

}  // namespace flashode::solve::inline FLASHODE_ISA
