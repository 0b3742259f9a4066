// Dense output: the solution inside a step as a weighted sum of what the step produced.
//
// A polynomial in x = (t - t0) / (t1 - t0) that is linear in its data is fixed by one weight for each datum;
// the weights' derivatives in x give the derivative in time, and the transpose of the sum is its vjp.
#pragma once

#include <cstdint>

#include "numerics/platform.hpp"

namespace flashode::numerics {

// What lies inside a step: the line between its ends; Hermite's cubic, through both with their slopes; or
// Shampine's quartic, through the middle, too.
enum class Interpolant : std::uint8_t { linear, cubic, quartic };

inline constexpr int MAX_DEGREE = 4;

// Coefficients, lowest power first.
struct Polynomial {
    double coefficients[MAX_DEGREE + 1] = {};
};

// The weight of each datum.
struct InterpolantWeights {
    int degree = 0;
    Polynomial y0, y1, y_mid;
    Polynomial f0, f1;  // times dt
};

// One thing for each datum of a step: the states at its start, end and middle, and the slopes at its ends.
template <class T>
struct DenseData {
    T y0{};
    T y1{};
    T y_mid{};
    T f0{};
    T f1{};
};

// Those of the slopes are to be multiplied by dt.
template <class Real>
using DenseWeights = DenseData<Real>;

}  // namespace flashode::numerics

namespace flashode::numerics::inline FLASHODE_ISA {

namespace detail {

// c[0] + x^n * (rest), n the lowest power above the first: with mostly small integers for coefficients it
// rounds no more often than it must.
FLASHODE_HD double value(const Polynomial& polynomial, double x) {
    const double* c = polynomial.coefficients;
    int lowest = 1;
    double power = x;
    for (; lowest < MAX_DEGREE && c[lowest] == 0.0; ++lowest) power *= x;
    double rest = c[MAX_DEGREE];
    for (int n = MAX_DEGREE - 1; n >= lowest; --n) rest = c[n] + x * rest;
    return c[0] == 0.0 ? power * rest : c[0] + power * rest;
}

FLASHODE_HD double slope(const Polynomial& polynomial, double x) {
    Polynomial derivative;
    for (int n = 1; n <= MAX_DEGREE; ++n) {
        derivative.coefficients[n - 1] = n * polynomial.coefficients[n];
    }
    return value(derivative, x);
}

}  // namespace detail

// The weights at x, or d/dx of them.
template <class Real>
FLASHODE_HD DenseWeights<Real> weights_at(const InterpolantWeights& of, double x) {
    const auto at = [x](const Polynomial& weight) { return static_cast<Real>(detail::value(weight, x)); };
    return {at(of.y0), at(of.y1), at(of.y_mid), at(of.f0), at(of.f1)};
}

template <class Real>
FLASHODE_HD DenseWeights<Real> weights_derivative_at(const InterpolantWeights& of, double x) {
    const auto at = [x](const Polynomial& weight) { return static_cast<Real>(detail::slope(weight, x)); };
    return {at(of.y0), at(of.y1), at(of.y_mid), at(of.f0), at(of.f1)};
}

// The same of Hermite's cubic in its factored form: expanded it rounds otherwise than torchdiffeq's.
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
