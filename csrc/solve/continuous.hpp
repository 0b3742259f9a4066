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

FLASHODE_CALLS_EITHER_SIDE
template <class System, class Real, class Watch>
FLASHODE_HD Outcome solve_adjoint(System& system, const Method& method,
                                  const ContinuousRequest<Real>& request, Watch& watch) {
    Outcome total;
    NoRecord record;
    const double* times = request.times.at;
    std::int64_t i = request.times.count - 1;
    system.add_cotangent(i);
    for (; i >= 1; --i) {
        if (request.grad_times != nullptr) {
            request.grad_times[i] = system.move_end(i);
            ++total.evaluations;
        }
        system.begin_interval(i);
        const double ends[2] = {-times[i], -times[i - 1]};
        OutputTimes goal({ends, 2});
        const ChosenSteps chosen(ends[0], request.step_t, request.jump_t);
        const bool on_grid = method.tableau.control == Control::fixed;
        const GridSteps grid(on_grid ? request.grids[i - 1] : Times{});
        const Outcome outcome = integrate(system, method, chosen, grid, goal, record, watch);
        if (system.miss() > total.miss) {
            total.miss = system.miss();
            total.miss_t = times[i - 1];
        }
        total.size = system.size();
        add_interval(outcome, total);
        if (total.status != Status::done) return total;
        system.add_cotangent(i - 1);
    }
    if (request.grad_times != nullptr) request.grad_times[0] = system.time_gradient();
    return total;
}

}  // namespace flashode::solve::inline FLASHODE_ISA
