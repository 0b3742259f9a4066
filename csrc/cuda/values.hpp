// The values of a field in shared memory, as types: where one is, is known when the kernel is compiled, and
// no pointer is handed on. A value has `width` rows of `lanes` numbers: one for each trajectory of a tile, or
// one for all of them where it depends on t and parameters alone.
//
// Element (row, lane) is the business of one thread in all operations that go through the elements of what
// they write; others need a barrier before them. The generated text has the barriers.
#pragma once

#include "cuda/machine.hpp"

namespace flashode::cuda {

template <class Number, int Offset, int Width, int Lanes, int Stride>
struct Rows {
    using Real = Number;
    static constexpr int width = Width;
    static constexpr int lanes = Lanes;
    static constexpr int stride = Stride;  // from one row to the next
    static constexpr bool uniform = false;

    FLASHODE_DEVICE static Real* memory() { return shared_memory<Real>() + Offset; }
    FLASHODE_DEVICE static Real& at(int row, int lane) { return memory()[row * Stride + lane]; }
};

template <class Number, int Offset, int Width>
struct Uniform {
    using Real = Number;
    static constexpr int width = Width;
    static constexpr int lanes = 1;
    static constexpr int stride = 1;
    static constexpr bool uniform = true;

    FLASHODE_DEVICE static Real* memory() { return shared_memory<Real>() + Offset; }
    FLASHODE_DEVICE static Real& at(int row, int) { return memory()[row]; }
};

// Calls visit(row, lane) for the elements of a value that the thread owns.
template <int Threads, class Value, class Visit>
FLASHODE_DEVICE void own_elements(const Visit& visit) {
#pragma unroll 1
    for (int e = thread(); e < Value::width * Value::lanes; e += Threads)
        visit(e / Value::lanes, e % Value::lanes);
}

// Some numbers side by side, loaded and stored at once.
template <class Real, int Count>
struct alignas(Count * sizeof(Real) <= 16 ? Count * sizeof(Real) : 16) Pack {
    Real at[Count];
};

template <int Count, class Real>
FLASHODE_DEVICE Pack<Real, Count> load(const Real* from) {
    return *reinterpret_cast<const Pack<Real, Count>*>(from);
}
template <int Count, class Real>
FLASHODE_DEVICE void store(Real* to, const Pack<Real, Count>& numbers) {
    *reinterpret_cast<Pack<Real, Count>*>(to) = numbers;
}

}  // namespace flashode::cuda
