// The continuous adjoint: the augmented dynamics solved backwards, one solve for each interval between output
// times, the state reset to the forward pass' value at each.
//
// The system, beside what the loops ask for, offers
//   add_cotangent(j)   a += dL/d(state at output time j)
//   move_end(j)        returns dL/dt_j = (dL/dy_j)^T f(t_j, y_j), and subtracts it from dL/dt
//   begin_interval(j)  the state of output time j and the adjoint state are in place; the interval leads back
//                      to output time j - 1
//   time_gradient()    dL/dt at the end of the last interval
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
            if (request.grad_times != nullptr) {
                request.grad_times[j] = system.move_end(j);
                ++total.evaluations;
            }
            system.begin_interval(j);
        }
        const double ends[2] = {-times[j], -times[j - 1]};
        OutputTimes goal({ends, 2});
        const ChosenSteps chosen(ends[0], request.step_t, request.jump_t);
        const GridSteps grid(on_grid ? request.grids[j - 1] : Times{}, at.interval.outcome.accepted);
        integrate(system, method, chosen, grid, goal, record, watch, at.interval);
        if (at.interval.outcome.status == Status::interrupted) {
            total.status = Status::interrupted;
            return;
        }
        total.status = Status::done;
        if (system.miss() > total.miss) {
            total.miss = system.miss();
            total.miss_t = times[j - 1];
        }
        total.size = system.size();
        add_interval(at.interval.outcome, total);
        if (total.status != Status::done) return;
        system.add_cotangent(j - 1);
        at.interval = {};
    }
    if (request.grad_times != nullptr) request.grad_times[0] = system.time_gradient();
}

}  // namespace flashode::solve::inline FLASHODE_ISA
