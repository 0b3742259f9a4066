// Steps, and where they come from: a grid, one size, or a controller that stops at prescribed times.
#pragma once

#include <cstdint>

#include "numerics/platform.hpp"
#include "numerics/step.hpp"
#include "solve/method.hpp"

namespace flashode::solve {

// The times of one step. `end` is kept, not recomputed: start + (end - start) need not be end.
struct Step {
    double start = 0.0;
    double dt = 0.0;
    double end = 0.0;
    bool stopped = false;  // shortened to end on a prescribed time
    bool fresh = false;    // its first stage was evaluated just after its start
};

// Increasing times in the caller's memory.
struct Times {
    const double* at = nullptr;
    std::int64_t count = 0;
};

}  // namespace flashode::solve

namespace flashode::solve::inline FLASHODE_ISA {

FLASHODE_HD bool is_nan(double x) { return x != x; }
FLASHODE_HD bool is_finite(double x) { return x - x == 0.0; }

// Where a time within the step lies, exact at its end: there a fixed-step method's output is the state
// itself.
FLASHODE_HD double fraction(const Step& step, double t) {
    return t == step.end ? 1.0 : (t - step.start) / step.dt;
}

template <class Real>
FLASHODE_HD Real next_towards(Real t, Real limit) {
    if constexpr (numerics::is_float<Real>) {
        return ::nextafterf(t, limit);
    } else {
        return ::nextafter(t, limit);
    }
}
template <class Real>
FLASHODE_HD Real just_before(Real t) {
    return next_towards(t, -numerics::FloatFormat<Real>::infinity);
}
template <class Real>
FLASHODE_HD Real just_after(Real t) {
    return next_towards(t, numerics::FloatFormat<Real>::infinity);
}

// Where the slope at the end of a step is evaluated: an error estimate must not see a jump that lies there.
template <class Real>
FLASHODE_HD Real end_time(const Method& method, const Step& step) {
    const Real end = static_cast<Real>(step.end);
    return method.tableau.control == Control::error ? just_before(end) : end;
}

// What the stages of a step at its end see; `perturb` matters to fixed-step methods only.
template <class Real>
FLASHODE_HD Real last_stage_time(const Method& method, const Step& step) {
    return method.perturb ? just_before(static_cast<Real>(step.end)) : end_time<Real>(method, step);
}

// What all stages see.
template <class Real>
FLASHODE_HD numerics::StepTimes<Real> rounded_times(const Method& method, const Step& step) {
    return numerics::step_times(method.tableau, step.start, step.dt, last_stage_time<Real>(method, step));
}

// The steps that a controller chooses: where they start, and increasing times that they end on instead of
// passing them. After one of the second kind the field is evaluated afresh, just after it. They are found by
// where the solve stands, not by a count of those stepped on: a step that happens to end on one must not hide
// the later ones.
class ChosenSteps {
   public:
    FLASHODE_HD ChosenSteps(double start, Times steps, Times jumps)
        : start_(start), steps_(steps), jumps_(jumps) {}

    FLASHODE_HD double start() const { return start_; }

    // Shortens a step that would pass one; whether the field jumps where it ends.
    FLASHODE_HD bool shorten(Step& step) {
        const double jump = next(jumps_, jump_, step.start);
        const double other = next(steps_, step_, step.start);
        const double stop = jump < other ? jump : other;
        if (stop > step.end) return false;
        if (stop < step.end) {
            step.dt = stop - step.start;
            step.end = stop;
            step.stopped = true;
        }
        return stop == jump;
    }

   private:
    FLASHODE_HD static double next(const Times& times, std::int64_t& at, double after) {
        while (at < times.count && times.at[at] <= after) ++at;
        return at < times.count ? times.at[at] : numerics::FloatFormat<double>::infinity;
    }

    double start_;
    Times steps_;
    Times jumps_;
    std::int64_t step_ = 0;
    std::int64_t jump_ = 0;
};

// The steps of a grid after the first `taken`.
class GridSteps {
   public:
    FLASHODE_HD explicit GridSteps(Times grid, std::int64_t taken = 0) : grid_(grid), at_(taken) {}
    FLASHODE_HD bool next(Step& step) {
        if (at_ + 1 >= grid_.count) return false;
        const double start = grid_.at[at_];
        const double end = grid_.at[++at_];
        step = {start, end - start, end};
        return true;
    }

   private:
    Times grid_;
    std::int64_t at_;
};

// Steps of one size, on and on.
class EqualSteps {
   public:
    FLASHODE_HD EqualSteps(double start, double size, std::int64_t most)
        : t_(start), size_(size), left_(most) {}
    FLASHODE_HD bool next(Step& step) {
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

}  // namespace flashode::solve::inline FLASHODE_ISA
