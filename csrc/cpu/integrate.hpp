// The loops over steps: one adaptive, one over a given grid. What is integrated, and how it is spread over
// tiles, is the system's business; the adjoint solve runs through the same two loops as the forward one.
//
// A System offers
//   bool start(double t)                      y0 is in place; evaluates f0; false when y0 or f0 is not finite
//   norm_y0(), norm_f0()                      scaled norms at the start
//   double probe(double t, double h)          scaled norm of f(t + h, y0 + h f0) - f0
//   double attempt(const Step&, bool dense)   takes the step, returns the scaled norm of its error estimate;
//   `dense`:
//                                             an output time lies within
//   void accept(const Step&)                  the attempt stands: record it
//   void output(std::int64_t j, double x, const Step&)   y at the fraction x of the step is output number j
//   void advance()                            the end of the step becomes the start of the next
//   bool fixed_step(const Step&)              takes a step that nothing judges; false when its end is not
//   finite bool slopes_finite()                      of that step: whether every evaluation of the field was
//   finite void locate_nonfinite(Outcome&)           finds which trajectory left the numbers
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>

#include "cpu/engine.hpp"
#include "numerics/controller.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

struct Step {
    double start;
    double dt;
    double end;
};

// Asks about signals a few times a second: asking costs more than a small step does.
class SignalWatch {
   public:
    explicit SignalWatch(const Interrupt& interrupt) : interrupt_(interrupt) {}

    bool stop() {
        if (!interrupt_ || ++calls_ % CALLS_BETWEEN_CLOCKS != 0) return false;
        const auto now = std::chrono::steady_clock::now();
        if (now - last_ < std::chrono::milliseconds(100)) return false;
        last_ = now;
        return interrupt_();
    }

   private:
    static constexpr int CALLS_BETWEEN_CLOCKS = 4;
    const Interrupt& interrupt_;
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
    int calls_ = 0;
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
    while (outcome.times_reached < count) {
        if (!std::isfinite(dt)) dt = controller.min_step;
        dt = numerics::clamp_step(controller, dt);
        const Step step{t, dt, t + dt};
        const bool lost = std::isnan(norm);
        if (!(step.end > t) || (lost && dt <= controller.min_step)) {
            fail(lost ? Status::nonfinite_field : Status::underflow, t, dt);
            if (lost) system.locate_nonfinite(outcome);
            return outcome;
        }
        if (attempts >= method.max_num_steps) return fail(Status::too_many_steps, t, dt);
        if (watch.stop()) return fail(Status::interrupted, t, dt);
        ++attempts;

        norm = system.attempt(step, times[outcome.times_reached] <= step.end);
        outcome.evaluations += method.tableau.stages - 1;
        if (numerics::accept_step(controller, norm, dt)) {
            ++outcome.accepted;
            system.accept(step);
            t = step.end;
            while (outcome.times_reached < count && times[outcome.times_reached] <= t) {
                system.output(outcome.times_reached, (times[outcome.times_reached] - step.start) / dt, step);
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
            if (!by_field) outcome.t = step.end;
            system.locate_nonfinite(outcome);
            return outcome;
        }
        ++outcome.accepted;
        system.accept(step);
        while (outcome.times_reached < count && times[outcome.times_reached] <= step.end) {
            const double at = times[outcome.times_reached];
            system.output(outcome.times_reached, at == step.end ? 1.0 : (at - step.start) / step.dt, step);
            ++outcome.times_reached;
        }
        system.advance();
    }
    return outcome;
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
