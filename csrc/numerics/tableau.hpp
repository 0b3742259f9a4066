// A Runge-Kutta tableau as every kernel, on host and device, receives it.
#pragma once

#include <cstdint>

#include "numerics/platform.hpp"

namespace flashode::numerics {

// What chooses the steps: a grid or a fixed size, or an estimate of the error.
enum class Control : std::uint8_t { fixed, error };

// Which equations the stages solve: none, one stage after another each its own, or all of them together.
enum class Equations : std::uint8_t { none, diagonal, full };

// dopri8 has 14 stages; no explicit method in use has more than 16.
inline constexpr int MAX_STAGES = 16;

// What a tableau is, beside its numbers.
struct TableauFacts {
    int stages = 0;
    int order = 0;
    Control control = Control::fixed;
    Equations equations = Equations::none;  // rows of `a` are full where there are any
    bool carried = false;                   // the last stage is the first of the next step …
    bool fsal = false;                      // … and is evaluated at the solution: b == (a[last], 0)
};

template <class Real>
struct Tableau : TableauFacts {
    Real a[MAX_STAGES][MAX_STAGES] = {};
    Real b[MAX_STAGES] = {};
    Real c[MAX_STAGES] = {};
    Real b_error[MAX_STAGES] = {};  // error_estimate = dt * sum(b_error[i] * k[i]), where it controls
    Real b_mid[MAX_STAGES] = {};    // y(t0 + dt/2) = y0 + dt * sum(b_mid[i] * k[i]), for the quartic
};

}  // namespace flashode::numerics

namespace flashode::numerics::inline FLASHODE_ISA {

template <class To, class From>
Tableau<To> rounded(const Tableau<From>& from) {
    Tableau<To> to;
    static_cast<TableauFacts&>(to) = from;
    for (int i = 0; i < MAX_STAGES; ++i) {
        for (int j = 0; j < MAX_STAGES; ++j) to.a[i][j] = static_cast<To>(from.a[i][j]);
        to.b[i] = static_cast<To>(from.b[i]);
        to.c[i] = static_cast<To>(from.c[i]);
        to.b_error[i] = static_cast<To>(from.b_error[i]);
        to.b_mid[i] = static_cast<To>(from.b_mid[i]);
    }
    return to;
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
