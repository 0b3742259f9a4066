// A Runge-Kutta tableau as every kernel, on host and device, receives it.
#pragma once

#include "numerics/platform.hpp"

namespace flashode::numerics {

// dopri8 has 14 stages; no explicit method in use has more than 16.
inline constexpr int MAX_STAGES = 16;

template <class Real>
struct Tableau {
    int stages = 0;
    int order = 0;
    bool adaptive = false;
    bool implicit = false;  // rows of `a` are full: the stages solve equations
    bool fsal = false;      // the last stage is evaluated at the solution: b == (a[last], 0)
    Real a[MAX_STAGES][MAX_STAGES] = {};
    Real b[MAX_STAGES] = {};
    Real c[MAX_STAGES] = {};
    Real b_error[MAX_STAGES] = {};  // error_estimate = dt * sum(b_error[i] * k[i]); adaptive methods only
    Real b_mid[MAX_STAGES] = {};    // y(t0 + dt/2) = y0 + dt * sum(b_mid[i] * k[i]); adaptive methods only
};

}  // namespace flashode::numerics

namespace flashode::numerics::inline FLASHODE_ISA {

template <class To, class From>
Tableau<To> rounded(const Tableau<From>& from) {
    Tableau<To> to;
    to.stages = from.stages;
    to.order = from.order;
    to.adaptive = from.adaptive;
    to.implicit = from.implicit;
    to.fsal = from.fsal;
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
