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

// How often to halve an interval until it is no longer than the tolerance; infinite for none.
FLASHODE_HD double halvings(const Bracket& bracket, double tolerance) {
    return ::ceil(::log((bracket.end - bracket.begin) / tolerance) / ::log(2.0));
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
