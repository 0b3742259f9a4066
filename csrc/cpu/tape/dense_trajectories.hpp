// The matrix products of a tile of many trajectories: rows are features, lanes are trajectories.
#pragma once

#include "cpu/vectors/simd.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

inline constexpr int VECTORS_PER_ROW = CACHE_LINE / VECTOR_BYTES;

// Rows computed together: as many accumulators as the registers hold beside one row and one broadcast weight.
inline constexpr int DENSE_BLOCK = VECTORS_PER_ROW == 1 ? 8 : (VECTORS_PER_ROW == 2 ? 4 : 2);

namespace detail {

// What a product starts from: nothing, one number a row (a bias), or what stands in the output.
enum class Start { zero, bias, output };

// out[r] = start[r] + sum over i < terms of weight(r, i) * x[i], for Block rows r. Weights are numbers that
// all lanes share, or vectors of the lanes' own.
template <int Block, Start From, class Weights, class Real>
inline void product_block(const Weights& weight, int terms, const Real* bias, const Real* x, Real* out) {
    Vector<Real> sum[Block][VECTORS_PER_ROW];
    for (int r = 0; r < Block; ++r) {
        for (int v = 0; v < VECTORS_PER_ROW; ++v) {
            if constexpr (From == Start::bias) {
                sum[r][v] = Vector<Real>{} + bias[r];
            } else if constexpr (From == Start::output) {
                sum[r][v] = load(out + r * LANES<Real> + v * VECTOR_LENGTH<Real>);
            } else {
                sum[r][v] = Vector<Real>{};
            }
        }
    }
    for (int i = 0; i < terms; ++i) {
        Vector<Real> row[VECTORS_PER_ROW];
        for (int v = 0; v < VECTORS_PER_ROW; ++v)
            row[v] = load(x + i * LANES<Real> + v * VECTOR_LENGTH<Real>);
        for (int r = 0; r < Block; ++r) {
            for (int v = 0; v < VECTORS_PER_ROW; ++v) sum[r][v] += weight(r, i, v) * row[v];
        }
    }
    for (int r = 0; r < Block; ++r) {
        for (int v = 0; v < VECTORS_PER_ROW; ++v) {
            store(out + r * LANES<Real> + v * VECTOR_LENGTH<Real>, sum[r][v]);
        }
    }
}

template <Start From, class Weights, class Real>
inline void product(const Weights& weight, int rows, int terms, const Real* bias, const Real* x, Real* out) {
    int r = 0;
    const auto blocks_of = [&]<int Block>() {
        for (; r + Block <= rows; r += Block) {
            product_block<Block, From>(weight.from_row(r), terms, bias, x, out + r * LANES<Real>);
            if constexpr (From == Start::bias) bias += Block;
        }
    };
    blocks_of.template operator()<DENSE_BLOCK>();
    if constexpr (DENSE_BLOCK > 2) blocks_of.template operator()<2>();
    blocks_of.template operator()<1>();
}

// Weights that all lanes share.
template <class Real>
struct SharedWeights {
    const Real* w;
    int row_stride;
    int term_stride;

    SharedWeights from_row(int row) const { return {w + row * row_stride, row_stride, term_stride}; }
    Real operator()(int row, int term, int) const { return w[row * row_stride + term * term_stride]; }
};

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

// out = W x + b over a tile; w (features_out, features_in), x (features_in, lanes), out (features_out, lanes)
template <class Real>
inline void dense(const Real* w, const Real* bias, int features_in, int features_out, const Real* x,
                  Real* out) {
    using detail::Start;
    const detail::SharedWeights<Real> weights{w, features_in, 1};
    if (bias != nullptr) {
        detail::product<Start::bias>(weights, features_out, features_in, bias, x, out);
    } else {
        detail::product<Start::zero>(weights, features_out, features_in, bias, x, out);
    }
}

// grad_x = W^T grad_out, or grad_x += W^T grad_out
template <class Real>
inline void dense_vjp_input(const Real* w, int features_in, int features_out, bool assign,
                            const Real* grad_out, Real* grad_x) {
    using detail::Start;
    const detail::SharedWeights<Real> transposed{w, 1, features_in};
    const Real* no_bias = nullptr;
    if (assign) {
        detail::product<Start::zero>(transposed, features_in, features_out, no_bias, grad_out, grad_x);
    } else {
        detail::product<Start::output>(transposed, features_in, features_out, no_bias, grad_out, grad_x);
    }
}

// A weight's gradient has a row of lanes for each element as long as that stays in the first-level cache
// beside the tile: no horizontal sum and no transposition in the inner loop. (Of 2-50-2 each layer has 100
// elements.)
inline constexpr int MOST_ELEMENTS_BY_LANES = 256;

constexpr bool weight_by_lanes(int features_in, int features_out) {
    return features_in * features_out <= MOST_ELEMENTS_BY_LANES;
}

namespace detail {

template <bool Assign, class Real>
inline void outer_product_by_lanes(int features_in, int features_out, const Real* x, const Real* grad_out,
                                   Real* grad_w) {
    for (int o = 0; o < features_out; ++o) {
        Vector<Real> row[VECTORS_PER_ROW];
        for (int v = 0; v < VECTORS_PER_ROW; ++v)
            row[v] = load(grad_out + o * LANES<Real> + v * VECTOR_LENGTH<Real>);
        for (int i = 0; i < features_in; ++i, grad_w += LANES<Real>) {
            for (int v = 0; v < VECTORS_PER_ROW; ++v) {
                Real* to = grad_w + v * VECTOR_LENGTH<Real>;
                const Vector<Real> product = row[v] * load(x + i * LANES<Real> + v * VECTOR_LENGTH<Real>);
                store(to, Assign ? product : load(to) + product);
            }
        }
    }
}

}  // namespace detail

// out = W x with a matrix of each lane's own
template <class Real>
inline void lane_product(const Real* w, int features_in, int features_out, const Real* x, Real* out) {
    const detail::LaneWeights<Real> matrix{w, features_in, 1};
    const Real* no_bias = nullptr;
    detail::product<detail::Start::zero>(matrix, features_out, features_in, no_bias, x, out);
}

// grad_x = W^T grad_out, or grad_x += W^T grad_out, with a matrix of each lane's own
template <class Real>
inline void lane_vjp_input(const Real* w, int features_in, int features_out, bool assign,
                           const Real* grad_out, Real* grad_x) {
    using detail::Start;
    const detail::LaneWeights<Real> transposed{w, 1, features_in};
    const Real* no_bias = nullptr;
    if (assign) {
        detail::product<Start::zero>(transposed, features_in, features_out, no_bias, grad_out, grad_x);
    } else {
        detail::product<Start::output>(transposed, features_in, features_out, no_bias, grad_out, grad_x);
    }
}

// grad_w = grad_out x^T, lane by lane, or grad_w += it; grad_w (features_out * features_in, lanes)
template <class Real>
inline void dense_vjp_weight_by_lanes(int features_in, int features_out, const Real* x, bool assign,
                                      const Real* grad_out, Real* grad_w) {
    if (assign) {
        detail::outer_product_by_lanes<true>(features_in, features_out, x, grad_out, grad_w);
    } else {
        detail::outer_product_by_lanes<false>(features_in, features_out, x, grad_out, grad_w);
    }
}

// The row length of a weight gradient: whole vectors, so that its kernel has no tail.
template <class Real>
constexpr int padded_features(int features_in) {
    return (features_in + VECTOR_LENGTH<Real> - 1) / VECTOR_LENGTH<Real> * VECTOR_LENGTH<Real>;
}

// grad_w += grad_out x^T, summed over lanes. Written over lanes it would drown in horizontal sums; with x
// transposed once the lanes become the inner dimension of a small matrix product.
//   grad_w (features_out, padded)   transposed: scratch (lanes, padded)
template <class Real>
inline void dense_vjp_weight(int features_in, int features_out, const Real* x, const Real* grad_out,
                             Real* transposed, Real* grad_w) {
    const int padded = padded_features<Real>(features_in);
    for (int l = 0; l < LANES<Real>; ++l) {
        for (int i = 0; i < features_in; ++i) transposed[l * padded + i] = x[i * LANES<Real> + l];
        for (int i = features_in; i < padded; ++i) transposed[l * padded + i] = Real(0);
    }
    const auto accumulate = [&]<int Block>(int o, int i) {
        Vector<Real> sum[Block];
        for (int r = 0; r < Block; ++r) sum[r] = load(grad_w + (o + r) * padded + i);
        for (int l = 0; l < LANES<Real>; ++l) {
            const Vector<Real> row = load(transposed + l * padded + i);
            for (int r = 0; r < Block; ++r) sum[r] += grad_out[(o + r) * LANES<Real> + l] * row;
        }
        for (int r = 0; r < Block; ++r) store(grad_w + (o + r) * padded + i, sum[r]);
    };
    constexpr int BLOCK = 8;
    int o = 0;
    for (; o + BLOCK <= features_out; o += BLOCK) {
        for (int i = 0; i < padded; i += VECTOR_LENGTH<Real>) accumulate.template operator()<BLOCK>(o, i);
    }
    for (; o < features_out; ++o) {
        for (int i = 0; i < padded; i += VECTOR_LENGTH<Real>) accumulate.template operator()<1>(o, i);
    }
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
