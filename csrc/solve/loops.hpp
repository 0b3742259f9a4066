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
//   stop()               whether the solve is to end; called before every step
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
    ++outcome.evaluations;
    return numerics::initial_step(method.automatic_first_step, h, norm_f0, norm_second, method.tableau.order);
}

FLASHODE_CALLS_EITHER_SIDE
template <class System, class Goal, class Record, class Watch>
FLASHODE_HD Outcome integrate_adaptive(System& system, const Method& method, ChosenSteps chosen, Goal& goal,
                                       Record& record, Watch& watch) {
    Outcome outcome;
    const numerics::Controller& controller = method.controller;
    double t = chosen.start();
    outcome.times_reached = 1;
    ++outcome.evaluations;
    if (!system.start(t)) {
        fail(Status::nonfinite_field, t, 0.0, outcome);
        system.locate_nonfinite(outcome);
        return outcome;
    }
    double dt = first_step(system, method, t, outcome);
    std::int64_t attempts = 0;  // towards the next output time
    double norm = 0.0;
    double tried = 0.0;  // the step that gave that norm
    bool fresh = false;
    while (!goal.reached(outcome)) {
        if (!is_finite(dt)) dt = controller.min_step;
        dt = numerics::clamp_step(controller, dt);
        Step step{t, dt, t + dt, false, fresh};
        const bool smallest_left_the_numbers = is_nan(norm) && tried <= controller.min_step;
        if (!(step.end > t) || smallest_left_the_numbers) {
            fail(Status::underflow, t, dt, outcome);
            if (is_nan(norm)) system.locate_nonfinite(outcome);
            return outcome;
        }
        if (attempts >= method.max_num_steps) {
            fail(Status::too_many_steps, t, dt, outcome);
            return outcome;
        }
        if (watch.stop()) {
            fail(Status::interrupted, t, dt, outcome);
            return outcome;
        }
        ++attempts;

        const bool jumps = chosen.shorten(step);
        norm = system.attempt(step, goal.may_arrive(step, outcome));
        tried = step.dt;
        system.count(step, outcome);
        // Ever smaller steps would come ever closer to the largest number and never arrive.
        if (!is_finite(norm) && system.near_overflow(outcome)) {
            fail(Status::nonfinite_state, t, tried, outcome);
            return outcome;
        }
        if (numerics::accept_step(controller, norm, tried)) {
            ++outcome.accepted;
            record.keep(system, step);
            t = step.end;
            if (!method.tableau.carried) {
                ++outcome.evaluations;
                if (!system.evaluate_end(step)) {
                    fail(Status::nonfinite_field, t, 0.0, outcome);
                    system.locate_nonfinite_end(outcome);
                    return outcome;
                }
            }
            if (goal.arrives(system, step, outcome) && goal.take(system, record, step, outcome)) attempts = 0;
            system.advance();
            fresh = jumps;
            if (jumps) {
                ++outcome.evaluations;
                if (!system.start_after(t) && !goal.reached(outcome)) {
                    fail(Status::nonfinite_field, t, 0.0, outcome);
                    system.locate_nonfinite(outcome);
                    return outcome;
                }
            }
        } else {
            ++outcome.rejected;
        }
        dt = numerics::next_step(controller, norm, tried, method.tableau.order);
    }
    return outcome;
}

FLASHODE_CALLS_EITHER_SIDE
template <class System, class Steps, class Goal, class Record, class Watch>
FLASHODE_HD Outcome integrate_fixed(System& system, const Method& method, Steps steps, Goal& goal,
                                    Record& record, Watch& watch) {
    Outcome outcome;
    outcome.times_reached = 1;
    Step step;
    while (!goal.reached(outcome)) {
        if (!steps.next(step)) {
            outcome.status = Status::too_many_steps;
            outcome.t = step.end;
            return outcome;
        }
        outcome.t = step.start;
        outcome.dt = step.dt;
        if (watch.stop()) {
            outcome.status = Status::interrupted;
            return outcome;
        }
        const bool finite = system.fixed_step(step);
        system.count(step, outcome);
        if (!finite) {
            const bool by_field = !system.slopes_finite();
            outcome.status = by_field ? Status::nonfinite_field : Status::nonfinite_state;
            if (!by_field && (outcome.accepted > 0 || system.starts_finite())) outcome.t = step.end;
            system.locate_nonfinite(outcome);
            return outcome;
        }
        ++outcome.accepted;
        record.keep(system, step);
        if (goal.arrives(system, step, outcome)) {
            const std::int64_t before = outcome.times_reached;
            if (method.interpolant == Interpolant::cubic && !system.evaluate_end(step)) {
                outcome.status = Status::nonfinite_field;
                outcome.t = step.end;
                system.locate_nonfinite_end(outcome);
                return outcome;
            }
            goal.take(system, record, step, outcome);
            // Made once, counted for each output: the function is asked as often in plain torch.
            if (method.interpolant == Interpolant::cubic)
                outcome.evaluations += outcome.times_reached - before;
        }
        system.advance();
    }
    return outcome;
}

// The loop of the method.
FLASHODE_CALLS_EITHER_SIDE
template <class System, class Steps, class Goal, class Record, class Watch>
FLASHODE_HD Outcome integrate(System& system, const Method& method, const ChosenSteps& chosen,
                              const Steps& steps, Goal& goal, Record& record, Watch& watch) {
    if (method.tableau.control == Control::error)
        return integrate_adaptive(system, method, chosen, goal, record, watch);
    return integrate_fixed(system, method, steps, goal, record, watch);
}

}  // namespace flashode::solve::inline FLASHODE_ISA
