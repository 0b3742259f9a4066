// The discrete adjoint: the exact reverse of the steps that a forward solve took, tile by tile and last step
// first, from one checkpoint a step. Workers take the tiles group by group.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "cpu/engine.hpp"
#include "cpu/implicit/vjp.hpp"
#include "cpu/record.hpp"
#include "cpu/systems/gradient_sums.hpp"
#include "cpu/systems/tiled_system.hpp"
#include "cpu/watch.hpp"
#include "cpu/workers/workers.hpp"
#include "numerics/step_vjp.hpp"
#include "solve/reverse.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// One worker's part.
template <class Real>
class DiscreteAdjoint {
   public:
    DiscreteAdjoint(const DiscreteRequest<Real>& request, const Tape<Real>& tape,
                    const Context<Real>& context)
        : request_(request),
          method_(*request.method),
          log_(*request.log),
          tableau_(numerics::rounded<Real>(method_.tableau)),
          tape_(tape),
          tiles_(request.field->batch, request.field->segments),
          context_(context),
          field_(*request.field, tape, tableau_.stages + (asks_for_end() ? 2 : 0)),
          accumulator_(tape.accumulator_size()),
          checkpoint_size_(checkpoint_size(tiles_, method_)),
          carries_(tableau_.carried && !tableau_.fsal) {
        const auto n = static_cast<std::size_t>(tiles_.size());
        const auto stages = static_cast<std::size_t>(tableau_.stages);
        for (Rows<Real>* rows : {&stages_, &grad_stages_, &stage_inputs_}) rows->resize(n * stages);
        for (Rows<Real>* rows :
             {&grad_y0_, &grad_mid_, &grad_first_, &scratch_, &y0_, &y1_, &y_mid_, &f_start_, &f_end_}) {
            rows->resize(n);
        }
        if (tiles_together(request, tape) > 1) field_.defer_shared();
        if (tableau_.equations != Equations::none) implicit_.emplace(tableau_, tiles_);
    }

    // How many tiles go back step by step together: one, unless they share work.
    static std::int64_t tiles_together(const DiscreteRequest<Real>& request, const Tape<Real>& tape) {
        // Gradients in times take each stage's gradient in t at once.
        return request.grad_times == nullptr ? tiles_sharing(tape, *request.method) : 1;
    }

    // Reverses tiles first … last - 1, adding what they leave to `sums`, until stop() is true.
    template <class Stop>
    void run(std::int64_t first, std::int64_t last, GradientSums& sums, const Stop& stop) {
        gradients_ = sums.of_times();
        total_pointers_ = sums.by_parameter();
        // Parts of a few tiles more, rather than a last one of too few.
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
        running_.assign(together * running_size(), Real(0));
        const std::size_t between_folds = std::max<std::size_t>(STEPS_BETWEEN_FOLDS / together, 1);
        solve::ReverseSteps steps(method_, log_.view());
        std::size_t chunk = log_.chunks.size();
        while (steps.next()) {
            if (stop()) return;
            while (chunk == log_.chunks.size() || log_.chunks[chunk] > steps.index()) --chunk;
            checkpoint_ = request_.checkpoints[chunk] +
                          static_cast<std::size_t>(steps.index() - log_.chunks[chunk]) * checkpoint_size_;
            for (std::int64_t tile = first; tile < last; ++tile) {
                enter(tile, tile - first);
                reverse_step(tile, steps);
            }
            for (int stage = 0; field_.defers_shared() && stage < tableau_.stages + 1; ++stage) {
                field_.reverse_shared(stage);
            }
            if (static_cast<std::size_t>(steps.index()) % between_folds == 0) fold();
        }
        for (std::int64_t tile = first; tile < last; ++tile) {
            enter(tile, tile - first);
            for (std::int64_t j = 0; j < steps.begin(); ++j) {
                load_cotangent(tile, j);
                numerics::add_scaled(tiles_.size(), Real(1), scratch_.data(), grad_y_);
            }
            tiles_.store(tile, grad_y_, request_.grad_y0);
            context_.tiles().store(tile, grad_context_, request_.grad_c);
        }
    }

    std::size_t running_size() const {
        return 2 * static_cast<std::size_t>(tiles_.size()) +
               static_cast<std::size_t>(context_.tiles().size());
    }

    // Goes on with a tile from the gradients that the later step has left.
    void enter(std::int64_t tile, std::int64_t place) {
        const auto n = static_cast<std::size_t>(tiles_.size());
        grad_y_ = &running_[static_cast<std::size_t>(place) * running_size()];
        grad_last_ = grad_y_ + n;
        grad_context_ = grad_last_ + n;
        field_.enter_tile(context_.of(tile));
        field_.accumulate_into(accumulator(), grad_context_);
    }

    // Of one tile: partial sums of some hundred terms are added up in double.
    static constexpr std::size_t STEPS_BETWEEN_FOLDS = 32;

    Real* accumulator() { return accumulator_.empty() ? nullptr : accumulator_.data(); }

    void fold() {
        tape_.fold(accumulator_.data(), total_pointers_.data());
        std::fill(accumulator_.begin(), accumulator_.end(), Real(0));
    }

    // scratch = dL/d(state at output time j)
    void load_cotangent(std::int64_t tile, std::int64_t j) {
        tiles_.load_cotangent(tile, request_.grad_states + j * tiles_.batch * tiles_.width, scratch_.data());
    }

    // Whether the slope at the end that dense output needs is no stage, but evaluated for it.
    bool asks_for_end() const { return method_.interpolant != Interpolant::linear && !tableau_.carried; }
    // Whether that at the start is none.
    bool asks_for_start() const { return implicit_ && asks_for_end(); }

    // What the checkpoint of the step at hand has of a tile: the state at its start, and so many slopes.
    const Real* stored_state(std::int64_t tile) const { return checkpoint_ + tiles_.offset(tile); }
    const Real* stored_slopes(std::int64_t tile, std::size_t stages) const {
        return checkpoint_ + tiles_.total() + tiles_.offset(tile) * stages;
    }

    void recompute(std::int64_t tile, const solve::ReverseSteps& steps,
                   const numerics::StepTimes<Real>& times, bool dense) {
        const int n = tiles_.size();
        const Real start = steps.first_stage_time<Real>();
        copy_rows(n, stored_state(tile), y0_.data());
        if (implicit_) {
            evaluate_stages(tile, start, times);
        } else {
            if (steps.carries()) {
                copy_rows(n, stored_slopes(tile, 1), stages_.data());
            } else {
                field_(0, start, y0_.data(), stages_.data());
            }
            numerics::step(tableau_, field_, times, n, y0_.data(), stages_.data(), stage_inputs_.data(), n,
                           dense, y1_.data());
        }
        if (dense && asks_for_end()) {
            field_(tableau_.stages, solve::end_time<Real>(method_, steps.step()), y1_.data(), f_end_.data());
        }
        if (dense && asks_for_start()) field_(start_slot(), start, y0_.data(), f_start_.data());
    }

    // The stages of an implicit method are checkpoints; what is missing is what the field keeps of them.
    void evaluate_stages(std::int64_t tile, Real start, const numerics::StepTimes<Real>& times) {
        const int n = tiles_.size();
        const auto stages = static_cast<std::size_t>(tableau_.stages);
        std::copy_n(stored_slopes(tile, stages), stages_.size(), stages_.data());
        for (int i = 0; i < tableau_.stages; ++i) {
            numerics::combine(n, y0_.data(), times.dt, tableau_.a[i], tableau_.stages, stages_.data(),
                              scratch_.data());
            const bool at_start = tableau_.c[i] == Real(0);
            field_(i, at_start ? start : times.stages[i], scratch_.data(), stage_inputs_.data());
        }
        numerics::combine(n, y0_.data(), times.dt, tableau_.b, tableau_.stages, stages_.data(), y1_.data());
    }

    // What the field keeps of the slope at the start, for dense output of implicit methods: none of their
    // stages need be there.
    int start_slot() const { return tableau_.stages + 1; }

    void reverse_step(std::int64_t tile, const solve::ReverseSteps& steps) {
        const int n = tiles_.size();
        const auto times = solve::rounded_times<Real>(method_, steps.step());
        const bool dense = steps.begin() < steps.end() && method_.interpolant != Interpolant::linear;
        recompute(tile, steps, times, dense);

        std::fill(grad_first_.begin(), grad_first_.end(), Real(0));
        std::fill(grad_mid_.begin(), grad_mid_.end(), Real(0));
        std::fill(grad_y0_.begin(), grad_y0_.end(), Real(0));
        for (std::int64_t j = steps.begin(); j < steps.end(); ++j) reverse_output(tile, j, steps);
        if (dense && asks_for_end()) reverse_end(steps);

        numerics::StepCotangents<Real> from;
        from.y1 = grad_y_;
        if (dense && !asks_for_start()) from.k_first = grad_first_.data();
        if (dense && method_.interpolant == Interpolant::quartic) from.y_mid = grad_mid_.data();
        if ((dense && tableau_.carried) || carries_) from.k_last = grad_last_;
        numerics::StepTimeGradients<Real> grad_times;
        Real* grad_k = grad_stages_.data();
        if (implicit_) {
            grad_times = (*implicit_)(field_, times.dt, n, stages_.data(), from, grad_k, scratch_.data(),
                                      stage_inputs_.data());
        } else if (gradients_.times != nullptr && steps.stretches()) {
            grad_times = numerics::step_vjp<true>(tableau_, field_, times.dt, n, stages_.data(), from, grad_k,
                                                  scratch_.data(), stage_inputs_.data());
        } else {
            grad_times = numerics::step_vjp<false>(tableau_, field_, times.dt, n, stages_.data(), from,
                                                   grad_k, scratch_.data(), stage_inputs_.data());
        }
        std::copy(stage_inputs_.data(), stage_inputs_.data() + n, grad_y_);
        numerics::add_scaled(n, Real(1), grad_y0_.data(), grad_y_);
        std::fill(grad_last_, grad_last_ + n, Real(0));
        if (steps.carries()) {
            std::copy(grad_k, grad_k + n, grad_last_);
        } else if (!implicit_) {
            grad_times.start += field_.vjp(0, grad_k, scratch_.data());
            numerics::add_scaled(n, Real(1), scratch_.data(), grad_y_);
        } else if (dense && asks_for_start()) {
            grad_times.start += field_.vjp(start_slot(), grad_first_.data(), scratch_.data());
            numerics::add_scaled(n, Real(1), scratch_.data(), grad_y_);
        }
        const auto grad_dt = static_cast<double>(grad_times.dt);
        steps.add_ends(static_cast<double>(grad_times.start) - grad_dt, grad_dt, gradients_);
    }

    void reverse_output(std::int64_t tile, std::int64_t j, const solve::ReverseSteps& steps) {
        const double x = solve::fraction(steps.step(), request_.times.at[j]);
        const Real dt = static_cast<Real>(steps.step().dt);
        const int n = tiles_.size();
        load_cotangent(tile, j);
        solve::dense_output_vjp(method_.interpolant, n, solve::dense_weights<Real>(method_, x), dt,
                                scratch_.data(),
                                {grad_y0_.data(), grad_y_, grad_mid_.data(), grad_first_.data(), grad_last_});
        if (gradients_.times == nullptr || steps.is_end(x)) return;
        if (method_.interpolant == Interpolant::quartic) {
            numerics::combine(n, y0_.data(), dt, tableau_.b_mid, tableau_.stages, stages_.data(),
                              y_mid_.data());
        }
        const Real* f0 = asks_for_start() ? f_start_.data() : stages_.data();
        const Real* f1 = tableau_.carried ? stages_.data() + (tableau_.stages - 1) * n : f_end_.data();
        // The stages' own gradients are not there yet: their place is free.
        const solve::OutputRates rates = steps.output_rates<Real>(
            x, n, {y0_.data(), y1_.data(), y_mid_.data(), f0, f1}, scratch_.data(), grad_stages_.data());
        steps.add_output(j, x, rates, gradients_);
    }

    // The slope at the end of a step that cubic output has asked for.
    void reverse_end(const solve::ReverseSteps& steps) {
        const Real grad_t = field_.vjp(tableau_.stages, grad_last_, scratch_.data());
        numerics::add_scaled(tiles_.size(), Real(1), scratch_.data(), grad_y_);
        steps.add_ends(0.0, static_cast<double>(grad_t), gradients_);
    }

    const DiscreteRequest<Real>& request_;
    const Method& method_;
    const StepLog& log_;
    numerics::Tableau<Real> tableau_;
    const Tape<Real>& tape_;
    Tiles<Real> tiles_;
    const Context<Real>& context_;
    TileField<Real> field_;
    Rows<Real> accumulator_;
    solve::TimeGradients gradients_;       // of the group at hand
    std::vector<double*> total_pointers_;  // its parameters
    std::size_t checkpoint_size_;
    const Real* checkpoint_ = nullptr;  // of the step at hand
    std::optional<ImplicitStepVjp<Real>> implicit_;
    bool carries_;
    Rows<Real> stages_;
    Rows<Real> grad_stages_;
    Rows<Real> stage_inputs_;
    // Of each tile that goes back together: its gradient in the state at the end of the step at hand, then at
    // its start; that in the step's last slope; and that in its context.
    Rows<Real> running_;
    Real* grad_y_ = nullptr;  // of the tile at hand, in there
    Real* grad_last_ = nullptr;
    Real* grad_context_ = nullptr;
    Rows<Real> grad_y0_;  // what dense output adds to it at the start
    Rows<Real> grad_mid_;
    Rows<Real> grad_first_;
    Rows<Real> scratch_;
    Rows<Real> y0_;
    Rows<Real> y1_;
    Rows<Real> y_mid_;
    Rows<Real> f_start_;  // the slopes at both ends, where dense output asks for them
    Rows<Real> f_end_;
};

template <class Real>
void discrete_vjp(const DiscreteRequest<Real>& request, const Interrupt& interrupt) {
    const Tape<Real> tape(*request.field->program, request.field->parameters.data(),
                          request.field->wants_gradient);
    const Tiles<Real> tiles(request.field->batch, request.field->segments);
    const Context<Real> context(*request.field, request.c);
    const GradientSums zero(request);
    const TileGroups groups(tiles.count(), DiscreteAdjoint<Real>::tiles_together(request, tape),
                            zero.bytes());
    Team team(std::min(request.field->threads, groups.count()));
    std::vector<std::unique_ptr<DiscreteAdjoint<Real>>> workers;
    workers.reserve(static_cast<std::size_t>(team.size()));
    for (int worker = 0; worker < team.size(); ++worker) {
        workers.push_back(std::make_unique<DiscreteAdjoint<Real>>(request, tape, context));
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
