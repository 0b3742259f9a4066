// Products with matrices that are rows of the tile themselves: every lane multiplies by its own.
#pragma once

#include "cpu/tape/dense.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// x (blocks, repeats, features_in), weight (blocks, features_out, features_in), the product (blocks, repeats,
// features_out), a row of lanes for each element.
struct DynamicShape {
    int blocks = 0;
    int repeats = 0;
    int features_in = 0;
    int features_out = 0;
};

// out[b, r] = weight[b] x[b, r]
template <class Real>
inline void dense_dynamic(const DynamicShape& of, const Real* weight, const Real* x, Real* out) {
    for (int b = 0; b < of.blocks; ++b) {
        for (int r = 0; r < of.repeats; ++r) {
            lane_product(weight, of.features_in, of.features_out, x, out);
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
    for (int b = 0; b < of.blocks; ++b) {
        for (int r = 0; r < of.repeats; ++r) {
            lane_vjp_input(weight, of.features_in, of.features_out, assign, grad_out, grad_x);
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
