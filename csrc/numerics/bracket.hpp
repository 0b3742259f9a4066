// The bisection of an interval in which a number ceases to be positive.
#pragma once

#include "numerics/platform.hpp"

namespace flashode::numerics {

struct Bracket {
    double begin;  // where it still is
    double end;    // where it is no longer
};

}  // namespace flashode::numerics

namespace flashode::numerics::inline FLASHODE_ISA {

FLASHODE_HD double middle(const Bracket& bracket) { return (bracket.begin + bracket.end) / 2.0; }

// How often to halve an interval until it is no longer than the tolerance; if that is 0, more often than
// there are numbers in it.
FLASHODE_HD int halvings(const Bracket& bracket, double tolerance) {
    constexpr double MOST = 1e6;
    const double wanted = ::ceil(::log((bracket.end - bracket.begin) / tolerance) / ::log(2.0));
    return static_cast<int>(wanted < MOST ? wanted : MOST);
}

FLASHODE_HD bool lies_inside(const Bracket& bracket, double t) {
    return bracket.begin < t && t < bracket.end;
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
