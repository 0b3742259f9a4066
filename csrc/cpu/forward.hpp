// The forward solve: the state alone, tile by tile.
#pragma once

#include "cpu/tiled_system.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

template <class Real>
class ForwardSystem : public TiledSystem<Real, TileField<Real>, NoQuadrature> {
    using Base = TiledSystem<Real, TileField<Real>, NoQuadrature>;
    using Base::method_, Base::tableau_, Base::tiles_, Base::y0_, Base::f0_;

   public:
    ForwardSystem(const ForwardRequest<Real>& request, const Tape<Real>& tape)
        : Base(*request.method, Tiles<Real>(request.field->batch, request.field->segments),
               Tiles<Real>(request.field->batch, request.field->segments),
               TileField<Real>(*request.field, tape, 1), NoQuadrature{}),
          request_(request) {
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            tiles_.load(i, request.y0, &y0_[tiles_.offset(i)]);
            tiles_.store_state(i, &y0_[tiles_.offset(i)], request.states);
            if (request.log != nullptr) {
                tiles_.pack(false, &y0_[tiles_.offset(i)], request.checkpoints->constants);
            }
        }
    }

    void accept(const Step& step) {
        if (request_.log == nullptr) return;
        request_.log->steps.push_back(step);
        Checkpoints<Real>& kept = *request_.checkpoints;
        const bool with_slopes = tableau_.adaptive && !tableau_.fsal;
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            tiles_.pack(true, &y0_[tiles_.offset(i)], kept.states);
            if (with_slopes) tiles_.pack(true, &f0_[tiles_.offset(i)], kept.slopes);
        }
    }

    void output(std::int64_t j, double x, const Step& step) {
        const auto weights = dense_weights<Real>(method_, x);
        Real* rows = request_.states + j * tiles_.batch * tiles_.state_width;
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            tiles_.store_state(i, this->interpolate(i, weights, static_cast<Real>(step.dt)), rows);
        }
        if (request_.log != nullptr) {
            request_.log->step_of_time.push_back(static_cast<std::int64_t>(request_.log->steps.size()) - 1);
        }
    }

   private:
    const ForwardRequest<Real>& request_;
};

template <class Real>
Outcome forward(const ForwardRequest<Real>& request, const Interrupt& interrupt) {
    const Tape<Real> tape(*request.field->program, request.field->parameters.data(),
                          request.field->wants_gradient);
    ForwardSystem<Real> system(request, tape);
    if (request.log != nullptr) request.log->step_of_time.assign(1, -1);
    if (request.method->tableau.adaptive) {
        return integrate_adaptive(system, *request.method, request.times, request.time_count, interrupt);
    }
    return integrate_fixed(system, *request.method, request.grid, request.grid_count, request.times,
                           request.time_count, interrupt);
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
