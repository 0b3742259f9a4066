// Vectors of the instruction set being compiled, and the width of a tile.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <vector>

#include "numerics/platform.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

#if defined(__AVX512F__)
inline constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX__)
inline constexpr int VECTOR_BYTES = 32;
#else
inline constexpr int VECTOR_BYTES = 16;
#endif

// A row of a tile is one 64-byte cache line on every instruction set, so that results of one machine differ
// from another's by rounding alone, and tile layouts need no case distinction.
inline constexpr int ROW_BYTES = 64;

template <class Real>
inline constexpr int LANES = ROW_BYTES / static_cast<int>(sizeof(Real));

inline constexpr int VECTORS_PER_ROW = ROW_BYTES / VECTOR_BYTES;

template <class Real>
struct VectorOf {
    typedef Real type __attribute__((vector_size(VECTOR_BYTES)));
};
template <class Real>
using Vector = typename VectorOf<Real>::type;

template <class Real>
inline constexpr int VECTOR_LENGTH = VECTOR_BYTES / static_cast<int>(sizeof(Real));

// Rows start on cache lines: a vector that straddles two costs twice.
template <class T>
struct RowAllocator {
    using value_type = T;
    RowAllocator() = default;
    template <class U>
    RowAllocator(const RowAllocator<U>&) {}
    T* allocate(std::size_t n) {
        return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{ROW_BYTES}));
    }
    void deallocate(T* p, std::size_t) { ::operator delete(p, std::align_val_t{ROW_BYTES}); }
    template <class U>
    bool operator==(const RowAllocator<U>&) const {
        return true;
    }
};
template <class T>
using Rows = std::vector<T, RowAllocator<T>>;

template <class Real>
inline Vector<Real> load(const Real* from) {
    Vector<Real> v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <class Real>
inline void store(Real* to, Vector<Real> v) {
    std::memcpy(to, &v, sizeof v);
}

// Halves are added to halves, which vectorises; adding one lane after the other may not be reordered and does
// not.
template <class Real>
inline Real sum_of_lanes(const Real* row) {
    Real part[LANES<Real>];
    std::memcpy(part, row, sizeof part);
    for (int half = LANES<Real> / 2; half > 0; half /= 2) {
        for (int l = 0; l < half; ++l) part[l] += part[l + half];
    }
    return part[0];
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
