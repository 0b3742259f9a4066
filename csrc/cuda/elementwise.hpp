// Operations of a Program that move rows or take them one by one. Threads: of the block. Numbers that an
// operation is given are compile-time constants where it is called.
#pragma once

#include "cuda/values.hpp"
#include "numerics/binary_functions.hpp"
#include "numerics/unary_functions.hpp"

namespace flashode::cuda {

using numerics::BinaryFn;
using numerics::UnaryFn;

template <int Threads, UnaryFn Fn, class X, class Out, class... Constants>
FLASHODE_DEVICE void unary(Constants... constants) {
    using Real = typename Out::Real;
    const Real c[] = {static_cast<Real>(constants)..., Real(0)};
    own_elements<Threads, Out>(
        [&](int row, int lane) { Out::at(row, lane) = numerics::unary_value<Fn>(X::at(row, lane), c); });
}

// The same, of what another operation has computed.
template <UnaryFn Fn, class Real>
struct Apply {
    Real c[4];
    FLASHODE_DEVICE Real operator()(Real x) const { return numerics::unary_value<Fn>(x, c); }
};

template <int Threads, BinaryFn Fn, class A, class B, class Out>
FLASHODE_DEVICE void binary() {
    own_elements<Threads, Out>([&](int row, int lane) {
        Out::at(row, lane) = numerics::binary_value<Fn>(A::at(row, lane), B::at(row, lane));
    });
}

template <int Threads, class Condition, class A, class B, class Out>
FLASHODE_DEVICE void select() {
    using Real = typename Out::Real;
    own_elements<Threads, Out>([&](int row, int lane) {
        Out::at(row, lane) = Condition::at(row, lane) != Real(0) ? A::at(row, lane) : B::at(row, lane);
    });
}

// The rows of X from `Begin` on, for every lane of Out.
template <int Threads, class X, int Begin, class Out>
FLASHODE_DEVICE void rows_from() {
    own_elements<Threads, Out>([&](int row, int lane) { Out::at(row, lane) = X::at(Begin + row, lane); });
}

// Any rows: `from` has for each of them where its first lane is in shared memory, and, as the lowest bit,
// whether it has one for each trajectory.
template <int Threads, class Out>
FLASHODE_DEVICE void gather(const int* from) {
    using Real = typename Out::Real;
    own_elements<Threads, Out>([&](int row, int lane) {
        const int place = from[row];
        Out::at(row, lane) = shared_memory<Real>()[(place >> 1) + (place & 1) * lane];
    });
}

// Row r is the sum of the rows `rows[starts[r]]` … `rows[starts[r + 1] - 1]` of X.
template <int Threads, class X, class Out>
FLASHODE_DEVICE void segment_sum(const int* starts, const int* rows) {
    using Real = typename Out::Real;
    own_elements<Threads, Out>([&](int row, int lane) {
        Real sum = Real(0);
        for (int i = starts[row]; i < starts[row + 1]; ++i) sum += X::at(rows[i], lane);
        Out::at(row, lane) = sum;
    });
}

// Numbers in global memory, the same for all lanes.
template <int Threads, class Out, class Number>
FLASHODE_DEVICE void load_uniform(const Number* from) {
    using Real = typename Out::Real;
    own_elements<Threads, Out>([&](int row, int lane) { Out::at(row, lane) = static_cast<Real>(from[row]); });
}

}  // namespace flashode::cuda
