// Products with matrices that are rows of the tile themselves: every lane multiplies by its own.
#pragma once

#include "cpu/dense.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// x (blocks, repeats, features_in), weight (blocks, features_out, features_in), the product (blocks, repeats,
// features_out), a row of lanes for each element.
struct DynamicShape {
    int blocks = 0;
    int repeats = 0;
    int features_in = 0;
    int features_out = 0;
};

namespace detail {

// Weights of which each lane has its own.
template <class Real>
struct LaneWeights {
    const Real* w;
    int row_stride;
    int term_stride;

    LaneWeights from_row(int row) const {
        return {w + row * row_stride * LANES<Real>, row_stride, term_stride};
    }
    Vector<Real> operator()(int row, int term, int v) const {
        return load(w + (row * row_stride + term * term_stride) * LANES<Real> + v * VECTOR_LENGTH<Real>);
    }
};

}  // namespace detail

// out[b, r] = weight[b] x[b, r]
template <class Real>
inline void dense_dynamic(const DynamicShape& of, const Real* weight, const Real* x, Real* out) {
    const Real* no_bias = nullptr;
    for (int b = 0; b < of.blocks; ++b) {
        const detail::LaneWeights<Real> matrix{weight, of.features_in, 1};
        for (int r = 0; r < of.repeats; ++r) {
            detail::product<detail::Start::zero>(matrix, of.features_out, of.features_in, no_bias, x, out);
            x += of.features_in * LANES<Real>;
            out += of.features_out * LANES<Real>;
        }
        weight += of.features_out * of.features_in * LANES<Real>;
    }
}

// grad_x[b, r] = weight[b]^T grad_out[b, r], or grad_x += it
template <class Real>
inline void dense_dynamic_vjp_input(const DynamicShape& of, const Real* weight, bool assign,
                                    const Real* grad_out, Real* grad_x) {
    using detail::Start;
    const Real* no_bias = nullptr;
    for (int b = 0; b < of.blocks; ++b) {
        const detail::LaneWeights<Real> transposed{weight, 1, of.features_in};
        for (int r = 0; r < of.repeats; ++r) {
            if (assign) {
                detail::product<Start::zero>(transposed, of.features_in, of.features_out, no_bias, grad_out,
                                             grad_x);
            } else {
                detail::product<Start::output>(transposed, of.features_in, of.features_out, no_bias, grad_out,
                                               grad_x);
            }
            grad_x += of.features_in * LANES<Real>;
            grad_out += of.features_out * LANES<Real>;
        }
        weight += of.features_out * of.features_in * LANES<Real>;
    }
}

// grad_weight[b] = sum over r of grad_out[b, r] x[b, r]^T, or grad_weight += it
template <class Real>
inline void dense_dynamic_vjp_weight(const DynamicShape& of, const Real* x, bool assign, const Real* grad_out,
                                     Real* grad_weight) {
    for (int b = 0; b < of.blocks; ++b) {
        for (int r = 0; r < of.repeats; ++r) {
            dense_vjp_weight_by_lanes(of.features_in, of.features_out, x, assign && r == 0, grad_out,
                                      grad_weight);
            x += of.features_in * LANES<Real>;
            grad_out += of.features_out * LANES<Real>;
        }
        grad_weight += of.features_out * of.features_in * LANES<Real>;
    }
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
