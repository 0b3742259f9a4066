// The adjoint augmented dynamics over one tile, in reversed time s = -t: rows of y, then rows of a.
//
// With g the field in reversed time, g(s, y) = -f(-s, y), the augmented state obeys
//   dy/ds = g,   da/ds = -a^T dg/dy,   d(dL/dt)/ds = a^T dg/ds,   d(dL/dtheta)/ds = -a^T dg/dtheta
// (Chen et al., "Neural Ordinary Differential Equations", NeurIPS 2018, appendix B), all of them from one vjp
// of g with the cotangent -a.
#pragma once

#include <vector>

#include "cpu/tile_field.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// What the tiles' vjps leave for the quadrature, stage by stage.
template <class Real>
struct StageAccumulators {
    std::size_t size = 0;
    Rows<Real> parameters;   // (stages, size), in the tape's accumulator layout
    std::vector<Real> time;  // (stages)
};

template <class Real>
class AugmentedTileField {
   public:
    // `kept_stages`: of how many stages adjoint_rate() may be called after the state's rates of others.
    AugmentedTileField(const Field& field, const Tape<Real>& tape, StageAccumulators<Real>& accumulators,
                       int kept_stages = 1)
        : field_(field, tape, kept_stages),
          n_(tape.width() * LANES<Real>),
          cotangent_(static_cast<std::size_t>(n_)),
          accumulators_(&accumulators) {}

    void operator()(int stage, Real s, const Real* state, Real* rate) {
        field_(stage, s, state, rate);
        adjoint_rate(stage, state, rate);
    }

    // The rates of a alone, at the state that the field was evaluated at for this stage.
    void adjoint_rate(int stage, const Real* state, Real* rate) {
        for (int e = 0; e < n_; ++e) cotangent_[static_cast<std::size_t>(e)] = -state[n_ + e];
        const auto at = static_cast<std::size_t>(stage);
        field_.accumulate_into(
            accumulators_->size == 0 ? nullptr : &accumulators_->parameters[at * accumulators_->size]);
        accumulators_->time[at] -= field_.vjp(stage, cotangent_.data(), rate + n_);
    }

    // The field of the rows of y alone; its vjps accumulate nothing.
    TileField<Real>& of_state() {
        field_.accumulate_into(nullptr);
        return field_;
    }

   private:
    TileField<Real> field_;
    int n_;
    Rows<Real> cotangent_;
    StageAccumulators<Real>* accumulators_;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
