// The test framework, and a comparison that it lacks.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <ostream>
#include <string_view>

namespace flashode::testing {

// The same number: NaN is NaN, and a zero has its sign.
template <class Real>
bool same(Real a, Real b) {
    return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

}  // namespace flashode::testing
