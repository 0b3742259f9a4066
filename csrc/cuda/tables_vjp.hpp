// The reverse of what tables.hpp looks up: the gradient in a number goes to where it was in the table.
// Numbers whose starts differ by no multiple of the stride never meet there: those that do are of one class,
// and one thread adds up a class, for each lane where lanes have tables of their own.
#pragma once

#include "cuda/dense_vjp.hpp"
#include "cuda/tables.hpp"

namespace flashode::cuda {

// The numbers of class k are `order[begins[k]]` … `order[begins[k + 1] - 1]`. Calls add(element, lane,
// number).
template <int Threads, class Index, class GradY, int Stride, int Count, int Classes, bool ByLanes, class Add>
FLASHODE_DEVICE void add_up(const int* starts, const int* begins, const int* order, const Add& add) {
    constexpr int own = ByLanes ? GradY::lanes : 1;
#pragma unroll 1
    for (int item = thread(); item < Classes * own; item += Threads) {
        const int k = item / own;
        const int first = ByLanes ? item % own : 0;
        for (int i = begins[k]; i < begins[k + 1]; ++i) {
            const int e = order[i];
            for (int lane = first; lane < (ByLanes ? first + 1 : GradY::lanes); ++lane) {
                const int row =
                    numerics::row_named(Index::at(e / (GradY::width / Index::width), lane), Count);
                if (row >= 0) add(starts[e] + Stride * row, lane, GradY::at(e, lane));
            }
        }
    }
}

// For a table that is a value.
template <int Threads, class Index, class GradY, class Grad, int Stride, int Count, int Classes, bool Assign>
FLASHODE_DEVICE void lookup_vjp(const int* starts, const int* begins, const int* order) {
    using Real = typename Grad::Real;
    if constexpr (Assign) {
        clear<Threads, Grad>();
        sync_block();
    }
    constexpr bool by_lanes = !Grad::uniform && !GradY::uniform;
    add_up<Threads, Index, GradY, Stride, Count, Classes, by_lanes>(
        starts, begins, order, [](int element, int lane, Real number) { Grad::at(element, lane) += number; });
}

// For one that is a parameter.
template <int Threads, class Index, class GradY, int Stride, int Count, int Classes, class Accumulator>
FLASHODE_DEVICE void lookup_vjp_parameter(const Accumulator& accumulator, const int* starts,
                                          const int* begins, const int* order) {
    using Real = typename GradY::Real;
    add_up<Threads, Index, GradY, Stride, Count, Classes, false>(
        starts, begins, order, [&](int element, int, Real number) { accumulator.at(element) += number; });
}

}  // namespace flashode::cuda
