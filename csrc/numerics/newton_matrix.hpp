// LU factors with partial pivoting of one dense matrix for each lane, lanes innermost: (n, n, lanes). A GPU
// thread has one lane.
//
// Golub and Van Loan, "Matrix Computations", 3.4: P A = L U with unit lower L, both in A's place.
#pragma once

#include "numerics/error_norm.hpp"
#include "numerics/platform.hpp"

namespace flashode::numerics::inline FLASHODE_ISA {

namespace detail {

// a -= factor * b in every lane of a row of columns
template <int Lanes, class Real>
FLASHODE_HD void subtract_multiple(int columns, const Real* factor, const Real* b, Real* a) {
    for (int c = 0; c < columns; ++c) {
        FLASHODE_LANE_LOOP
        for (int l = 0; l < Lanes; ++l) a[c * Lanes + l] -= factor[l] * b[c * Lanes + l];
    }
}

template <int Lanes, class Real>
FLASHODE_HD void swap_lane(int columns, int lane, Real* a, Real* b) {
    for (int c = 0; c < columns; ++c) {
        const Real held = a[c * Lanes + lane];
        a[c * Lanes + lane] = b[c * Lanes + lane];
        b[c * Lanes + lane] = held;
    }
}

// The row of the largest entry of a column on and below the diagonal, lane by lane; false when some lane's is
// zero or NaN.
template <int Lanes, class Real>
FLASHODE_HD bool find_pivots(int n, int column, const Real* matrix, int* rows) {
    Real largest[Lanes];
    for (int l = 0; l < Lanes; ++l) {
        largest[l] = magnitude(matrix[(column * n + column) * Lanes + l]);
        rows[l] = column;
    }
    for (int r = column + 1; r < n; ++r) {
        const Real* entry = matrix + (r * n + column) * Lanes;
        for (int l = 0; l < Lanes; ++l) {
            const Real size = magnitude(entry[l]);
            rows[l] = size > largest[l] ? r : rows[l];
            largest[l] = size > largest[l] ? size : largest[l];
        }
    }
    bool usable = true;
    for (int l = 0; l < Lanes; ++l) {
        usable = usable && largest[l] > Real(0) && largest[l] - largest[l] == Real(0);
    }
    return usable;
}

}  // namespace detail

// Returns whether every lane's matrix can be divided by; pivots: (n, lanes).
template <int Lanes, class Real>
FLASHODE_HD bool factor(int n, Real* matrix, int* pivots) {
    bool usable = true;
    for (int c = 0; c < n; ++c) {
        int* rows = pivots + c * Lanes;
        usable = detail::find_pivots<Lanes>(n, c, matrix, rows) && usable;
        Real* pivot = matrix + c * n * Lanes;
        for (int l = 0; l < Lanes; ++l) {
            if (rows[l] != c) detail::swap_lane<Lanes>(n, l, pivot, matrix + rows[l] * n * Lanes);
        }
        for (int r = c + 1; r < n; ++r) {
            Real* row = matrix + r * n * Lanes;
            for (int l = 0; l < Lanes; ++l) row[c * Lanes + l] /= pivot[c * Lanes + l];
            detail::subtract_multiple<Lanes>(n - c - 1, row + c * Lanes, pivot + (c + 1) * Lanes,
                                             row + (c + 1) * Lanes);
        }
    }
    return usable;
}

// x (n, lanes) becomes A^-1 x.
template <int Lanes, class Real>
FLASHODE_HD void solve(int n, const Real* factors, const int* pivots, Real* x) {
    for (int c = 0; c < n; ++c) {
        for (int l = 0; l < Lanes; ++l) {
            detail::swap_lane<Lanes>(1, l, x + c * Lanes, x + pivots[c * Lanes + l] * Lanes);
        }
    }
    for (int c = 0; c < n; ++c) {
        for (int r = c + 1; r < n; ++r) {
            detail::subtract_multiple<Lanes>(1, factors + (r * n + c) * Lanes, x + c * Lanes, x + r * Lanes);
        }
    }
    for (int c = n - 1; c >= 0; --c) {
        for (int l = 0; l < Lanes; ++l) x[c * Lanes + l] /= factors[(c * n + c) * Lanes + l];
        for (int r = 0; r < c; ++r) {
            detail::subtract_multiple<Lanes>(1, factors + (r * n + c) * Lanes, x + c * Lanes, x + r * Lanes);
        }
    }
}

// x (n, lanes) becomes A^-T x.
template <int Lanes, class Real>
FLASHODE_HD void solve_transposed(int n, const Real* factors, const int* pivots, Real* x) {
    for (int c = 0; c < n; ++c) {
        const Real* row = factors + c * n * Lanes;
        for (int l = 0; l < Lanes; ++l) x[c * Lanes + l] /= row[c * Lanes + l];
        for (int r = c + 1; r < n; ++r) {
            detail::subtract_multiple<Lanes>(1, row + r * Lanes, x + c * Lanes, x + r * Lanes);
        }
    }
    for (int c = n - 1; c >= 0; --c) {
        const Real* row = factors + c * n * Lanes;
        for (int r = 0; r < c; ++r) {
            detail::subtract_multiple<Lanes>(1, row + r * Lanes, x + c * Lanes, x + r * Lanes);
        }
    }
    for (int c = n - 1; c >= 0; --c) {
        for (int l = 0; l < Lanes; ++l) {
            detail::swap_lane<Lanes>(1, l, x + c * Lanes, x + pivots[c * Lanes + l] * Lanes);
        }
    }
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
