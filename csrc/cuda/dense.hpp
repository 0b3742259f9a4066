// Products of matrices and the rows of a tile. A thread computes a block of a few rows and lanes, so that
// each number it loads is used several times; the block is smaller where there is not as much work for all
// threads.
#pragma once

#include "cuda/values.hpp"

namespace flashode::cuda {

FLASHODE_DEVICE constexpr int rounded_up(int count, int to) { return (count + to - 1) / to * to; }

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

// A parameter left in global memory: where that is, is in shared memory. From the arguments of a kernel a
// function that is compiled once would have to read it without knowing which memory they are in.
template <class Number, int Place>
struct GlobalParameter {
    FLASHODE_DEVICE static const void*& address() { return shared_memory<const void*>()[Place]; }
    FLASHODE_DEVICE static const Number* memory() { return global_memory<Number>(address()); }
    FLASHODE_DEVICE static void prepare(const void* parameter) {
        if (thread() == 0) address() = parameter;
    }
};

template <class Number, int Place, int In, int Out>
struct GlobalWeight : GlobalParameter<Number, Place> {
    using Real = Number;
    static constexpr int in = In;
    static constexpr int out = Out;

    template <int Count>
    FLASHODE_DEVICE Pack<Real, Count> rows(int first, int i) const {
        Pack<Real, Count> numbers;
#pragma unroll
        for (int r = 0; r < Count; ++r) {
            const int row = first + r < Out ? first + r : Out - 1;
            numbers.at[r] = this->memory()[row * In + i];
        }
        return numbers;
    }
    FLASHODE_DEVICE Real at(int o, int i) const { return this->memory()[o * In + i]; }
};

template <class Number, int Offset>
struct SharedBias {
    FLASHODE_DEVICE Number at(int row) const { return shared_memory<Number>()[Offset + row]; }
    template <int Threads, int Count>
    FLASHODE_DEVICE static void prepare(const Number* from) {
        for (int e = thread(); e < Count; e += Threads) shared_memory<Number>()[Offset + e] = from[e];
    }
};
template <class Number, int Place>
struct GlobalBias : GlobalParameter<Number, Place> {
    FLASHODE_DEVICE Number at(int row) const { return this->memory()[row]; }
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
FLASHODE_DEVICE constexpr int lanes_at_once(int lanes, int most) {
    int count = 1;
    while (count * 2 <= most && lanes % (count * 2) == 0) count *= 2;
    return count;
}

// What of a product a thread computes at once.
struct Block {
    int rows;
    int lanes;
};

// The smallest block, and so the most threads at work, of which all are computed in one turn; else the
// largest.
FLASHODE_DEVICE constexpr Block block_of(int rows, int lanes, int repeats, int threads) {
    const int most = lanes_at_once(lanes, 4);
    Block block{1, 1};
    while (repeats * (rounded_up(rows, block.rows) / block.rows) * (lanes / block.lanes) > threads) {
        if (block.lanes < most && (block.lanes <= block.rows || block.rows == 4)) {
            block.lanes *= 2;
        } else if (block.rows < 4) {
            block.rows *= 2;
        } else {
            break;
        }
    }
    return block;
}

// How many turns of a loop over products load together, where a thread has so many sums: with few of them it
// waits for what it loads.
FLASHODE_DEVICE constexpr int loads_ahead(int sums) { return sums < 16 ? 8 : 4; }

// Of a row of X: the same number for all lanes, where it has no more.
template <class X, int Count>
FLASHODE_DEVICE Pack<typename X::Real, Count> load_lanes(const typename X::Real* from) {
    if constexpr (!X::uniform) {
        return load<Count>(from);
    } else {
        Pack<typename X::Real, Count> numbers;
#pragma unroll
        for (int l = 0; l < Count; ++l) numbers.at[l] = *from;
        return numbers;
    }
}

// Out = after(weight X + bias), for each of `Repeats` groups of rows.
template <int Threads, class X, class Out, int Repeats, class Weight, class Bias, class After>
FLASHODE_DEVICE void dense(const Weight& weight, const Bias& bias, const After& after) {
    using Real = typename Out::Real;
    constexpr Block own = block_of(Weight::out, Out::lanes, Repeats, Threads);
    constexpr int R = own.rows;
    constexpr int L = own.lanes;
    constexpr int row_blocks = (Weight::out + R - 1) / R;
    constexpr int lane_blocks = Out::lanes / L;
    [[maybe_unused]] constexpr int depth = loads_ahead(R * L);
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
#pragma unroll depth
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
