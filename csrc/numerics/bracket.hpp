// The bisection of an interval in which a sign changes.
#pragma once

#include "numerics/platform.hpp"

namespace flashode::numerics {

struct Bracket {
    double begin;  // where the sign is still that of the start
    double end;    // where it is not

    double middle() const { return (begin + end) / 2.0; }
};

}  // namespace flashode::numerics

namespace flashode::numerics::inline FLASHODE_ISA {

// How often to halve an interval until it is no longer than the tolerance. More halvings than there are
// numbers between any two change nothing.
FLASHODE_HD int halvings(const Bracket& bracket, double tolerance) {
    constexpr double MOST = 2200.0;
    const double wanted = ::ceil(::log((bracket.end - bracket.begin) / tolerance) / ::log(2.0));
    if (!(wanted > 0.0)) return 0;
    return static_cast<int>(wanted < MOST ? wanted : MOST);
}

// `sign` and the sign of a value agree; NaN agrees with nothing.
FLASHODE_HD bool same_sign(int sign, double value) {
    return sign > 0 ? value > 0.0 : (sign < 0 ? value < 0.0 : value == 0.0);
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
