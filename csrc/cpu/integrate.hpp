// The loops over steps: one adaptive, one over a given grid. What is integrated, and how it is spread over
// tiles, is the system's business; the adjoint solve runs through the same two loops as the forward one.
//
// A System offers
//   start(t)             the state is in place; evaluates f0; false when either is not finite
//   norm_y0(), norm_f0() scaled norms at the start
//   probe(t, h)          scaled norm of f(t + h, y0 + h f0) - f0
//   attempt(step, dense) takes a step, returns the scaled norm of its error; dense: an output lies within
//   fixed_step(step)     takes a step that nothing judges; false when its end is not finite
//   starts_finite()      whether the state in place is finite
//   slopes_finite()      of that step: whether every evaluation of the field was finite
//   accept(step)         the step stands: log it
//   output(j, x, step)   the state at the fraction x of the step is output number j
//   advance()            the end of the step becomes the start of the next
//   locate_nonfinite(o)  finds which trajectory left the numbers, and whether its state was first
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>

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

template <class System>
double first_step(System& system, const Method& method, double t, Outcome& outcome) {
    if (method.first_step > 0.0) return method.first_step;
    const double norm_f0 = system.norm_f0();
    const double h = numerics::initial_probe(system.norm_y0(), norm_f0);
    const double norm_second = system.probe(t, h) / h;
    ++outcome.evaluations;
    return numerics::initial_step(h, norm_f0, norm_second, method.tableau.order);
}

template <class System>
Outcome integrate_adaptive(System& system, const Method& method, const double* times, std::int64_t count,
                           const Interrupt& interrupt) {
    Outcome outcome;
    SignalWatch watch(interrupt);
    const numerics::Controller& controller = method.controller;
    const auto fail = [&](Status status, double t, double dt) {
        outcome.status = status;
        outcome.t = t;
        outcome.dt = dt;
        return outcome;
    };
    double t = times[0];
    outcome.times_reached = 1;
    ++outcome.evaluations;
    if (!system.start(t)) {
        fail(Status::nonfinite_field, t, 0.0);
        system.locate_nonfinite(outcome);
        return outcome;
    }
    double dt = first_step(system, method, t, outcome);
    std::int64_t attempts = 0;  // towards the next output time
    double norm = 0.0;
    double tried = 0.0;  // the step that gave that norm
    while (outcome.times_reached < count) {
        if (!std::isfinite(dt)) dt = controller.min_step;
        dt = numerics::clamp_step(controller, dt);
        const Step step{t, dt, t + dt};
        const bool smallest_left_the_numbers = std::isnan(norm) && tried <= controller.min_step;
        if (!(step.end > t) || smallest_left_the_numbers) {
            fail(Status::underflow, t, dt);
            if (std::isnan(norm)) system.locate_nonfinite(outcome);
            return outcome;
        }
        if (attempts >= method.max_num_steps) return fail(Status::too_many_steps, t, dt);
        if (watch.stop()) return fail(Status::interrupted, t, dt);
        ++attempts;

        norm = system.attempt(step, times[outcome.times_reached] <= step.end);
        tried = dt;
        outcome.evaluations += method.tableau.stages - 1;
        if (numerics::accept_step(controller, norm, dt)) {
            ++outcome.accepted;
            system.accept(step);
            t = step.end;
            while (outcome.times_reached < count && times[outcome.times_reached] <= t) {
                system.output(outcome.times_reached, step.fraction(times[outcome.times_reached]), step);
                ++outcome.times_reached;
                attempts = 0;
            }
            system.advance();
        } else {
            ++outcome.rejected;
        }
        dt = numerics::next_step(controller, norm, dt, method.tableau.order);
    }
    return outcome;
}

template <class System>
Outcome integrate_fixed(System& system, const Method& method, const double* grid, std::int64_t grid_count,
                        const double* times, std::int64_t count, const Interrupt& interrupt) {
    Outcome outcome;
    SignalWatch watch(interrupt);
    outcome.times_reached = 1;
    for (std::int64_t g = 0; g + 1 < grid_count; ++g) {
        const Step step{grid[g], grid[g + 1] - grid[g], grid[g + 1]};
        outcome.t = step.start;
        outcome.dt = step.dt;
        if (watch.stop()) {
            outcome.status = Status::interrupted;
            return outcome;
        }
        const bool finite = system.fixed_step(step);
        outcome.evaluations += method.tableau.stages;
        if (!finite) {
            const bool by_field = !system.slopes_finite();
            outcome.status = by_field ? Status::nonfinite_field : Status::nonfinite_state;
            if (!by_field && (g > 0 || system.starts_finite())) outcome.t = step.end;
            system.locate_nonfinite(outcome);
            return outcome;
        }
        ++outcome.accepted;
        system.accept(step);
        while (outcome.times_reached < count && times[outcome.times_reached] <= step.end) {
            system.output(outcome.times_reached, step.fraction(times[outcome.times_reached]), step);
            ++outcome.times_reached;
        }
        system.advance();
    }
    return outcome;
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
