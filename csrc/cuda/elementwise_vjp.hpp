// The reverse of what elementwise.hpp does: from the gradient in an operation's result, those in what it
// read. Assign: the gradient is set, else added to. Every element of a gradient is the sum of the thread that
// owns it, also where rows are read several times, or by all trajectories: nothing is added atomically.
#pragma once

#include "cuda/values.hpp"
#include "numerics/binary_functions.hpp"
#include "numerics/unary_functions.hpp"

namespace flashode::cuda {

using numerics::BinaryFn;
using numerics::UnaryFn;

// The gradient `of(row, lane)`; of a value that all trajectories share, its sum over so many lanes.
template <int Threads, int Lanes, class Grad, bool Assign, class Of>
FLASHODE_DEVICE void give(const Of& of) {
    using Real = typename Grad::Real;
    own_elements<Threads, Grad>([&](int row, int lane) {
        Real sum = Real(0);
        if constexpr (Grad::lanes == Lanes) {
            sum = of(row, lane);
        } else {
            for (int l = 0; l < Lanes; ++l) sum += of(row, l);
        }
        Grad::at(row, lane) = Assign ? sum : Grad::at(row, lane) + sum;
    });
}

// Nothing has a gradient in these rows.
template <int Threads, class Grad>
FLASHODE_DEVICE void clear() {
    own_elements<Threads, Grad>([](int row, int lane) { Grad::at(row, lane) = 0; });
}

// The gradient in a copy, for what was copied.
template <int Threads, class GradY, class GradX, bool Assign>
FLASHODE_DEVICE void copy_vjp() {
    give<Threads, GradY::lanes, GradX, Assign>([](int row, int lane) { return GradY::at(row, lane); });
}

// Y: of the result.
template <int Threads, UnaryFn Fn, class X, class Y, class GradY, class GradX, bool Assign,
          class... Constants>
FLASHODE_DEVICE void unary_vjp(Constants... constants) {
    using Real = typename X::Real;
    const Real c[] = {static_cast<Real>(constants)..., Real(0)};
    give<Threads, Y::lanes, GradX, Assign>([&](int row, int lane) {
        const Real x = X::at(row, lane);
        const Real slope = numerics::unary_derivative<Fn>(x, Y::at(row, lane), c);
        return numerics::chained(numerics::unary_passes<Fn>(x, c), GradY::at(row, lane), slope);
    });
}

// The gradient in the first argument, or in the second.
template <int Threads, BinaryFn Fn, bool First, class A, class B, class Y, class GradY, class Grad,
          bool Assign>
FLASHODE_DEVICE void binary_vjp() {
    using Real = typename Y::Real;
    give<Threads, Y::lanes, Grad, Assign>([&](int row, int lane) {
        Real grad_a;
        Real grad_b;
        numerics::binary_vjp<Fn>(A::at(row, lane), B::at(row, lane), Y::at(row, lane), GradY::at(row, lane),
                                 grad_a, grad_b);
        return First ? grad_a : grad_b;
    });
}

// A gradient goes to the one that was taken, whatever it is: a product with a mask would make NaN of
// infinity.
template <int Threads, bool First, class Condition, class GradY, class Grad, bool Assign>
FLASHODE_DEVICE void select_vjp() {
    using Real = typename GradY::Real;
    give<Threads, GradY::lanes, Grad, Assign>([&](int row, int lane) {
        return (Condition::at(row, lane) != Real(0)) == First ? GradY::at(row, lane) : Real(0);
    });
}

// Row r of X has become the rows `rows[starts[r]]` … `rows[starts[r + 1] - 1]`.
template <int Threads, class GradY, class GradX, bool Assign>
FLASHODE_DEVICE void gather_vjp(const int* starts, const int* rows) {
    using Real = typename GradX::Real;
    give<Threads, GradY::lanes, GradX, Assign>([&](int row, int lane) {
        Real sum = Real(0);
        for (int i = starts[row]; i < starts[row + 1]; ++i) sum += GradY::at(rows[i], lane);
        return sum;
    });
}

// Row r of X has been added to row `segment[r]`.
template <int Threads, class GradY, class GradX, bool Assign>
FLASHODE_DEVICE void segment_sum_vjp(const int* segment) {
    give<Threads, GradY::lanes, GradX, Assign>(
        [&](int row, int lane) { return GradY::at(segment[row], lane); });
}

}  // namespace flashode::cuda
