// The adjoint augmented dynamics over one tile, in reversed time s = -t: rows of y, then rows of a, then
// those of the gradient in c.
//
// With g the field in reversed time, g(s, y) = -f(-s, y), the augmented state obeys
//   dy/ds = g,   da/ds = -a^T dg/dy,   d(dL/dt)/ds = a^T dg/ds,   d(dL/dtheta)/ds = -a^T dg/dtheta
// (Chen et al., "Neural Ordinary Differential Equations", NeurIPS 2018, appendix B), and dL/dc as dL/dtheta:
// all of them from one vjp of g with the cotangent -a.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/tiles/tile_field.hpp"
#include "cpu/tiles/tiles.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// Gradients in parameters and t that the tiles' vjps add up for the quadrature, by group of tiles and stage.
template <class Real>
struct StageAccumulators {
    std::size_t size;  // of the tape's accumulator
    int groups;
    int stages;
    Rows<Real> parameters;   // (groups, stages, size)
    std::vector<Real> time;  // (groups, stages)

    StageAccumulators(const Tape<Real>& tape, const Method& method, TileGroups of)
        : size(tape.accumulator_size()),
          groups(of.count()),
          stages(stages_of(method)),
          parameters(index(groups, 0) * size),
          time(index(groups, 0)) {}

    // Clearing and adding up what a group has takes about as long as a vjp of one tile: with two tiles it is
    // at most half of the work.
    static TileGroups groups_of(const Tape<Real>& tape, const Method& method, const Field& field) {
        const std::int64_t least = std::max(tiles_sharing(tape, method), 2);
        const Tiles<Real> rows(field.batch, field.segments);
        const auto sets = static_cast<std::size_t>(stages_of(method));
        return {rows.count(), least, tape.accumulator_size() * sets * sizeof(Real)};
    }

    // One set of rates a stage, and one at the end of a step that an error chooses, if no stage is there; the
    // probe of the first step needs two.
    static int stages_of(const Method& method) {
        const bool at_end = method.tableau.control == Control::error && !method.tableau.carried;
        return std::max(method.tableau.stages + (at_end ? 1 : 0), 2);
    }

    std::size_t index(int group, int stage) const {
        return static_cast<std::size_t>(group) * static_cast<std::size_t>(stages) +
               static_cast<std::size_t>(stage);
    }
    // Null where no parameter's gradient is wanted.
    Real* of_parameters(int group, int stage) {
        return size == 0 ? nullptr : &parameters[index(group, stage) * size];
    }
    Real& of_time(int group, int stage) { return time[index(group, stage)]; }
};

template <class Real>
class AugmentedTileField {
   public:
    // `slots`: for how many stages adjoint_rate() may be called after the state's rates at others.
    AugmentedTileField(const Field& field, const Tape<Real>& tape, StageAccumulators<Real>& accumulators,
                       int slots = 1)
        : field_(field, tape, slots),
          n_(tape.width() * LANES<Real>),
          context_size_(tape.context_width() * LANES<Real>),
          cotangent_(static_cast<std::size_t>(n_)),
          accumulators_(&accumulators) {}

    // As of TileField.
    void defer_shared() { field_.defer_shared(); }
    void enter_tile(const Real* context) { field_.enter_tile(context); }

    // The vjps that follow are of tiles of this group.
    void enter(int group) { group_ = group; }

    // Those of the stages first … last - 1 are done.
    void leave(int first, int last) {
        for (int stage = first; stage < last && field_.defers_shared(); ++stage) {
            field_.accumulate_into(accumulators_->of_parameters(group_, stage), nullptr);
            accumulators_->of_time(group_, stage) -= field_.reverse_shared(stage);
        }
    }

    void operator()(int stage, Real s, const Real* state, Real* rate) {
        field_(stage, s, state, rate);
        adjoint_rate(stage, state, rate);
    }

    // The rates of a and of the gradient in c alone, at the state that the field was evaluated at for this
    // stage.
    void adjoint_rate(int stage, const Real* state, Real* rate) {
        for (int e = 0; e < n_; ++e) cotangent_[static_cast<std::size_t>(e)] = -state[n_ + e];
        Real* grad_context = rate + 2 * n_;
        std::fill_n(grad_context, context_size_, Real(0));
        field_.accumulate_into(accumulators_->of_parameters(group_, stage), grad_context);
        accumulators_->of_time(group_, stage) -= field_.vjp(stage, cotangent_.data(), rate + n_);
    }

    // The field of the rows of y alone.
    TileField<Real>& of_state() { return field_; }

   private:
    TileField<Real> field_;
    int n_;
    int context_size_;
    Rows<Real> cotangent_;
    StageAccumulators<Real>* accumulators_;
    int group_ = 0;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
