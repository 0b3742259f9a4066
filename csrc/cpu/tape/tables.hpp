// Searches among knots and rows of tables at computed indices. Knots and tables are rows of the tile, of
// which every lane has its own, or parameters, which all lanes share.
#pragma once

#include <algorithm>

#include "cpu/vectors/simd.hpp"
#include "numerics/search.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// Numbers, one after another, as one lane sees them.
template <class Number>
struct Numbers {
    Number* memory = nullptr;
    int apart = 1;  // from one of a lane to its next
    bool by_lanes = false;

    Number* at(int element, int lane) const { return memory + element * apart + (by_lanes ? lane : 0); }
};

template <class Real>
inline Numbers<Real> rows_of_tile(Real* memory) {
    return {memory, LANES<std::remove_const_t<Real>>, true};
}
template <class Real>
inline Numbers<Real> shared_by_lanes(Real* memory) {
    return {memory, 1, false};
}

// Whether all lanes of a row hold the same number, as where it is made of t alone.
template <class Real>
inline bool is_level(const Real* row) {
    for (int l = 1; l < LANES<Real>; ++l) {
        if (row[l] != row[0]) return false;
    }
    return row[0] == row[0];
}

// What there is to know of a search or of a table.
struct TableShape {
    int groups = 1;  // of a search: knots for each of as many equal parts
    int count = 0;   // knots of a group, or rows of a table
    bool right = false;
    int stride = 1;  // from one row of a table to the next
    int width = 1;   // numbers of a row
};

// Of so many numbers, each row of lanes.
template <class Real>
inline void bucketize(const TableShape& of, int n, const Numbers<const Real>& knots, const Real* x,
                      Real* out) {
    const int size = n / of.groups;
    for (int r = 0; r < n; ++r, x += LANES<Real>, out += LANES<Real>) {
        const int group = r / size * of.count;
        const auto before = [&](int lane) {
            return static_cast<Real>(
                numerics::knots_before(knots.at(group, lane), knots.apart, of.count, x[lane], of.right));
        };
        if (!knots.by_lanes && is_level(x)) {
            std::fill(out, out + LANES<Real>, before(0));
        } else {
            for (int l = 0; l < LANES<Real>; ++l) out[l] = before(l);
        }
    }
}

// `starts`: of each number of the result, where it is in the first row of the table.
template <class Real>
inline void lookup(const TableShape& of, int n, const int* starts, const Real* index,
                   const Numbers<const Real>& table, Real* out) {
    for (int r = 0; r < n; r += of.width, index += LANES<Real>) {
        int rows[LANES<Real>];
        for (int l = 0; l < LANES<Real>; ++l) rows[l] = numerics::row_named(index[l], of.count) * of.stride;
        for (int j = 0; j < of.width; ++j, ++starts, out += LANES<Real>) {
            for (int l = 0; l < LANES<Real>; ++l) {
                out[l] = rows[l] < 0 ? numerics::FloatFormat<Real>::nan : *table.at(*starts + rows[l], l);
            }
        }
    }
}

// grad_table += the gradient in the numbers that were looked up
template <class Real>
inline void lookup_vjp(const TableShape& of, int n, const int* starts, const Real* index,
                       const Real* grad_out, const Numbers<Real>& grad_table) {
    for (int r = 0; r < n; r += of.width, index += LANES<Real>) {
        int rows[LANES<Real>];
        for (int l = 0; l < LANES<Real>; ++l) rows[l] = numerics::row_named(index[l], of.count) * of.stride;
        for (int j = 0; j < of.width; ++j, ++starts, grad_out += LANES<Real>) {
            for (int l = 0; l < LANES<Real>; ++l) {
                if (rows[l] >= 0) *grad_table.at(*starts + rows[l], l) += grad_out[l];
            }
        }
    }
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
