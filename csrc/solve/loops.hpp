// The loops over steps: one whose controller chooses them, one over given steps. What is integrated, and how
// it is spread over tiles or threads, is the engine's business; the adjoint solve runs through the same two
// loops as the forward one. Nothing here allocates, throws or reads a clock: host and device compile it.
//
// A System offers
//   start(t)             the state is in place; evaluates f0; false when either is not finite
//   start_after(t)       the same just after t, where the field has jumped
//   norm_y0(), norm_f0() scaled norms at the start
//   probe(t, h)          scaled norm of f(t + h, y0 + h f0) - f0
//   attempt(step, dense) takes a step, returns the scaled norm of its error, NaN if its equations were not
//                        solved; dense: an output may lie within
//   fixed_step(step)     takes a step that nothing judges; false when its end is not finite
//   count(step, o)       what that step cost
//   starts_finite()      whether the state in place is finite
//   slopes_finite()      of that step: whether every evaluation of the field was finite
//   evaluate_end(step)   the slope at its end where no stage is that: for cubic output, and for the next step
//                        that an error chooses; false when it is not finite
//   output(j, x, step)   the state at the fraction x of the step is output number j
//   advance()            the end of the step becomes the start of the next
//   near_overflow(o)     whether the state in place is about to leave the numbers, and where
//   locate_nonfinite(o)  finds which trajectory left the numbers, and whether its state was first
//   locate_nonfinite_end(o)  the same for the slope of evaluate_end
// and what the goal (`goals.hpp`) asks for beyond that. A Record, which keeps what the caller or the reverse
// pass needs, offers
//   keep(system, step)   the step stands; its start is still in place
//   output()             an output lies in the step kept last, or is the start
//   node(t)              memory for the state at an output time that the solve finds
// A Watch offers
//   stop()               whether the solve is to end here; called before every step
//
// A solve that a watch has stopped is interrupted. It may go on: called again with the same Progress, and all
// else as it was, a loop takes the step that it was about to take.
#pragma once

#include <cstdint>

#include "numerics/controller.hpp"
#include "solve/method.hpp"
#include "solve/outcome.hpp"
#include "solve/step.hpp"

namespace flashode::solve::inline FLASHODE_ISA {

// Keeps nothing.
struct NoRecord {
    template <class System>
    FLASHODE_HD void keep(const System&, const Step&) {}
    FLASHODE_HD void output() {}
};

// Where a solve stands between two steps.
struct Progress {
    Outcome outcome;
    double t = 0.0;
    double dt = 0.0;            // of the step to be tried
    double norm = 0.0;          // of the error of the one tried last,
    double tried = 0.0;         // which was of this size
    std::int64_t attempts = 0;  // towards the next output time
    bool fresh = false;         // the field has been evaluated just after t
    bool begun = false;
};

FLASHODE_HD void fail(Status status, double t, double dt, Outcome& outcome) {
    outcome.status = status;
    outcome.t = t;
    outcome.dt = dt;
}

FLASHODE_CALLS_EITHER_SIDE
template <class System>
FLASHODE_HD double first_step(System& system, const Method& method, double t, Outcome& outcome) {
    if (method.first_step > 0.0) return method.first_step;
    const double norm_y0 = system.norm_y0();
    const double norm_f0 = system.norm_f0();
    const double h = numerics::initial_probe(method.automatic_first_step, norm_y0, norm_f0);
    const double norm_second = system.probe(t, h) / h;
    if (is_nan(norm_second)) outcome.nan_met = true;
    ++outcome.evaluations;
    return numerics::initial_step(method.automatic_first_step, h, norm_f0, norm_second, method.tableau.order);
}

FLASHODE_CALLS_EITHER_SIDE
template <class System, class Goal, class Record, class Watch>
FLASHODE_HD void integrate_adaptive(System& system, const Method& method, ChosenSteps chosen, Goal& goal,
                                    Record& record, Watch& watch, Progress& at) {
    Outcome& outcome = at.outcome;
    const numerics::Controller& controller = method.controller;
    if (!at.begun) {
        at.begun = true;
        at.t = chosen.start();
        outcome.times_reached = 1;
        ++outcome.evaluations;
        if (!system.start(at.t)) {
            fail(Status::nonfinite_field, at.t, 0.0, outcome);
            system.locate_nonfinite(outcome);
            return;
        }
        at.dt = first_step(system, method, at.t, outcome);
    }
    outcome.status = Status::done;
    while (!goal.reached(outcome)) {
        if (!is_finite(at.dt)) at.dt = controller.min_step;
        at.dt = numerics::clamp_step(controller, at.dt);
        Step step{at.t, at.dt, at.t + at.dt, false, at.fresh};
        const bool smallest_left_the_numbers = is_nan(at.norm) && at.tried <= controller.min_step;
        if (!(step.end > at.t) || smallest_left_the_numbers) {
            fail(Status::underflow, at.t, at.dt, outcome);
            if (is_nan(at.norm)) system.locate_nonfinite(outcome);
            return;
        }
        if (at.attempts >= method.max_num_steps) {
            fail(Status::too_many_steps, at.t, at.dt, outcome);
            return;
        }
        if (watch.stop()) {
            fail(Status::interrupted, at.t, at.dt, outcome);
            return;
        }
        ++at.attempts;

        const bool jumps = chosen.shorten(step);
        at.norm = system.attempt(step, goal.may_arrive(step, outcome));
        at.tried = step.dt;
        system.count(step, outcome);
        if (is_nan(at.norm)) outcome.nan_met = true;
        // Ever smaller steps would come ever closer to the largest number and never arrive.
        if (!is_finite(at.norm) && system.near_overflow(outcome)) {
            fail(Status::nonfinite_state, at.t, at.tried, outcome);
            return;
        }
        if (numerics::accept_step(controller, at.norm, at.tried)) {
            ++outcome.accepted;
            record.keep(system, step);
            at.t = step.end;
            if (!method.tableau.carried) {
                ++outcome.evaluations;
                if (!system.evaluate_end(step)) {
                    fail(Status::nonfinite_field, at.t, 0.0, outcome);
                    system.locate_nonfinite_end(outcome);
                    return;
                }
            }
            if (goal.arrives(system, step, outcome) && goal.take(system, record, step, outcome))
                at.attempts = 0;
            system.advance();
            at.fresh = jumps;
            if (jumps) {
                ++outcome.evaluations;
                if (!system.start_after(at.t)) {
                    outcome.nan_met = true;
                    if (!goal.reached(outcome)) {
                        fail(Status::nonfinite_field, at.t, 0.0, outcome);
                        system.locate_nonfinite(outcome);
                        return;
                    }
                }
            }
        } else {
            ++outcome.rejected;
        }
        at.dt = numerics::next_step(controller, at.norm, at.tried, method.tableau.order);
    }
}

FLASHODE_CALLS_EITHER_SIDE
template <class System, class Steps, class Goal, class Record, class Watch>
FLASHODE_HD void integrate_fixed(System& system, const Method& method, Steps steps, Goal& goal,
                                 Record& record, Watch& watch, Progress& at) {
    Outcome& outcome = at.outcome;
    if (!at.begun) outcome.times_reached = 1;
    at.begun = true;
    outcome.status = Status::done;
    Step step;
    while (!goal.reached(outcome)) {
        if (!steps.next(step)) {
            outcome.status = Status::too_many_steps;
            outcome.t = step.end;
            return;
        }
        outcome.t = at.t = step.start;
        outcome.dt = at.tried = step.dt;
        if (watch.stop()) {
            outcome.status = Status::interrupted;
            return;
        }
        const bool finite = system.fixed_step(step);
        system.count(step, outcome);
        if (!finite) {
            const bool by_field = !system.slopes_finite();
            outcome.status = by_field ? Status::nonfinite_field : Status::nonfinite_state;
            if (!by_field && (outcome.accepted > 0 || system.starts_finite())) outcome.t = step.end;
            system.locate_nonfinite(outcome);
            return;
        }
        ++outcome.accepted;
        record.keep(system, step);
        if (goal.arrives(system, step, outcome)) {
            const std::int64_t before = outcome.times_reached;
            if (method.interpolant == Interpolant::cubic && !system.evaluate_end(step)) {
                outcome.status = Status::nonfinite_field;
                outcome.t = step.end;
                system.locate_nonfinite_end(outcome);
                return;
            }
            goal.take(system, record, step, outcome);
            // Made once, counted for each output: the function is asked as often in plain torch.
            if (method.interpolant == Interpolant::cubic)
                outcome.evaluations += outcome.times_reached - before;
        }
        system.advance();
        at.t = step.end;
    }
}

// The loop of the method. A System that is compiled for one control alone has it as `System::control`.
FLASHODE_CALLS_EITHER_SIDE
template <class System, class Steps, class Goal, class Record, class Watch>
FLASHODE_HD void integrate(System& system, const Method& method, const ChosenSteps& chosen,
                           const Steps& steps, Goal& goal, Record& record, Watch& watch, Progress& at) {
    if constexpr (requires { System::control; }) {
        if constexpr (System::control == Control::error) {
            integrate_adaptive(system, method, chosen, goal, record, watch, at);
        } else {
            integrate_fixed(system, method, steps, goal, record, watch, at);
        }
    } else if (method.tableau.control == Control::error) {
        integrate_adaptive(system, method, chosen, goal, record, watch, at);
    } else {
        integrate_fixed(system, method, steps, goal, record, watch, at);
    }
}

}  // namespace flashode::solve::inline FLASHODE_ISA
