// The exact reverse of a solve's steps, last first: what is the same for every engine. An engine reverses the
// rows of a step (numerics/step_vjp.hpp) and asks here which outputs lie in it, where its first stage came
// from, and where gradients in times go.
#pragma once

#include <cstdint>

#include "solve/interpolation.hpp"
#include "solve/step.hpp"

namespace flashode::solve {

// The steps of a forward pass, in the caller's memory.
struct StepLog {
    const Step* steps = nullptr;
    std::int64_t count = 0;
    const std::int64_t* step_of_time = nullptr;  // (times), in order; -1 for those at the start
    std::int64_t times = 0;
    bool nodes = false;  // the outputs are nodes of the steps and move with them
};

// As of DiscreteRequest.
struct TimeGradients {
    double* times = nullptr;
    double* grid = nullptr;
};

}  // namespace flashode::solve

namespace flashode::solve::inline FLASHODE_ISA {

// Where the cotangent is zero, a slope that is NaN does not matter.
template <class Real>
FLASHODE_HD double rate_of_loss(int n, const Real* cotangent, const Real* slope) {
    Real sum = Real(0);
    for (int e = 0; e < n; ++e) sum += cotangent[e] == Real(0) ? Real(0) : cotangent[e] * slope[e];
    return static_cast<double>(sum);
}

// What the cotangent of an output makes of where in the step it is, and of the step's size.
struct OutputRates {
    double fraction = 0.0;
    double dt = 0.0;
};

// One step after another, from the last to the first; `reversed` of them are so already. `with_times`:
// whether gradients in times are asked for.
class ReverseSteps {
   public:
    FLASHODE_HD ReverseSteps(const Method& method, const StepLog& log, std::int64_t reversed = 0,
                             bool with_times = true)
        : method_(method), log_(log), index_(log.count - reversed), begin_(log.times), end_(log.times) {
        while (with_times && moving_ < log.count && !log.steps[moving_].stopped) ++moving_;
        while (begin_ > 0 && log.step_of_time[begin_ - 1] >= index_) --begin_;
    }

    // Goes on to the step before; false where there is none.
    FLASHODE_HD bool next() {
        if (index_ == 0) return false;
        --index_;
        end_ = begin_;
        while (begin_ > 0 && log_.step_of_time[begin_ - 1] == index_) --begin_;
        return true;
    }

    FLASHODE_HD std::int64_t index() const { return index_; }
    FLASHODE_HD const Step& step() const { return log_.steps[index_]; }
    // The outputs that lie in the step; those before `begin` of the first are the initial state.
    FLASHODE_HD std::int64_t begin() const { return begin_; }
    FLASHODE_HD std::int64_t end() const { return end_; }

    // Whether the first stage is the last of the step before, evaluated elsewhere than at the solution.
    FLASHODE_HD bool carries() const {
        return method_.tableau.carried && !method_.tableau.fsal && index_ > 0 && !step().fresh;
    }

    // Whether the size of the step moves: the ends of given steps are the user's times, and a chosen step
    // that a prescribed time has shortened is as long as is left from its start, if that moves.
    FLASHODE_HD bool stretches() const {
        return method_.tableau.control == Control::fixed || index_ == moving_;
    }

    // The time of the slope at the start: that of a chosen step after the first is the slope at the end of
    // the step before, evaluated just before it, unless the field jumped there.
    template <class Real>
    FLASHODE_HD Real first_stage_time() const {
        const Real start = static_cast<Real>(step().start);
        if (step().fresh) return just_after(start);
        if (method_.tableau.control == Control::error) return index_ == 0 ? start : just_before(start);
        return method_.perturb ? just_after(start) : start;
    }

    // Gradients in the times of both ends of the step: those of fixed-step methods are grid points. Step
    // sizes of adaptive methods are constants, so all times move with the start, up to the first step that
    // ends on a prescribed one.
    FLASHODE_HD void add_ends(double start, double end, const TimeGradients& to) const {
        if (to.grid == nullptr) return;
        if (method_.tableau.control == Control::fixed) {
            to.grid[index_] += start;
            to.grid[index_ + 1] += end;
        } else if (index_ <= moving_) {
            to.grid[0] += index_ < moving_ ? start + end : start;
        }
    }

    // Of an output at the fraction x of the step, over n numbers. `slope` (n) is scratch.
    template <class Real>
    FLASHODE_HD OutputRates output_rates(double x, int n, const StepData<const Real>& data,
                                         const Real* cotangent, Real* slope) const {
        OutputRates rates;
        const Interpolant kind = method_.interpolant;
        const Real dt = static_cast<Real>(step().dt);
        dense_output(kind, n, dense_weights_derivative<Real>(method_, x), dt, data, slope);
        if (!log_.nodes) rates.fraction = rate_of_loss(n, cotangent, slope);
        if (kind != Interpolant::linear && stretches()) {
            const auto w = dense_weights<Real>(method_, x);  // the slopes count times the step size
            for (int e = 0; e < n; ++e) slope[e] = w.f0 * data.f0[e] + w.f1 * data.f1[e];
            rates.dt = rate_of_loss(n, cotangent, slope);
        }
        return rates;
    }

    // Whether an output there is a state of the step itself, on a grid point, whose time does not matter.
    FLASHODE_HD bool is_end(double x) const { return method_.interpolant == Interpolant::linear && x == 1.0; }

    // What the cotangent of output j, at the fraction x of the step, leaves there: its time moves it along
    // the slope, and the start of the step the other way; a node is always at the same fraction.
    FLASHODE_HD void add_output(std::int64_t j, double x, const OutputRates& rates,
                                const TimeGradients& to) const {
        const double rate = rates.fraction / step().dt;
        to.times[j] += rate;
        add_ends(-rate * (1.0 - x) - rates.dt, -rate * x + rates.dt, to);
    }

   private:
    const Method& method_;
    StepLog log_;
    std::int64_t index_;
    std::int64_t begin_;
    std::int64_t end_;
    std::int64_t moving_ = 0;  // the first step that a prescribed time has shortened: all before it move
};

}  // namespace flashode::solve::inline FLASHODE_ISA
