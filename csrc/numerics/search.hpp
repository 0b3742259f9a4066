// Searches of ascending numbers, and rows of tables by numbers.
#pragma once

#include "numerics/platform.hpp"

namespace flashode::numerics::inline FLASHODE_ISA {

// How many of `count` ascending knots, each so far from the one before, are less than x; `right`: or equal.
// No knot is beyond a NaN. It is torch's search, so that the answer is torch's where knots do not ascend.
template <class Real>
FLASHODE_HD int knots_before(const Real* knots, int apart, int count, Real x, bool right) {
    int first = 0;
    int last = count;
    while (first < last) {
        const int middle = first + (last - first) / 2;
        const Real knot = knots[middle * apart];
        if (right ? knot > x : knot >= x) {
            last = middle;
        } else {
            first = middle + 1;
        }
    }
    return first;
}

// The row of so many that a number names, negative where it names none.
template <class Real>
FLASHODE_LANE int row_named(Real index, int count) {
    return index >= Real(0) && index < static_cast<Real>(count) ? static_cast<int>(index) : -1;
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
