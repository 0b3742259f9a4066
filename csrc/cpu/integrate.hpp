// The loops over steps: one adaptive, one over a given grid. What is integrated, and how it is spread over
// tiles, is the system's business; the adjoint solve runs through the same two loops as the forward one.
//
// A System offers
//   MAY_CHOOSE_STEPS     whether its steps may be chosen by their error
//   start(t)             the state is in place; evaluates f0; false when either is not finite
//   start_after(t)       the same just after t, where the field has jumped
//   norm_y0(), norm_f0() scaled norms at the start
//   probe(t, h)          scaled norm of f(t + h, y0 + h f0) - f0
//   attempt(step, dense) takes a step, returns the scaled norm of its error; dense: an output lies within
//   fixed_step(step)     takes a step that nothing judges; false when its end is not finite
//   count(step, o)       what that step cost
//   starts_finite()      whether the state in place is finite
//   slopes_finite()      of that step: whether every evaluation of the field was finite
//   evaluate_end(step)   the slope at its end, which cubic output needs; false when it is not finite
//   accept(step)         the step stands: log it
//   output(j, x, step)   the state at the fraction x of the step is output number j
//   advance()            the end of the step becomes the start of the next
//   near_overflow(o)     whether the state in place is about to leave the numbers, and where
//   locate_nonfinite(o)  finds which trajectory left the numbers, and whether its state was first
// and what the goal (`goals.hpp`, `event.hpp`) asks for beyond that.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "cpu/engine.hpp"
#include "numerics/controller.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// Asks about signals a few times a second: asking costs more than a small step does.
class SignalWatch {
   public:
    explicit SignalWatch(const Interrupt& interrupt) : interrupt_(interrupt) {}

    bool stop() {
        if (!interrupt_ || --calls_left_ > 0) return false;
        const auto now = std::chrono::steady_clock::now();
        const auto since = now - last_;
        calls_left_ = since > std::chrono::milliseconds(10) ? 1 : CALLS_BETWEEN_CLOCKS;
        if (since < std::chrono::milliseconds(100)) return false;
        last_ = now;
        return interrupt_();
    }

   private:
    static constexpr int CALLS_BETWEEN_CLOCKS = 16;
    const Interrupt& interrupt_;
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
    int calls_left_ = 1;
};

// The times that an adaptive solve ends steps on. They are found by where it stands, not by a count of those
// stepped on: a step that happens to end on one must not hide the later ones.
class PrescribedTimes {
   public:
    explicit PrescribedTimes(const Method& method) : steps_(method.step_t), jumps_(method.jump_t) {}

    // Shortens a step that would pass one; whether the field jumps where it ends.
    bool shorten(Step& step) {
        const double jump = next(jumps_, jump_, step.start);
        const double stop = std::min(next(steps_, step_, step.start), jump);
        if (stop > step.end) return false;
        if (stop < step.end) {
            step.dt = stop - step.start;
            step.end = stop;
            step.stopped = true;
        }
        return stop == jump;
    }

   private:
    static double next(const std::vector<double>& times, std::size_t& at, double after) {
        while (at < times.size() && times[at] <= after) ++at;
        return at < times.size() ? times[at] : std::numeric_limits<double>::infinity();
    }

    const std::vector<double>& steps_;
    const std::vector<double>& jumps_;
    std::size_t step_ = 0;
    std::size_t jump_ = 0;
};

// The steps of a grid.
class GridSteps {
   public:
    GridSteps(const double* grid, std::int64_t count) : grid_(grid), count_(count) {}
    bool next(Step& step) {
        if (at_ + 1 >= count_) return false;
        step = {grid_[at_], grid_[at_ + 1] - grid_[at_], grid_[at_ + 1]};
        ++at_;
        return true;
    }

   private:
    const double* grid_;
    std::int64_t count_;
    std::int64_t at_ = 0;
};

// Steps of one size, on and on.
class EqualSteps {
   public:
    EqualSteps(double start, double size, std::int64_t most) : t_(start), size_(size), left_(most) {}
    bool next(Step& step) {
        if (left_ == 0) return false;
        step = {t_, size_, t_ + size_};
        t_ = step.end;
        --left_;
        return true;
    }

   private:
    double t_;
    double size_;
    std::int64_t left_;
};

template <class System>
double first_step(System& system, const Method& method, double t, Outcome& outcome) {
    if (method.first_step > 0.0) return method.first_step;
    const double norm_y0 = system.norm_y0();
    const double norm_f0 = system.norm_f0();
    const double h = numerics::initial_probe(method.automatic_first_step, norm_y0, norm_f0);
    const double norm_second = system.probe(t, h) / h;
    ++outcome.evaluations;
    return numerics::initial_step(method.automatic_first_step, h, norm_f0, norm_second, method.tableau.order);
}

template <class System, class Goal>
Outcome integrate_adaptive(System& system, const Method& method, double t, Goal& goal,
                           const Interrupt& interrupt) {
    Outcome outcome;
    SignalWatch watch(interrupt);
    const numerics::Controller& controller = method.controller;
    PrescribedTimes prescribed(method);
    const auto fail = [&](Status status, double dt) {
        outcome.status = status;
        outcome.t = t;
        outcome.dt = dt;
        return outcome;
    };
    outcome.times_reached = 1;
    ++outcome.evaluations;
    if (!system.start(t)) {
        fail(Status::nonfinite_field, 0.0);
        system.locate_nonfinite(outcome);
        return outcome;
    }
    double dt = first_step(system, method, t, outcome);
    std::int64_t attempts = 0;  // towards the next output time
    double norm = 0.0;
    double tried = 0.0;  // the step that gave that norm
    bool fresh = false;
    while (!goal.reached(outcome)) {
        if (!std::isfinite(dt)) dt = controller.min_step;
        dt = numerics::clamp_step(controller, dt);
        Step step{t, dt, t + dt, false, fresh};
        const bool smallest_left_the_numbers = std::isnan(norm) && tried <= controller.min_step;
        if (!(step.end > t) || smallest_left_the_numbers) {
            fail(Status::underflow, dt);
            if (std::isnan(norm)) system.locate_nonfinite(outcome);
            return outcome;
        }
        if (attempts >= method.max_num_steps) return fail(Status::too_many_steps, dt);
        if (watch.stop()) return fail(Status::interrupted, dt);
        ++attempts;

        const bool jumps = prescribed.shorten(step);
        norm = system.attempt(step, goal.may_arrive(step, outcome));
        tried = step.dt;
        outcome.evaluations += method.tableau.stages - 1;
        // Ever smaller steps would come ever closer to the largest number and never arrive.
        if (!std::isfinite(norm) && system.near_overflow(outcome)) {
            return fail(Status::nonfinite_state, tried);
        }
        if (numerics::accept_step(controller, norm, tried)) {
            ++outcome.accepted;
            system.accept(step);
            t = step.end;
            if (goal.arrives(system, step, outcome) && goal.take(system, step, outcome)) attempts = 0;
            system.advance();
            fresh = jumps;
            if (jumps) {
                ++outcome.evaluations;
                if (!system.start_after(t) && !goal.reached(outcome)) {
                    fail(Status::nonfinite_field, 0.0);
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

template <class System, class Steps, class Goal>
Outcome integrate_fixed(System& system, const Method& method, Steps steps, Goal& goal,
                        const Interrupt& interrupt) {
    Outcome outcome;
    SignalWatch watch(interrupt);
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
        system.accept(step);
        if (goal.arrives(system, step, outcome)) {
            const std::int64_t before = outcome.times_reached;
            if (method.interpolant == Interpolant::cubic && !system.evaluate_end(step)) {
                outcome.status = Status::nonfinite_field;
                outcome.t = step.end;
                system.locate_nonfinite_end(outcome);
                return outcome;
            }
            goal.take(system, step, outcome);
            // Made once, counted for each output: the function is asked as often in plain torch.
            if (method.interpolant == Interpolant::cubic)
                outcome.evaluations += outcome.times_reached - before;
        }
        system.advance();
    }
    return outcome;
}

// The loop of the method. Of a system that never chooses its steps only one is compiled.
template <class System, class Steps, class Goal>
Outcome integrate(System& system, const Method& method, double t, const Steps& steps, Goal& goal,
                  const Interrupt& interrupt) {
    if constexpr (System::MAY_CHOOSE_STEPS) {
        if (method.tableau.control == Control::error)
            return integrate_adaptive(system, method, t, goal, interrupt);
    }
    return integrate_fixed(system, method, steps, goal, interrupt);
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
