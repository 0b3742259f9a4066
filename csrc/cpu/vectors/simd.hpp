// Vectors of the instruction set being compiled, and the width of a tile.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <vector>

#include "numerics/platform.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

#if defined(__AVX512F__) && !defined(FLASHODE_FEATURES_IN_LANES)
inline constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX__)
inline constexpr int VECTOR_BYTES = 32;
#else
inline constexpr int VECTOR_BYTES = 16;
#endif

inline constexpr int CACHE_LINE = 64;

// Scalars of a cache line: whole vectors on every instruction set.
template <class Real>
inline constexpr int LINE = CACHE_LINE / static_cast<int>(sizeof(Real));

// The engine is compiled twice for each instruction set. In a tile of many trajectories a row, the same
// element of each of them, is one cache line on every instruction set, so that results of one machine differ
// from another's by rounding alone, and tile layouts need no case distinction. For one trajectory, or a few
// after another, a tile is one: its rows are scalars, the features, and stand side by side in the vectors.
#ifdef FLASHODE_FEATURES_IN_LANES
template <class Real>
inline constexpr int LANES = 1;
#else
template <class Real>
inline constexpr int LANES = LINE<Real>;
#endif

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
        return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{CACHE_LINE}));
    }
    void deallocate(T* p, std::size_t) { ::operator delete(p, std::align_val_t{CACHE_LINE}); }
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

// Copies rows of a tile. Those of one trajectory are a few numbers: a call of memmove would take longer than
// they.
template <class Real>
inline void copy_rows(int n, const Real* from, Real* to) {
    int e = 0;
    for (; e + LINE<Real> <= n; e += LINE<Real>) std::memcpy(to + e, from + e, CACHE_LINE);
    if constexpr (LANES<Real> < LINE<Real>) {
        const auto rest = [&]<int Count>() {
            if ((n & Count) == 0) return;
            std::memcpy(to + e, from + e, Count * sizeof(Real));
            e += Count;
        };
        if constexpr (LINE<Real> > 8) rest.template operator()<8>();
        rest.template operator()<4>();
        rest.template operator()<2>();
        rest.template operator()<1>();
    }
}

// Halves are added to halves, which vectorises; adding one after the other may not be reordered and does not.
template <int Count, class Real>
inline Real sum_of(const Real* values) {
    Real part[Count];
    std::memcpy(part, values, sizeof part);
    for (int half = Count / 2; half > 0; half /= 2) {
        for (int l = 0; l < half; ++l) part[l] += part[l + half];
    }
    return part[0];
}

template <class Real>
inline Real sum_of_lanes(const Real* row) {
    return sum_of<LANES<Real>>(row);
}

// The sum of term(e) over the elements begin to end, of which a cache line's worth are added up side by side.
template <class Real, class Term>
inline Real sum_over(int begin, int end, const Term& term) {
    Real part[LINE<Real>] = {};
    int e = begin;
    for (; e + LINE<Real> <= end; e += LINE<Real>) {
        for (int l = 0; l < LINE<Real>; ++l) part[l] += term(e + l);
    }
    for (; e < end; ++e) part[0] += term(e);
    return sum_of<LINE<Real>>(part);
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
