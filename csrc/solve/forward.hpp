// Forward solves, each towards its goal. The system has the initial state in place. Beside what the loops ask
// for it offers
//   state_at(x, step, memory)   writes the state at the fraction x of the step
//   end_state(memory)           writes the state at the end of the step
//   start_state(memory)         writes the state at its start
//   output_start(j)             the state at its start is output number j
//
// `at` is where the solve stands: a new Progress, or that of one which was interrupted.
#pragma once

#include "solve/goals.hpp"
#include "solve/loops.hpp"
#include "solve/request.hpp"

namespace flashode::solve::inline FLASHODE_ISA {

template <class Real>
FLASHODE_HD ChosenSteps chosen_steps(const ForwardRequest<Real>& request) {
    return {request.times.at[0], request.step_t, request.jump_t};
}

FLASHODE_CALLS_EITHER_SIDE
template <class System, class Real, class Record, class Watch>
FLASHODE_HD void solve_to_times(System& system, const Method& method, const ForwardRequest<Real>& request,
                                Record& record, Watch& watch, Progress& at) {
    OutputTimes goal(request.times);
    const GridSteps grid(request.grid, at.outcome.accepted);
    integrate(system, method, chosen_steps(request), grid, goal, record, watch, at);
}

// Until the last time has been reached; what the record gives memory for are the outputs.
FLASHODE_CALLS_EITHER_SIDE
template <class System, class Real, class Record, class Watch>
FLASHODE_HD void solve_every_step(System& system, const Method& method, const ForwardRequest<Real>& request,
                                  Record& record, Watch& watch, Progress& at) {
    const Times& times = request.times;
    EveryStep goal(method, at.begun ? at.t : times.at[0], times.at[times.count - 1]);
    const GridSteps grid(request.grid, at.outcome.accepted);
    integrate(system, method, chosen_steps(request), grid, goal, record, watch, at);
}

// From the only time given; the event's state is the second output. `value` as of UntilEvent.
FLASHODE_CALLS_EITHER_SIDE
template <class System, class Real, class Value, class Record, class Watch>
FLASHODE_HD void solve_until_event(System& system, const Method& method, const ForwardRequest<Real>& request,
                                   Value& value, double tolerance, Record& record, Watch& watch,
                                   Progress& at) {
    Outcome& outcome = at.outcome;
    const double start = at.begun ? at.t : request.times.at[0];
    system.start_state(value.state());
    UntilEvent<Value> goal(value, start, tolerance);
    const EqualSteps equal(start, request.step_size, method.max_num_steps - outcome.accepted);
    integrate(system, method, chosen_steps(request), equal, goal, record, watch, at);
    if (outcome.status != Status::done) return;
    if (goal.undefined()) {
        outcome.status = Status::nonfinite_event;
        outcome.t = goal.undefined_at();
    } else if (goal.at_start()) {
        outcome.event_t = start;
        outcome.times_reached = 2;
        system.output_start(1);
        record.output();
    }
}

}  // namespace flashode::solve::inline FLASHODE_ISA
