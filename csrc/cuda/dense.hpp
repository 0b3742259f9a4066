// Products of matrices and the rows of a tile. A thread computes a block of a few rows and lanes, so that
// each number it loads is used several times; the block is smaller where there is not as much work for all
// threads.
#pragma once

#include "cuda/values.hpp"

namespace flashode::cuda {

constexpr int rounded_up(int count, int to) { return (count + to - 1) / to * to; }

// Weights (out, in) of a layer, transposed in shared memory: the rows of a block are loaded at once.
template <class Number, int Offset, int In, int Out>
struct SharedWeight {
    using Real = Number;
    static constexpr int in = In;
    static constexpr int out = Out;
    static constexpr int column = rounded_up(Out, 4);

    FLASHODE_DEVICE static Real* memory() { return shared_memory<Real>() + Offset; }

    template <int Threads>
    FLASHODE_DEVICE static void prepare(const Real* from) {
        for (int e = thread(); e < In * column; e += Threads) {
            const int i = e / column;
            const int o = e % column;
            memory()[e] = o < Out ? from[o * In + i] : Real(0);
        }
    }
    template <int Count>
    FLASHODE_DEVICE Pack<Real, Count> rows(int first, int i) const {
        return load<Count>(memory() + i * column + first);
    }
    FLASHODE_DEVICE Real at(int o, int i) const { return memory()[i * column + o]; }
};

// The same left in global memory.
template <class Number, int In, int Out>
struct GlobalWeight {
    using Real = Number;
    static constexpr int in = In;
    static constexpr int out = Out;

    const Real* memory;

    template <int Count>
    FLASHODE_DEVICE Pack<Real, Count> rows(int first, int i) const {
        Pack<Real, Count> numbers;
#pragma unroll
        for (int r = 0; r < Count; ++r) {
            const int row = first + r < Out ? first + r : Out - 1;
            numbers.at[r] = memory[row * In + i];
        }
        return numbers;
    }
    FLASHODE_DEVICE Real at(int o, int i) const { return memory[o * In + i]; }
};

template <class Number, int Offset>
struct SharedBias {
    FLASHODE_DEVICE Number at(int row) const { return shared_memory<Number>()[Offset + row]; }
    template <int Threads, int Count>
    FLASHODE_DEVICE static void prepare(const Number* from) {
        for (int e = thread(); e < Count; e += Threads) shared_memory<Number>()[Offset + e] = from[e];
    }
};
template <class Number>
struct GlobalBias {
    const Number* memory;
    FLASHODE_DEVICE Number at(int row) const { return memory[row]; }
};
template <class Number>
struct NoBias {
    FLASHODE_DEVICE Number at(int) const { return Number(0); }
};

// What is made of a sum before it is stored.
struct Itself {
    template <class Real>
    FLASHODE_DEVICE Real operator()(Real x) const {
        return x;
    }
};

// The largest power of two that is no more than `most` and divides `lanes`.
constexpr int lanes_at_once(int lanes, int most) {
    int count = 1;
    while (count * 2 <= most && lanes % (count * 2) == 0) count *= 2;
    return count;
}

// Of a row of X: the same number for all lanes, where it has no more.
template <class X, int Count>
FLASHODE_DEVICE Pack<typename X::Real, Count> load_lanes(const typename X::Real* from) {
    if constexpr (!X::uniform) return load<Count>(from);
    Pack<typename X::Real, Count> numbers;
#pragma unroll
    for (int l = 0; l < Count; ++l) numbers.at[l] = *from;
    return numbers;
}

// Out = after(weight X + bias), for each of `Repeats` groups of rows.
template <int Threads, class X, class Out, int Repeats, class Weight, class Bias, class After>
FLASHODE_DEVICE void dense(const Weight& weight, const Bias& bias, const After& after) {
    using Real = typename Out::Real;
    constexpr int share = Weight::out * Repeats * Out::lanes / Threads;
    constexpr int R = share >= 8 ? 4 : (share >= 4 ? 2 : 1);
    constexpr int L = lanes_at_once(Out::lanes, share >= 16 ? 4 : (share >= 2 ? 2 : 1));
    constexpr int row_blocks = (Weight::out + R - 1) / R;
    constexpr int lane_blocks = Out::lanes / L;
#pragma unroll 1
    for (int item = thread(); item < Repeats * row_blocks * lane_blocks; item += Threads) {
        const int lane = item % lane_blocks * L;
        const int row = item / lane_blocks % row_blocks * R;
        const int group = item / lane_blocks / row_blocks;
        Real sums[R][L];
#pragma unroll
        for (int r = 0; r < R; ++r) {
            const Real start = bias.at(row + r < Weight::out ? row + r : Weight::out - 1);
#pragma unroll
            for (int l = 0; l < L; ++l) sums[r][l] = start;
        }
        const Real* x = &X::at(group * Weight::in, lane);
#pragma unroll 4
        for (int i = 0; i < Weight::in; ++i) {
            const Pack<Real, R> w = weight.template rows<R>(row, i);
            const Pack<Real, L> v = load_lanes<X, L>(x + i * X::stride);
#pragma unroll
            for (int r = 0; r < R; ++r) {
#pragma unroll
                for (int l = 0; l < L; ++l) sums[r][l] = numerics::multiply_add(w.at[r], v.at[l], sums[r][l]);
            }
        }
#pragma unroll
        for (int r = 0; r < R; ++r) {
            if (row + r >= Weight::out) continue;
            Pack<Real, L> result;
#pragma unroll
            for (int l = 0; l < L; ++l) result.at[l] = after(sums[r][l]);
            store<L>(Out::memory() + (group * Weight::out + row + r) * Out::stride + lane, result);
        }
    }
}

// Out[b, r] = W[b] X[b, r]: products with `Blocks` matrices that are values themselves.
template <int Threads, class X, class W, class Out, int Blocks, int Repeats>
FLASHODE_DEVICE void dense_dynamic() {
    using Real = typename Out::Real;
    constexpr int in = X::width / (Blocks * Repeats);
    constexpr int out = Out::width / (Blocks * Repeats);
    own_elements<Threads, Out>([&](int row, int lane) {
        const int o = row % out;
        const int group = row / out;
        const int matrix = group / Repeats * out + o;
        Real sum = Real(0);
#pragma unroll 4
        for (int i = 0; i < in; ++i)
            sum = numerics::multiply_add(W::at(matrix * in + i, lane), X::at(group * in + i, lane), sum);
        Out::at(row, lane) = sum;
    });
}

}  // namespace flashode::cuda
