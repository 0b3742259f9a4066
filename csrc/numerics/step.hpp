// One explicit Runge-Kutta step over a flat array of n scalars: one trajectory on a GPU thread, width x lanes
// of a tile on the CPU. The step neither knows nor cares which.
//
// `Field` is called as field(stage, t, y, dydt).
#pragma once

#include "numerics/combine.hpp"
#include "numerics/platform.hpp"
#include "numerics/tableau.hpp"

namespace flashode::numerics {

// The times of one step in the precision of the state.
template <class Real>
struct StepTimes {
    Real start;
    Real dt;
    Real stages[MAX_STAGES];  // at which each is evaluated
};

}  // namespace flashode::numerics

namespace flashode::numerics::inline FLASHODE_ISA {

// Stage times are those of a field evaluated in plain Python: products and sums in double, each rounded, and
// the sums rounded to the precision of the state. A field may jump at one of them.
//   end  what stages with c == 1 see: steps that an error chooses look just before their end, so that a
//        discontinuity lying exactly there is not touched
template <class Real, class Exact>
FLASHODE_HD Real stage_time(const Tableau<Exact>& tableau, int stage, double start, double dt, Real end) {
    const auto c = static_cast<double>(tableau.c[stage]);
    return c == 1.0 ? end : static_cast<Real>(start + rounded_product(c, dt));
}

// Of all stages.
template <class Real, class Exact>
FLASHODE_HD StepTimes<Real> step_times(const Tableau<Exact>& tableau, double start, double dt, Real end) {
    StepTimes<Real> times{static_cast<Real>(start), static_cast<Real>(dt), {}};
    for (int i = 0; i < tableau.stages; ++i) times.stages[i] = stage_time(tableau, i, start, dt, end);
    return times;
}

// Evaluates stages 1 … s-1 (k[0] is given) and the solution y1.
//   k         (stages, n)
//   y_stages  the stages' arguments: stage i uses y_stages + i * y_stride. A stride of 0 needs room for one,
//             a stride of n keeps them all
//   with_last a last stage that is not part of the solution (fsal) is evaluated too
template <class Real, class Field>
FLASHODE_HD void step(const Tableau<Real>& tableau, Field& field, const StepTimes<Real>& times, int n,
                      const Real* y0, Real* k, Real* y_stages, int y_stride, bool with_last, Real* y1) {
    const int last = tableau.stages - 1;
    for (int i = 1; i <= last; ++i) {
        Real* y = (i == last && tableau.fsal) ? y1 : y_stages + i * y_stride;
        combine(n, y0, times.dt, tableau.a[i], i, k, y);
        if (i == last && tableau.fsal && !with_last) return;
        field(i, times.stages[i], y, k + i * n);
    }
    if (!tableau.fsal) combine(n, y0, times.dt, tableau.b, tableau.stages, k, y1);
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
