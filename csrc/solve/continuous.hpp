// The continuous adjoint: the augmented dynamics solved backwards, one solve for each interval between output
// times, the state reset to the forward pass' value at each.
//
// The system, beside what the loops ask for, offers
//   add_cotangent(j)   a += dL/d(state at output time j)
//   wants_times()      whether gradients in times are wanted
//   move_end(j)        that in t_j is (dL/dy_j)^T f(t_j, y_j), and is subtracted from dL/dt
//   begin_interval(j)  the state of output time j and the adjoint state are in place; the interval leads back
//                      to output time j - 1
//   move_start()       that in t_0 is dL/dt at the end of the last interval
//   miss()             by how much y misses the state that the last interval leads back to
//   size()             the largest element of the states
#pragma once

#include <cstdint>

#include "solve/goals.hpp"
#include "solve/loops.hpp"
#include "solve/request.hpp"

namespace flashode::solve::inline FLASHODE_ISA {

// Adds the outcome of an interval, in reversed time, to that of all so far.
FLASHODE_HD void add_interval(const Outcome& one, Outcome& total) {
    total.evaluations += one.evaluations;
    total.accepted += one.accepted;
    total.rejected += one.rejected;
    total.nan_met = total.nan_met || one.nan_met;
    if (total.unconverged == 0) total.unconverged_t = -one.unconverged_t;
    total.unconverged += one.unconverged;
    if (one.status == Status::done) return;
    total.status = one.status;
    total.t = -one.t;
    total.dt = one.dt;
    total.trajectory = one.trajectory;
    total.row = one.row;
}

// Where an adjoint solve stands: in the interval that leads back from output time `j`, if it has begun.
struct AdjointProgress {
    Outcome total;  // of the intervals that are done
    Progress interval;
    std::int64_t j = -1;
};

FLASHODE_CALLS_EITHER_SIDE
template <class System, class Real, class Watch>
FLASHODE_HD void solve_adjoint(System& system, const Method& method, const ContinuousRequest<Real>& request,
                               Watch& watch, AdjointProgress& at) {
    Outcome& total = at.total;
    NoRecord record;
    const double* times = request.times.at;
    const bool on_grid = method.tableau.control == Control::fixed;
    if (at.j < 0) {
        at.j = request.times.count - 1;
        system.add_cotangent(at.j);
    }
    for (; at.j >= 1; --at.j) {
        const std::int64_t j = at.j;
        if (!at.interval.begun) {
            if (system.wants_times()) {
                system.move_end(j);
                ++total.evaluations;
            }
            system.begin_interval(j);
        }
        OneTime goal(-times[j - 1]);
        const ChosenSteps chosen(-times[j], request.step_t, request.jump_t);
        const GridSteps grid(on_grid ? request.grids[j - 1] : Times{}, at.interval.outcome.accepted);
        integrate(system, method, chosen, grid, goal, record, watch, at.interval);
        const double size = system.size();
        if (size > total.size) total.size = size;
        if (at.interval.outcome.status == Status::interrupted) {
            total.status = Status::interrupted;
            return;
        }
        total.status = Status::done;
        const double miss = system.miss();
        if (miss > total.miss) {
            total.miss = miss;
            total.miss_t = times[j - 1];
        }
        add_interval(at.interval.outcome, total);
        if (total.status != Status::done) return;
        system.add_cotangent(j - 1);
        at.interval = {};
    }
    if (system.wants_times()) system.move_start();
}

}  // namespace flashode::solve::inline FLASHODE_ISA
