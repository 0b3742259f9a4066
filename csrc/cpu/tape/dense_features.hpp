// The matrix products of a tile of one trajectory: vectors hold features. The same functions as in
// dense_trajectories.hpp, where every lane would do what is done here once.
#pragma once

#include "cpu/vectors/simd.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

namespace detail {

// Rows computed together: as many sums as hide the latency of each.
inline constexpr int ROWS_TOGETHER = 4;
inline constexpr int VECTORS_TOGETHER = 4;

// out[r] = bias[r] + sum over i < terms of w[r, i] x[i], for Block rows r
template <int Block, class Real>
inline void rows_times(const Real* w, const Real* bias, int terms, const Real* x, Real* out) {
    Real total[Block];
    for (int r = 0; r < Block; ++r) total[r] = bias != nullptr ? bias[r] : Real(0);
    int i = 0;
    if (terms >= VECTOR_LENGTH<Real>) {
        Vector<Real> sum[Block] = {};
        for (; i + VECTOR_LENGTH<Real> <= terms; i += VECTOR_LENGTH<Real>) {
            const Vector<Real> part = load(x + i);
            for (int r = 0; r < Block; ++r) sum[r] += load(w + r * terms + i) * part;
        }
        for (int r = 0; r < Block; ++r) {
            Real parts[VECTOR_LENGTH<Real>];
            store(parts, sum[r]);
            total[r] += sum_of<VECTOR_LENGTH<Real>>(parts);
        }
    }
    for (; i < terms; ++i) {
        for (int r = 0; r < Block; ++r) total[r] += w[r * terms + i] * x[i];
    }
    for (int r = 0; r < Block; ++r) out[r] = total[r];
}

// to[i] = or += sum over o < rows of scale[o] w[o, i], for so many vectors of columns i
template <int Vectors, class Real>
inline void columns_times(const Real* w, int row_stride, int rows, bool assign, const Real* scale, Real* to) {
    Vector<Real> sum[Vectors];
    for (int v = 0; v < Vectors; ++v) {
        sum[v] = assign ? Vector<Real>{} : load(to + v * VECTOR_LENGTH<Real>);
    }
    for (int o = 0; o < rows; ++o) {
        for (int v = 0; v < Vectors; ++v) {
            sum[v] += scale[o] * load(w + o * row_stride + v * VECTOR_LENGTH<Real>);
        }
    }
    for (int v = 0; v < Vectors; ++v) store(to + v * VECTOR_LENGTH<Real>, sum[v]);
}

}  // namespace detail

// out = W x + b; w (features_out, features_in)
template <class Real>
inline void dense(const Real* w, const Real* bias, int features_in, int features_out, const Real* x,
                  Real* out) {
    int r = 0;
    const auto blocks_of = [&]<int Block>() {
        for (; r + Block <= features_out; r += Block) {
            const Real* from = bias != nullptr ? bias + r : nullptr;
            detail::rows_times<Block>(w + r * features_in, from, features_in, x, out + r);
        }
    };
    blocks_of.template operator()<detail::ROWS_TOGETHER>();
    blocks_of.template operator()<1>();
}

// grad_x = W^T grad_out, or grad_x += W^T grad_out
template <class Real>
inline void dense_vjp_input(const Real* w, int features_in, int features_out, bool assign,
                            const Real* grad_out, Real* grad_x) {
    int i = 0;
    const auto blocks_of = [&]<int Vectors>() {
        constexpr int WIDTH = Vectors * VECTOR_LENGTH<Real>;
        for (; i + WIDTH <= features_in; i += WIDTH) {
            detail::columns_times<Vectors>(w + i, features_in, features_out, assign, grad_out, grad_x + i);
        }
    };
    blocks_of.template operator()<detail::VECTORS_TOGETHER>();
    blocks_of.template operator()<1>();
    Real rest[VECTOR_LENGTH<Real>] = {};
    const int left = features_in - i;
    for (int o = 0; o < features_out; ++o) {
        for (int e = 0; e < left; ++e) rest[e] += grad_out[o] * w[o * features_in + i + e];
    }
    for (int e = 0; e < left; ++e) grad_x[i + e] = assign ? rest[e] : grad_x[i + e] + rest[e];
}

// out = W x with a matrix of the trajectory's own
template <class Real>
inline void lane_product(const Real* w, int features_in, int features_out, const Real* x, Real* out) {
    const Real* no_bias = nullptr;
    dense(w, no_bias, features_in, features_out, x, out);
}

// grad_x = W^T grad_out, or grad_x += W^T grad_out, with a matrix of the trajectory's own
template <class Real>
inline void lane_vjp_input(const Real* w, int features_in, int features_out, bool assign,
                           const Real* grad_out, Real* grad_x) {
    dense_vjp_input(w, features_in, features_out, assign, grad_out, grad_x);
}

// grad_w = grad_out x^T, or grad_w += it; grad_w (features_out, features_in)
template <class Real>
inline void dense_vjp_weight_by_lanes(int features_in, int features_out, const Real* x, bool assign,
                                      const Real* grad_out, Real* grad_w) {
    for (int o = 0; o < features_out; ++o, grad_w += features_in) {
        const Real scale = grad_out[o];
        int i = 0;
        for (; i + VECTOR_LENGTH<Real> <= features_in; i += VECTOR_LENGTH<Real>) {
            const Vector<Real> product = scale * load(x + i);
            store(grad_w + i, assign ? product : load(grad_w + i) + product);
        }
        for (; i < features_in; ++i) grad_w[i] = assign ? scale * x[i] : grad_w[i] + scale * x[i];
    }
}

// There are no lanes to sum over: a weight's gradient has one number for each element, and needs no scratch.
constexpr bool weight_by_lanes(int, int) { return false; }

template <class Real>
constexpr int padded_features(int features_in) {
    return features_in;
}

template <class Real>
inline void dense_vjp_weight(int features_in, int features_out, const Real* x, const Real* grad_out, Real*,
                             Real* grad_w) {
    dense_vjp_weight_by_lanes(features_in, features_out, x, false, grad_out, grad_w);
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
