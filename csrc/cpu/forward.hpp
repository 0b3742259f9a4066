// The forward solve: tiles of the state.
#pragma once

#include <algorithm>

#include "cpu/record.hpp"
#include "cpu/systems/tiled_system.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

template <class Real>
class ForwardSystem : public TiledSystem<Real, TileField<Real>, NoQuadrature> {
    using Base = TiledSystem<Real, TileField<Real>, NoQuadrature>;

   protected:
    using Base::method_, Base::tableau_, Base::tiles_, Base::y0_, Base::y1_, Base::f0_;

   public:
    // `slots`: as of the field, and more where that is of use.
    ForwardSystem(const ForwardRequest<Real>& request, const Tape<Real>& tape, Record<Real>& record,
                  TileGroups groups, Team& team, int slots = 1)
        : Base(*request.method, Tiles<Real>(request.field->batch, request.field->segments),
               Context<Real>(*request.field, request.c),
               TileField<Real>(*request.field, tape, useful_slots(tape, *request.method, slots)),
               NoQuadrature{}, request.measure, groups, team),
          states_(request.states) {
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            tiles_.load(i, request.y0, &y0_[tiles_.offset(i)]);
        }
        start_state(record.start(states_));
    }

    // As of record.hpp.
    void write_checkpoint(Real* to) {
        to = std::copy(y0_.begin(), y0_.end(), to);
        if (stored_stages(method_.tableau) > 0) std::copy(f0_.begin(), f0_.end(), to);
    }

    void output(std::int64_t j, double x, const Step& step) { state_at(x, step, state(j)); }
    void output_start(std::int64_t j) const { start_state(state(j)); }

    // The state at the fraction x of the step, at its end and at its start.
    void state_at(double x, const Step& step, Real* memory) {
        const auto weights = solve::dense_weights<Real>(method_, x);
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            tiles_.store(i, this->interpolate(i, weights, static_cast<Real>(step.dt)), memory);
        }
    }
    void end_state(Real* memory) const { store(y1_, memory); }
    void start_state(Real* memory) const { store(y0_, memory); }

   private:
    Real* state(std::int64_t j) const { return states_ + j * tiles_.batch * tiles_.width; }
    void store(const Rows<Real>& values, Real* memory) const {
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            tiles_.store(i, &values[tiles_.offset(i)], memory);
        }
    }

    Real* states_;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
