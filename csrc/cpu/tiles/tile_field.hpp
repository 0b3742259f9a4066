// The field of a solve over one tile, in the shape that numerics/step.hpp and numerics/step_vjp.hpp call.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/engine.hpp"
#include "cpu/tape/tape.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// How many tiles share what their vjps leave of gradients in what all trajectories share, to be handed on
// once; one where they leave nothing. The equations of implicit methods are not solved stage by stage.
template <class Real>
inline int tiles_sharing(const Tape<Real>& tape, const Method& method) {
    return method.tableau.equations != Equations::none ? 1 : tape.tiles_sharing();
}

// Of how many stages to keep the values, at least `needed`: of all where that saves work, or where the tiles
// leave gradients for each stage, which must not be mixed.
template <class Real>
inline int useful_slots(const Tape<Real>& tape, const Method& method, int needed) {
    const bool by_stage = tape.has_uniform_work() || tiles_sharing(tape, method) > 1;
    return by_stage ? std::max(needed, method.tableau.stages) : needed;
}

template <class Real>
class TileField {
   public:
    // `kept_stages`: of how many stages the values are kept for a vjp; 1 when there will be none. Where the
    // tiles of a batch are evaluated stage by stage, those kept save computing anew what depends on t alone.
    TileField(const Field& field, const Tape<Real>& tape, int kept_stages)
        : tape_(tape),
          direction_(static_cast<Real>(field.direction)),
          size_(tape.width() * LANES<Real>),
          kept_stages_(kept_stages),
          times_(static_cast<std::size_t>(kept_stages), numerics::FloatFormat<Real>::nan),
          values_(tape.values_size() * static_cast<std::size_t>(kept_stages)) {
        for (int stage = 0; stage < kept_stages; ++stage) tape.prepare(values(slot(stage)));
    }

    // Nothing that evaluations leave depends on the group that a tile belongs to.
    void enter(int) {}
    void leave(int, int) {}

    // The vjps that follow leave gradients in what all trajectories share to reverse_uniform(): for tiles
    // that are evaluated stage by stage, each of as many as are kept.
    void leave_uniform() {
        left_.resize(values_.size() / tape_.values_size());
        uniform_.resize(tape_.uniform_size() * left_.size());
    }

    bool leaves_uniform() const { return !left_.empty(); }

    // Hands on what vjps at this stage have left; returns the gradient in t summed over lanes.
    Real reverse_uniform(int stage) {
        const std::size_t at = slot(stage);
        if (!left_[at]) return Real(0);
        left_[at] = false;
        require_reverse();
        tape_.reverse_uniform(values(at), uniform(at), grads_.data(), transposed_.data(), accumulator_);
        return grad_t();
    }

    // Where the next vjps add parameter gradients; null to leave them out.
    void accumulate_into(Real* accumulator) { accumulator_ = accumulator; }

    void operator()(int stage, Real t, const Real* y, Real* dydt) {
        Real* at = values(slot(stage));
        copy_rows(size_, y, at + tape_.y_offset());
        tape_.forward(at, set_time(slot(stage), direction_ * t));
        const Real* out = at + tape_.output_offset();
        for (int e = 0; e < size_; ++e) dydt[e] = direction_ * out[e];
    }

    // grad_y = J^T cotangent at the kept stage; returns the gradient in t summed over lanes, unless that is
    // left to reverse_uniform().
    Real vjp(int stage, const Real* cotangent, Real* grad_y) {
        require_reverse();
        Real* grad_out = grads_.data() + tape_.output_offset();
        for (int e = 0; e < size_; ++e) grad_out[e] = direction_ * cotangent[e];
        const std::size_t at = slot(stage);
        if (!leaves_uniform()) {
            tape_.reverse(values(at), grads_.data(), transposed_.data(), accumulator_);
        } else {
            left_[at] = true;
            tape_.reverse_apart(values(at), grads_.data(), transposed_.data(), accumulator_, uniform(at));
        }
        if (tape_.uses_y()) {
            const Real* from = grads_.data() + tape_.y_offset();
            std::copy(from, from + size_, grad_y);
        } else {
            std::fill(grad_y, grad_y + size_, Real(0));
        }
        return leaves_uniform() ? Real(0) : grad_t();
    }

   private:
    // Memory that a solve without a reverse pass does without: of a large field it takes longer to get than a
    // step.
    void require_reverse() {
        if (!grads_.empty()) return;
        grads_.resize(tape_.values_size());
        transposed_.resize(tape_.transpose_size());
    }

    std::size_t slot(int stage) const { return static_cast<std::size_t>(stage < kept_stages_ ? stage : 0); }
    Real* values(std::size_t slot) { return values_.data() + slot * tape_.values_size(); }
    Real* uniform(std::size_t slot) { return uniform_.data() + slot * tape_.uniform_size(); }

    Real grad_t() const {
        if (!tape_.uses_t()) return Real(0);
        return direction_ * sum_of_lanes(grads_.data() + tape_.t_offset());
    }

    // False where it was the same before: to the bit, as one over zero has a sign.
    bool set_time(std::size_t slot, Real t) {
        if (numerics::to_bits(times_[slot]) == numerics::to_bits(t)) return false;
        times_[slot] = t;
        detail::fill_row(values(slot) + tape_.t_offset(), t);
        return true;
    }

    const Tape<Real>& tape_;
    Real direction_;
    int size_;
    int kept_stages_;
    std::vector<Real> times_;  // at which the values of each stage were computed
    Rows<Real> values_;
    Rows<Real> grads_;
    Rows<Real> transposed_;
    Rows<Real> uniform_;      // for each stage, gradients in what all trajectories share
    std::vector<bool> left_;  // for each stage, whether there are any; empty where none are left
    Real* accumulator_ = nullptr;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
