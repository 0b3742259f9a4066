// The discrete adjoint: the exact reverse of the steps that a forward solve took, tile by tile and last step
// first, from one checkpoint a step. Workers take the tiles group by group.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "cpu/engine.hpp"
#include "cpu/forward.hpp"
#include "cpu/implicit/vjp.hpp"
#include "cpu/systems/gradient_sums.hpp"
#include "cpu/workers/workers.hpp"
#include "numerics/step_vjp.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// The field as numerics/step_vjp.hpp calls it. The constants' gradients are summed apart: no step moves a
// constant, and where they are no numbers, nothing else is concerned.
template <class Real>
struct ApartFromConstants {
    TileField<Real>& field;
    const Tiles<Real>& tiles;
    Real* grad_constants;

    Real vjp(int stage, const Real* cotangent, Real* grad_y) {
        const Real grad_t = field.vjp(stage, cotangent, grad_y);
        tiles.move_constants(grad_y, grad_constants);
        return grad_t;
    }
};

// One worker's part.
template <class Real>
class DiscreteAdjoint {
   public:
    DiscreteAdjoint(const DiscreteRequest<Real>& request, const Tape<Real>& tape)
        : request_(request),
          method_(*request.method),
          log_(*request.log),
          tableau_(numerics::rounded<Real>(method_.tableau)),
          tape_(tape),
          tiles_(request.field->batch, request.field->segments),
          field_(*request.field, tape, tableau_.stages + (asks_for_end() ? 2 : 0)),
          reversed_{field_, tiles_, nullptr},
          accumulator_(tape.accumulator_size()),
          interpolant_(method_.interpolant),
          carries_(tableau_.carried && !tableau_.fsal) {
        const auto n = static_cast<std::size_t>(tiles_.size());
        const auto stages = static_cast<std::size_t>(tableau_.stages);
        for (Rows<Real>* rows : {&stages_, &grad_stages_, &stage_inputs_}) rows->resize(n * stages);
        for (Rows<Real>* rows :
             {&grad_y0_, &grad_mid_, &grad_first_, &scratch_, &y0_, &y1_, &y_mid_, &f_start_, &f_end_}) {
            rows->resize(n);
        }
        if (tiles_together(request, tape) > 1) field_.leave_uniform();
        if (tableau_.equations != Equations::none) implicit_.emplace(tableau_, tiles_);
        while (moving_ < log_.steps.size() && !log_.steps[moving_].stopped) ++moving_;
        first_time_of_step_.assign(log_.steps.size() + 1, request.time_count);
        while (at_start_ < request.time_count && step_of_time(at_start_) < 0) ++at_start_;
        for (std::int64_t j = request.time_count - 1; j >= at_start_; --j) {
            first_time_of_step_[static_cast<std::size_t>(step_of_time(j))] = j;
        }
        for (std::size_t s = log_.steps.size(); s-- > 0;) {
            first_time_of_step_[s] = std::min(first_time_of_step_[s], first_time_of_step_[s + 1]);
        }
        field_.accumulate_into(accumulator());
    }

    // How many tiles go back step by step together: one, unless they share work.
    static std::int64_t tiles_together(const DiscreteRequest<Real>& request, const Tape<Real>& tape) {
        // Gradients in times would have to be sorted by what moves the stages at hand.
        return request.grad_times == nullptr ? tiles_sharing(tape, *request.method) : 1;
    }

    // Reverses tiles first … last - 1, adding what they leave to `sums`, until stop() is true.
    template <class Stop>
    void run(std::int64_t first, std::int64_t last, GradientSums& sums, const Stop& stop) {
        sums_ = &sums;
        total_pointers_ = sums.by_parameter();
        // A few more together, rather than a rest that shares with nobody.
        const std::int64_t tiles = last - first;
        const std::int64_t parts = std::max<std::int64_t>(tiles / tiles_together(request_, tape_), 1);
        for (std::int64_t part = 0; part < parts && !stop(); ++part) {
            reverse_tiles(first + tiles * part / parts, first + tiles * (part + 1) / parts, stop);
        }
    }

   private:
    template <class Stop>
    void reverse_tiles(std::int64_t first, std::int64_t last, const Stop& stop) {
        const auto together = static_cast<std::size_t>(last - first);
        kept_.assign(together * KEPT * static_cast<std::size_t>(tiles_.size()), Real(0));
        const std::size_t between_folds = std::max<std::size_t>(STEPS_BETWEEN_FOLDS / together, 1);
        for (std::size_t s = log_.steps.size(); s-- > 0;) {
            if (stop()) return;
            for (std::int64_t tile = first; tile < last; ++tile) {
                enter(tile, tile - first);
                reverse_step(tile, s);
            }
            for (int stage = 0; field_.leaves_uniform() && stage < tableau_.stages + 1; ++stage) {
                field_.reverse_uniform(stage);
            }
            if (s % between_folds == 0) fold();
        }
        for (std::int64_t tile = first; tile < last; ++tile) {
            enter(tile, tile - first);
            for (std::int64_t j = 0; j < at_start_; ++j) add_cotangent(tile, j, Real(1), grad_y_);
            tiles_.copy_constants(grad_constants_, grad_y_);
            tiles_.store(tile, grad_y_, request_.grad_y0);
        }
    }

    // Takes up a tile where the step behind the one at hand has left it.
    void enter(std::int64_t tile, std::int64_t place) {
        const auto n = static_cast<std::size_t>(tiles_.size());
        grad_y_ = &kept_[static_cast<std::size_t>(place) * KEPT * n];
        grad_last_ = grad_y_ + n;
        grad_constants_ = grad_last_ + n;
        reversed_.grad_constants = grad_constants_;
        const std::size_t constants = tiles_.packed_size(false);
        tiles_.unpack(false, request_.constants + static_cast<std::size_t>(tile) * constants, y0_.data());
    }

    // Of one tile: partial sums of some hundred terms are added up in double.
    static constexpr std::size_t STEPS_BETWEEN_FOLDS = 32;

    Real* accumulator() { return accumulator_.empty() ? nullptr : accumulator_.data(); }

    void fold() {
        tape_.fold(accumulator_.data(), total_pointers_.data());
        std::fill(accumulator_.begin(), accumulator_.end(), Real(0));
    }

    // out += weight * dL/d(state at output time j)
    void add_cotangent(std::int64_t tile, std::int64_t j, Real weight, Real* out) {
        tiles_.load_cotangent(tile, request_.grad_states + j * tiles_.batch * tiles_.state_width,
                              scratch_.data());
        numerics::add_scaled(tiles_.size(), weight, scratch_.data(), out);
    }

    std::int64_t step_of_time(std::int64_t j) const { return log_.step_of_time[static_cast<std::size_t>(j)]; }

    // Whether the first stage is the last of the step before, evaluated elsewhere than at the solution.
    bool carries(std::size_t s) const { return carries_ && s > 0 && !log_.steps[s].fresh; }

    // Whether the slope at the end that dense output needs is no stage, but evaluated for it.
    bool asks_for_end() const { return method_.interpolant == Interpolant::cubic && !tableau_.carried; }

    // Whether the size of a step moves: the ends of given steps are the user's times, and a chosen step that
    // a prescribed time has shortened is as long as is left from its start, if that moves.
    bool stretches(std::size_t s) const { return tableau_.control == Control::given || s == moving_; }

    // The time at which the first stage was evaluated: an adaptive step after the first reused the last stage
    // of the step before, which looked just before its end, unless the field jumped there.
    Real first_stage_time(std::size_t s) const {
        const Real start = static_cast<Real>(log_.steps[s].start);
        if (log_.steps[s].fresh) return just_after(start);
        if (tableau_.carried) return s == 0 ? start : just_before(start);
        return method_.perturb ? just_after(start) : start;
    }

    // Where the state at the start of a step, or its slope, stands in the checkpoints.
    std::size_t checkpoint(std::int64_t tile, std::size_t s) const {
        const auto count = static_cast<std::size_t>(tiles_.count());
        return (s * count + static_cast<std::size_t>(tile)) * tiles_.packed_size(true);
    }

    void recompute(std::int64_t tile, std::size_t s, const numerics::StepTimes<Real>& times, bool dense) {
        const int n = tiles_.size();
        tiles_.unpack(true, request_.states + checkpoint(tile, s), y0_.data());
        if (implicit_) {
            evaluate_stages(tile, s, times);
        } else {
            if (carries(s)) {
                std::fill(stages_.data(), stages_.data() + n, Real(0));  // the constants' rates
                tiles_.unpack(true, request_.slopes + checkpoint(tile, s), stages_.data());
            } else {
                field_(0, first_stage_time(s), y0_.data(), stages_.data());
            }
            step_tile(tableau_, field_, tiles_, times, n, y0_.data(), stages_.data(), stage_inputs_.data(), n,
                      dense, y1_.data());
        }
        if (dense && asks_for_end()) {
            field_(tableau_.stages, static_cast<Real>(log_.steps[s].end), y1_.data(), f_end_.data());
            if (implicit_) field_(start_slot(), first_stage_time(s), y0_.data(), f_start_.data());
        }
    }

    // The stages of an implicit method are checkpoints; what is missing is what the field keeps of them.
    void evaluate_stages(std::int64_t tile, std::size_t s, const numerics::StepTimes<Real>& times) {
        const int n = tiles_.size();
        const auto stages = static_cast<std::size_t>(tableau_.stages);
        std::fill(stages_.begin(), stages_.end(), Real(0));  // the constants' rates
        for (std::size_t i = 0; i < stages; ++i) {
            tiles_.unpack(true, request_.slopes + checkpoint(tile, s) * stages + i * tiles_.packed_size(true),
                          stages_.data() + i * static_cast<std::size_t>(n));
        }
        for (int i = 0; i < tableau_.stages; ++i) {
            numerics::combine(n, y0_.data(), times.dt, tableau_.a[i], tableau_.stages, stages_.data(),
                              scratch_.data());
            tiles_.copy_constants(y0_.data(), scratch_.data());
            const bool at_start = tableau_.c[i] == Real(0);
            field_(i, at_start ? first_stage_time(s) : times.stages[i], scratch_.data(),
                   stage_inputs_.data());
        }
        numerics::combine(n, y0_.data(), times.dt, tableau_.b, tableau_.stages, stages_.data(), y1_.data());
    }

    // What the field keeps of the slope at the start, for cubic output of implicit methods: none of their
    // stages need be there.
    int start_slot() const { return tableau_.stages + 1; }

    void reverse_step(std::int64_t tile, std::size_t s) {
        const int n = tiles_.size();
        const Step& step = log_.steps[s];
        const numerics::StepTimes<Real> times = rounded_times<Real>(method_, step);
        const std::int64_t begin = first_time_of_step_[s];
        const std::int64_t end = first_time_of_step_[s + 1];
        const bool dense = begin < end && interpolant_ != Interpolant::linear;
        recompute(tile, s, times, dense);

        std::fill(grad_first_.begin(), grad_first_.end(), Real(0));
        std::fill(grad_mid_.begin(), grad_mid_.end(), Real(0));
        std::fill(grad_y0_.begin(), grad_y0_.end(), Real(0));
        for (std::int64_t j = begin; j < end; ++j) reverse_output(tile, s, j, step);
        if (dense && asks_for_end()) reverse_end(s);

        numerics::StepCotangents<Real> from;
        from.y1 = grad_y_;
        if (dense) from.k_first = grad_first_.data();
        if (dense && interpolant_ == Interpolant::quartic) from.y_mid = grad_mid_.data();
        if ((dense && tableau_.carried) || carries_) from.k_last = grad_last_;
        numerics::StepTimeGradients<Real> grad_times;
        Real* grad_k = grad_stages_.data();
        if (implicit_) {
            grad_times = (*implicit_)(field_, reversed_, times.dt, n, stages_.data(), grad_y_, accumulator(),
                                      grad_k, scratch_.data(), stage_inputs_.data());
        } else if (sums_->with_times() && stretches(s)) {
            grad_times = numerics::step_vjp<true>(tableau_, reversed_, times.dt, n, stages_.data(), from,
                                                  grad_k, scratch_.data(), stage_inputs_.data());
        } else {
            grad_times = numerics::step_vjp<false>(tableau_, reversed_, times.dt, n, stages_.data(), from,
                                                   grad_k, scratch_.data(), stage_inputs_.data());
        }
        std::copy(stage_inputs_.data(), stage_inputs_.data() + n, grad_y_);
        numerics::add_scaled(n, Real(1), grad_y0_.data(), grad_y_);
        std::fill(grad_last_, grad_last_ + n, Real(0));
        if (carries(s)) {
            std::copy(grad_k, grad_k + n, grad_last_);
        } else if (!implicit_) {
            grad_times.start += reversed_.vjp(0, grad_k, scratch_.data());
            numerics::add_scaled(n, Real(1), scratch_.data(), grad_y_);
        } else if (dense) {
            grad_times.start += reversed_.vjp(start_slot(), grad_first_.data(), scratch_.data());
            numerics::add_scaled(n, Real(1), scratch_.data(), grad_y_);
        }
        const auto grad_dt = static_cast<double>(grad_times.dt);
        add_time_gradients(s, static_cast<double>(grad_times.start) - grad_dt, grad_dt);
    }

    void reverse_output(std::int64_t tile, std::size_t s, std::int64_t j, const Step& step) {
        const double x = step.fraction(request_.times[j]);
        const auto w = dense_weights<Real>(method_, x);
        const Real dt = static_cast<Real>(step.dt);
        const int n = tiles_.size();
        add_cotangent(tile, j, w.y1, grad_y_);
        const Real* cotangent = scratch_.data();
        numerics::add_scaled(n, w.y0, cotangent, grad_y0_.data());
        if (interpolant_ == Interpolant::quartic)
            numerics::add_scaled(n, w.y_mid, cotangent, grad_mid_.data());
        if (interpolant_ != Interpolant::linear) {
            numerics::add_scaled(n, dt * w.f0, cotangent, grad_first_.data());
            numerics::add_scaled(n, dt * w.f1, cotangent, grad_last_);
        }
        if (!sums_->with_times() || (interpolant_ == Interpolant::linear && x == 1.0))
            return;  // on a grid point the line is y1 itself
        // d(output)/dt = slope / dt, and the start of the step moves it the other way; a node is always at
        // the same fraction
        if (interpolant_ == Interpolant::quartic) {
            numerics::combine(n, y0_.data(), dt, tableau_.b_mid, tableau_.stages, stages_.data(),
                              y_mid_.data());
        }
        const Real* f0 = implicit_ ? f_start_.data() : stages_.data();
        const Real* f1 = tableau_.carried ? f0 + (tableau_.stages - 1) * n : f_end_.data();
        dense_output(interpolant_, n, dense_weights_derivative<Real>(method_, x), dt,
                     {y0_.data(), y1_.data(), y_mid_.data(), f0, f1}, slope());
        const double rate =
            log_.nodes ? 0.0 : static_cast<double>(rate_of_loss(n, cotangent, slope())) / step.dt;
        double grad_dt = 0.0;  // the slopes count times the step size
        if (interpolant_ != Interpolant::linear && stretches(s)) {
            for (int e = 0; e < n; ++e) slope()[e] = w.f0 * f0[e] + w.f1 * f1[e];
            grad_dt = static_cast<double>(rate_of_loss(n, cotangent, slope()));
        }
        sums_->times[static_cast<std::size_t>(j)] += rate;
        add_time_gradients(s, -rate * (1.0 - x) - grad_dt, -rate * x + grad_dt);
    }

    // The slope at the end of a step that cubic output has asked for.
    void reverse_end(std::size_t s) {
        const Real grad_t = reversed_.vjp(tableau_.stages, grad_last_, scratch_.data());
        numerics::add_scaled(tiles_.size(), Real(1), scratch_.data(), grad_y_);
        add_time_gradients(s, 0.0, static_cast<double>(grad_t));
    }

    // Where the cotangent is zero, a slope that is no number does not matter: rows outside the norm may be
    // so.
    static Real rate_of_loss(int n, const Real* cotangent, const Real* slope) {
        Real sum = Real(0);
        for (int e = 0; e < n; ++e) sum += cotangent[e] == Real(0) ? Real(0) : cotangent[e] * slope[e];
        return sum;
    }

    // A free row block while outputs are handled: the stages' own gradients are not there yet.
    Real* slope() { return grad_stages_.data(); }

    // In the times of both ends of a step: those of fixed-step methods are grid points. Step sizes of
    // adaptive methods are constants, so all times move with the start, up to the first step that ends on a
    // prescribed one.
    void add_time_gradients(std::size_t s, double start, double end) {
        if (!sums_->with_times()) return;
        if (tableau_.control == Control::given) {
            sums_->grid[s] += start;
            sums_->grid[s + 1] += end;
        } else if (s <= moving_) {
            sums_->grid[0] += s < moving_ ? start + end : start;
        }
    }

    const DiscreteRequest<Real>& request_;
    const Method& method_;
    const StepLog& log_;
    numerics::Tableau<Real> tableau_;
    const Tape<Real>& tape_;
    Tiles<Real> tiles_;
    TileField<Real> field_;
    ApartFromConstants<Real> reversed_;
    Rows<Real> accumulator_;
    GradientSums* sums_ = nullptr;         // of the group at hand
    std::vector<double*> total_pointers_;  // its parameters
    Interpolant interpolant_;
    std::optional<ImplicitStepVjp<Real>> implicit_;
    bool carries_;
    std::size_t moving_ = 0;     // the first step that a prescribed time has shortened: all before it move
    std::int64_t at_start_ = 0;  // outputs that are the initial state
    std::vector<std::int64_t> first_time_of_step_;
    Rows<Real> stages_;
    Rows<Real> grad_stages_;
    Rows<Real> stage_inputs_;
    // Of each tile that goes back together: its gradient in the state at the end of the step at hand, then at
    // its start; that in the step's last slope; and that in its constants.
    static constexpr std::size_t KEPT = 3;
    Rows<Real> kept_;
    Real* grad_y_ = nullptr;  // of the tile at hand, in there
    Real* grad_last_ = nullptr;
    Real* grad_constants_ = nullptr;
    Rows<Real> grad_y0_;  // what dense output adds to it at the start
    Rows<Real> grad_mid_;
    Rows<Real> grad_first_;
    Rows<Real> scratch_;
    Rows<Real> y0_;
    Rows<Real> y1_;
    Rows<Real> y_mid_;
    Rows<Real> f_start_;  // the slope at the start, for cubic output of implicit methods
    Rows<Real> f_end_;    // the slope at the end, for cubic output
};

template <class Real>
void discrete_vjp(const DiscreteRequest<Real>& request, const Interrupt& interrupt) {
    const Tape<Real> tape(*request.field->program, request.field->parameters.data(),
                          request.field->wants_gradient);
    const Tiles<Real> tiles(request.field->batch, request.field->segments);
    const GradientSums zero(request);
    const TileGroups groups(tiles.count(), DiscreteAdjoint<Real>::tiles_together(request, tape),
                            zero.bytes());
    Team team(std::min(request.field->threads, groups.count()));
    std::vector<std::unique_ptr<DiscreteAdjoint<Real>>> workers;
    workers.reserve(static_cast<std::size_t>(team.size()));
    for (int worker = 0; worker < team.size(); ++worker) {
        workers.push_back(std::make_unique<DiscreteAdjoint<Real>>(request, tape));
    }
    std::vector<GradientSums> sums(static_cast<std::size_t>(groups.count()), zero);

    // Only the calling thread may ask about signals.
    SignalWatch watch(interrupt);
    std::atomic<bool> stopped{false};
    const auto look = [&] {
        if (!stopped && watch.stop()) stopped = true;
    };
    team.run(
        groups.count(),
        [&](int worker, int group) {
            const auto stop = [&] {
                if (worker == 0) look();
                return stopped.load();
            };
            workers[static_cast<std::size_t>(worker)]->run(groups.begin(group), groups.end(group),
                                                           sums[static_cast<std::size_t>(group)], stop);
        },
        look);
    if (stopped) return;
    for (std::size_t group = 1; group < sums.size(); ++group) sums[0].add(sums[group]);
    sums[0].hand_over(request);
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
