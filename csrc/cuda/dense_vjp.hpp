// The reverse of dense.hpp's products, and where gradients in parameters are added up.
#pragma once

#include "cuda/dense.hpp"
#include "cuda/elementwise_vjp.hpp"

namespace flashode::cuda {

// Numbers of a block that gradients in a parameter are added to, each by one thread.
template <class Number, int Offset>
struct SharedAccumulator {
    using Real = Number;
    FLASHODE_DEVICE Real& at(int e) const { return shared_memory<Real>()[Offset + e]; }
};
template <class Number>
struct GlobalAccumulator {
    using Real = Number;
    Real* memory;
    FLASHODE_DEVICE Real& at(int e) const { return memory[e]; }
};

// Grad of X = W^T of that of Y, for each of `Repeats` groups of rows.
template <int Threads, class GradY, class GradX, int Repeats, bool Assign, class Weight>
FLASHODE_DEVICE void dense_vjp_input(const Weight& weight) {
    using Real = typename GradX::Real;
    if constexpr (GradX::lanes != GradY::lanes) {
        give<Threads, GradY::lanes, GradX, Assign>([&](int row, int lane) {
            const int group = row / Weight::in;
            Real sum = Real(0);
            for (int o = 0; o < Weight::out; ++o) {
                sum = numerics::multiply_add(weight.at(o, row % Weight::in),
                                             GradY::at(group * Weight::out + o, lane), sum);
            }
            return sum;
        });
        return;
    }
    constexpr Block own = block_of(Weight::in, GradX::lanes, Repeats, Threads);
    constexpr int R = own.rows;
    constexpr int L = own.lanes;
    constexpr int row_blocks = (Weight::in + R - 1) / R;
    constexpr int lane_blocks = GradX::lanes / L;
    [[maybe_unused]] constexpr int depth = loads_ahead(R * L);
#pragma unroll 1
    for (int item = thread(); item < Repeats * row_blocks * lane_blocks; item += Threads) {
        const int lane = item % lane_blocks * L;
        const int row = item / lane_blocks % row_blocks * R;
        const int group = item / lane_blocks / row_blocks;
        Real sums[R][L] = {};
        const Real* grad = GradY::memory() + group * Weight::out * GradY::stride + lane;
#pragma unroll depth
        for (int o = 0; o < Weight::out; ++o) {
            const Pack<Real, L> g = load<L>(grad + o * GradY::stride);
#pragma unroll
            for (int r = 0; r < R; ++r) {
                const Real w = weight.at(o, row + r < Weight::in ? row + r : Weight::in - 1);
#pragma unroll
                for (int l = 0; l < L; ++l) sums[r][l] = numerics::multiply_add(w, g.at[l], sums[r][l]);
            }
        }
#pragma unroll
        for (int r = 0; r < R; ++r) {
            if (row + r >= Weight::in) continue;
            Real* to = GradX::memory() + (group * Weight::in + row + r) * GradX::stride + lane;
            Pack<Real, L> result = Assign ? Pack<Real, L>{} : load<L>(to);
#pragma unroll
            for (int l = 0; l < L; ++l) result.at[l] += sums[r][l];
            store<L>(to, result);
        }
    }
}

// Adds, to the gradient in the weights (out, in), that of Y times X^T, over groups and lanes.
template <int Threads, class X, class GradY, int Repeats, int In, int Out, class Accumulator>
FLASHODE_DEVICE void dense_vjp_weight(const Accumulator& accumulator) {
    using Real = typename X::Real;
    constexpr int share = In * Out / Threads;
    constexpr int R = share >= 8 ? 4 : (share >= 2 ? 2 : 1);
    constexpr int C = share >= 16 ? 4 : (share >= 4 ? 2 : 1);
    constexpr int V = lanes_at_once(GradY::lanes, 4);
    constexpr int row_blocks = (Out + R - 1) / R;
    constexpr int column_blocks = (In + C - 1) / C;
#pragma unroll 1
    for (int item = thread(); item < row_blocks * column_blocks; item += Threads) {
        // Threads side by side take rows of X side by side; a thread's own are as far apart as can be.
        const int row = item / column_blocks;
        const int column = item % column_blocks;
        Real sums[R][C] = {};
        for (int group = 0; group < Repeats; ++group) {
#pragma unroll 2
            for (int lane = 0; lane < GradY::lanes; lane += V) {
                Pack<Real, V> g[R];
                Pack<Real, V> x[C];
#pragma unroll
                for (int r = 0; r < R; ++r) {
                    const int o = row + r * row_blocks;
                    g[r] =
                        load<V>(GradY::memory() + (group * Out + (o < Out ? o : 0)) * GradY::stride + lane);
                }
#pragma unroll
                for (int c = 0; c < C; ++c) {
                    const int i = column + c * column_blocks;
                    x[c] = load_lanes<X, V>(&X::at(group * In + (i < In ? i : 0), lane));
                }
#pragma unroll
                for (int r = 0; r < R; ++r) {
#pragma unroll
                    for (int c = 0; c < C; ++c) {
#pragma unroll
                        for (int v = 0; v < V; ++v)
                            sums[r][c] = numerics::multiply_add(g[r].at[v], x[c].at[v], sums[r][c]);
                    }
                }
            }
        }
#pragma unroll
        for (int r = 0; r < R; ++r) {
#pragma unroll
            for (int c = 0; c < C; ++c) {
                const int o = row + r * row_blocks;
                const int i = column + c * column_blocks;
                if (o < Out && i < In) accumulator.at(o * In + i) += sums[r][c];
            }
        }
    }
}

// Adds, to the gradient in the bias, that of Y over groups and lanes.
template <int Threads, class GradY, int Repeats, int Out, class Accumulator>
FLASHODE_DEVICE void dense_vjp_bias(const Accumulator& accumulator) {
    using Real = typename GradY::Real;
#pragma unroll 1
    for (int o = thread(); o < Out; o += Threads) {
        Real sum = Real(0);
        for (int group = 0; group < Repeats; ++group) {
            for (int lane = 0; lane < GradY::lanes; ++lane) sum += GradY::at(group * Out + o, lane);
        }
        accumulator.at(o) += sum;
    }
}

// Adds a gradient in rows that are a parameter's elements.
template <int Threads, class GradY, class Accumulator>
FLASHODE_DEVICE void parameter_vjp(const Accumulator& accumulator) {
    dense_vjp_bias<Threads, GradY, 1, GradY::width>(accumulator);
}

// Of Y[b, r] = W[b] X[b, r], the gradient in X …
template <int Threads, class X, class W, class GradY, class GradX, int Blocks, int Repeats, bool Assign>
FLASHODE_DEVICE void dense_dynamic_vjp_input() {
    using Real = typename GradX::Real;
    constexpr int in = X::width / (Blocks * Repeats);
    constexpr int out = GradY::width / (Blocks * Repeats);
    give<Threads, GradY::lanes, GradX, Assign>([&](int row, int lane) {
        const int group = row / in;
        Real sum = Real(0);
        for (int o = 0; o < out; ++o) {
            sum = numerics::multiply_add(W::at((group / Repeats * out + o) * in + row % in, lane),
                                         GradY::at(group * out + o, lane), sum);
        }
        return sum;
    });
}

// … and in W.
template <int Threads, class X, class GradY, class GradW, int Blocks, int Repeats, bool Assign>
FLASHODE_DEVICE void dense_dynamic_vjp_weight() {
    using Real = typename GradW::Real;
    constexpr int in = X::width / (Blocks * Repeats);
    constexpr int out = GradY::width / (Blocks * Repeats);
    give<Threads, GradY::lanes, GradW, Assign>([&](int row, int lane) {
        const int i = row % in;
        const int o = row / in % out;
        const int block = row / in / out;
        Real sum = Real(0);
        for (int r = 0; r < Repeats; ++r) {
            const int group = block * Repeats + r;
            sum = numerics::multiply_add(GradY::at(group * out + o, lane), X::at(group * in + i, lane), sum);
        }
        return sum;
    });
}

}  // namespace flashode::cuda
