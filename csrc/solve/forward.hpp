// Forward solves, each towards its goal. The system has the initial state in place. Beside what the loops ask
// for it offers
//   state_at(x, step, memory)   writes the state at the fraction x of the step
//   end_state(memory)           writes the state at the end of the step
//   start_state(memory)         writes the state at its start
//   output_start(j)             the state at its start is output number j
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
FLASHODE_HD Outcome solve_to_times(System& system, const Method& method, const ForwardRequest<Real>& request,
                                   Record& record, Watch& watch) {
    OutputTimes goal(request.times);
    return integrate(system, method, chosen_steps(request), GridSteps(request.grid), goal, record, watch);
}

// Until the last time has been reached; what the record gives memory for are the outputs.
FLASHODE_CALLS_EITHER_SIDE
template <class System, class Real, class Record, class Watch>
FLASHODE_HD Outcome solve_every_step(System& system, const Method& method,
                                     const ForwardRequest<Real>& request, Record& record, Watch& watch) {
    const Times& times = request.times;
    EveryStep goal(method, times.at[0], times.at[times.count - 1]);
    return integrate(system, method, chosen_steps(request), GridSteps(request.grid), goal, record, watch);
}

// From the only time given; the event's state is the second output. `value` as of UntilEvent.
FLASHODE_CALLS_EITHER_SIDE
template <class System, class Real, class Value, class Record, class Watch>
FLASHODE_HD Outcome solve_until_event(System& system, const Method& method,
                                      const ForwardRequest<Real>& request, Value& value, double tolerance,
                                      Record& record, Watch& watch) {
    const double start = request.times.at[0];
    system.start_state(value.state());
    UntilEvent<Value> goal(value, start, tolerance);
    const EqualSteps equal(start, request.step_size, method.max_num_steps);
    Outcome outcome = integrate(system, method, chosen_steps(request), equal, goal, record, watch);
    if (outcome.status != Status::done) return outcome;
    if (goal.undefined()) {
        outcome.status = Status::nonfinite_event;
        outcome.t = goal.undefined_at();
    } else if (goal.at_start()) {
        outcome.event_t = start;
        outcome.times_reached = 2;
        system.output_start(1);
        record.output();
    }
    return outcome;
}

}  // namespace flashode::solve::inline FLASHODE_ISA
