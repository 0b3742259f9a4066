// Operations that take one element after another, over n scalars: values, and gradients in reverse.
#pragma once

#include <algorithm>

#include "cpu/vectors/simd.hpp"
#include "numerics/functions.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

namespace detail {

template <class Real>
inline void fill_row(Real* row, Real value) {
    for (int l = 0; l < LANES<Real>; ++l) row[l] = value;
}

// to = from, or to += from, over n scalars
template <class Real>
inline void put(bool assign, int n, const Real* from, Real* to) {
    if (assign) {
        std::copy(from, from + n, to);
    } else {
        for (int e = 0; e < n; ++e) to[e] += from[e];
    }
}

template <class Real>
inline void unary_forward(numerics::UnaryFn fn, int n, const Real* x, const Real* constants, Real* out) {
    numerics::visit_unary(fn,
                          [&]<numerics::UnaryFn F>() { numerics::unary_values<F>(n, x, constants, out); });
}

template <class Real>
inline void unary_reverse(numerics::UnaryFn fn, bool assign, int n, const Real* x, const Real* y,
                          const Real* constants, const Real* grad_y, Real* grad_x) {
    numerics::visit_unary(fn, [&]<numerics::UnaryFn F>() {
        if constexpr (!numerics::is_flat(F)) {
            Real slope[LINE<Real>];
            const auto reverse = [&](int begin, int count) {
                numerics::unary_derivatives<F>(count, x + begin, y + begin, constants, slope);
                const auto through = [&](int e) {
                    return numerics::chained(numerics::unary_passes<F>(x[begin + e], constants),
                                             grad_y[begin + e], slope[e]);
                };
                if (assign) {
                    for (int e = 0; e < count; ++e) grad_x[begin + e] = through(e);
                } else {
                    for (int e = 0; e < count; ++e) grad_x[begin + e] += through(e);
                }
            };
            int e = 0;
            for (; e + LINE<Real> <= n; e += LINE<Real>) reverse(e, LINE<Real>);
            if (LANES<Real> < LINE<Real> && e < n) reverse(e, n - e);
        }
    });
}

template <class Real>
inline void binary_forward(numerics::BinaryFn fn, int n, const Real* a, const Real* b, Real* out) {
    numerics::visit_binary(fn, [&]<numerics::BinaryFn F>() {
        for (int e = 0; e < n; ++e) out[e] = numerics::binary_value<F>(a[e], b[e]);
    });
}

// `a` and `b` may be one value: then the second gradient adds to the first.
template <class Real>
inline void binary_reverse(numerics::BinaryFn fn, bool assign_a, bool assign_b, int n, const Real* a,
                           const Real* b, const Real* y, const Real* grad_y, Real* grad_a, Real* grad_b) {
    if (assign_a) std::fill(grad_a, grad_a + n, Real(0));
    if (assign_b) std::fill(grad_b, grad_b + n, Real(0));
    numerics::visit_binary(fn, [&]<numerics::BinaryFn F>() {
        if constexpr (!numerics::is_flat(F)) {
            for (int e = 0; e < n; ++e) {
                Real to_a;
                Real to_b;
                numerics::binary_vjp<F>(a[e], b[e], y[e], grad_y[e], to_a, to_b);
                grad_a[e] += to_a;
                grad_b[e] += to_b;
            }
        }
    });
}

template <class Real>
inline void select_forward(int n, const Real* condition, const Real* a, const Real* b, Real* out) {
    for (int e = 0; e < n; ++e) out[e] = condition[e] != Real(0) ? a[e] : b[e];
}

// A gradient goes to the one that was taken, whatever it is: a product with a mask would make NaN of
// infinity. `a` and `b` may be one value, as in binary_reverse.
template <class Real>
inline void select_reverse(bool assign_a, bool assign_b, int n, const Real* condition, const Real* grad_out,
                           Real* grad_a, Real* grad_b) {
    if (assign_a) std::fill(grad_a, grad_a + n, Real(0));
    if (assign_b) std::fill(grad_b, grad_b + n, Real(0));
    for (int e = 0; e < n; ++e) grad_a[e] += condition[e] != Real(0) ? grad_out[e] : Real(0);
    for (int e = 0; e < n; ++e) grad_b[e] += condition[e] != Real(0) ? Real(0) : grad_out[e];
}

}  // namespace detail

}  // namespace flashode::cpu::inline FLASHODE_ISA
