// Searches among knots and rows of tables at computed indices. Knots and tables are values in shared memory,
// or parameters in global memory.
#pragma once

#include "cuda/dense.hpp"
#include "cuda/values.hpp"
#include "numerics/search.hpp"

namespace flashode::cuda {

// A parameter as a value that all trajectories share.
template <class Number, int Place, int Width>
struct GlobalTable : GlobalParameter<Number, Place> {
    using Real = Number;
    static constexpr int width = Width;
    static constexpr int stride = 1;
    static constexpr bool uniform = true;

    FLASHODE_DEVICE static const Real* memory() { return GlobalParameter<Number, Place>::memory(); }
    FLASHODE_DEVICE static Real at(int row, int) { return memory()[row]; }
};

// How many of the knots of a row's group are before it.
template <int Threads, class X, class Knots, class Out, int Groups, bool Right>
FLASHODE_DEVICE void bucketize() {
    using Real = typename Out::Real;
    constexpr int count = Knots::width / Groups;
    own_elements<Threads, Out>([&](int row, int lane) {
        const int begin = row / (X::width / Groups) * count * Knots::stride + (Knots::uniform ? 0 : lane);
        Out::at(row, lane) = static_cast<Real>(numerics::knots_before(
            Knots::memory() + begin, Knots::stride, count, static_cast<Real>(X::at(row, lane)), Right));
    });
}

// The number of the table that is in the row which its index names; `starts`: where it is in the first row.
template <int Threads, class Index, class Table, class Out, int Stride, int Count>
FLASHODE_DEVICE void lookup(const int* starts) {
    using Real = typename Out::Real;
    own_elements<Threads, Out>([&](int e, int lane) {
        const Real index = Index::at(e / (Out::width / Index::width), lane);
        const int row = numerics::row_named(index, Count);
        Out::at(e, lane) =
            row < 0 ? numerics::FloatFormat<Real>::nan : Table::at(starts[e] + Stride * row, lane);
    });
}

}  // namespace flashode::cuda
