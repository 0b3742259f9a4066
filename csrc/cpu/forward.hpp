// The forward solve: the state alone, tile by tile.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/event.hpp"
#include "cpu/goals.hpp"
#include "cpu/systems/tiled_system.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

template <class Real>
class ForwardSystem : public TiledSystem<Real, TileField<Real>, NoQuadrature> {
    using Base = TiledSystem<Real, TileField<Real>, NoQuadrature>;

   protected:
    using Base::method_, Base::tableau_, Base::tiles_, Base::y0_, Base::y1_, Base::f0_;

   public:
    // `kept_stages`: as of the field, and more where that is of use.
    ForwardSystem(const ForwardRequest<Real>& request, const Tape<Real>& tape, TileGroups groups, Team& team,
                  int kept_stages = 1)
        : Base(*request.method, Tiles<Real>(request.field->batch, request.field->segments),
               Tiles<Real>(request.field->batch, request.field->segments),
               TileField<Real>(*request.field, tape, useful_slots(tape, *request.method, kept_stages)),
               NoQuadrature{}, request.measure, groups, team),
          request_(request) {
        Real* start = request.nodes == nullptr ? request.states : request.nodes->states.data();
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            tiles_.load(i, request.y0, &y0_[tiles_.offset(i)]);
            tiles_.store_state(i, &y0_[tiles_.offset(i)], start);
            if (request.log != nullptr) {
                tiles_.pack(false, &y0_[tiles_.offset(i)], request.checkpoints->constants);
            }
        }
    }

    void accept(const Step& step) {
        if (request_.log == nullptr) return;
        request_.log->steps.push_back(step);
        Checkpoints<Real>& kept = *request_.checkpoints;
        const bool with_slopes = tableau_.carried && !tableau_.fsal;
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            tiles_.pack(true, &y0_[tiles_.offset(i)], kept.states);
            if (with_slopes) tiles_.pack(true, &f0_[tiles_.offset(i)], kept.slopes);
        }
    }

    void output(std::int64_t j, double x, const Step& step) {
        state_at(x, step, request_.states + j * tiles_.batch * tiles_.state_width);
        note_output();
    }

    // The state at the fraction x of the step, and at its end.
    void state_at(double x, const Step& step, Real* memory) {
        const auto weights = dense_weights<Real>(method_, x);
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            tiles_.store_state(i, this->interpolate(i, weights, static_cast<Real>(step.dt)), memory);
        }
    }
    void end_state(Real* memory) const {
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            tiles_.store_state(i, &y1_[tiles_.offset(i)], memory);
        }
    }

    // An output lies in the step accepted last.
    void note_output() {
        if (request_.log != nullptr) {
            request_.log->step_of_time.push_back(static_cast<std::int64_t>(request_.log->steps.size()) - 1);
        }
    }

   private:
    const ForwardRequest<Real>& request_;
};

template <class System, class Real>
Outcome solve_until_event(System& system, const ForwardRequest<Real>& request, std::size_t state_size,
                          const Interrupt& interrupt) {
    double tolerance = request.method->atol;
    if (request.measure != nullptr && request.measure->atol != nullptr) {
        tolerance =
            static_cast<double>(*std::min_element(request.measure->atol, request.measure->atol + state_size));
    }
    UntilEvent<Real> goal(*request.event, tolerance, state_size);
    const double start = request.times[0];
    const bool at_start = goal.begin(request.states, state_size, start);
    const EqualSteps equal(start, request.step_size, request.method->max_num_steps);
    Outcome outcome = integrate(system, *request.method, start, equal, goal, interrupt);
    if (outcome.status != Status::done) return outcome;
    if (goal.undefined()) {
        outcome.status = Status::nonfinite_event;
        outcome.t = goal.undefined_at();
    } else if (at_start) {
        outcome.event_t = start;
        outcome.times_reached = 2;
        std::copy_n(request.states, state_size, request.states + state_size);
        system.note_output();
    }
    return outcome;
}

template <class System, class Real, class Goal>
Outcome solve_over_times(System& system, const ForwardRequest<Real>& request, Goal goal,
                         const Interrupt& interrupt) {
    const GridSteps grid(request.grid, request.grid_count);
    return integrate(system, *request.method, request.times[0], grid, goal, interrupt);
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
