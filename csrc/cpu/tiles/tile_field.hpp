// The field of a solve over one tile, in the shape that numerics/step.hpp and numerics/step_vjp.hpp call.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/engine.hpp"
#include "cpu/tape/tape.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// Over how many tiles gradients in shared values are summed before they are propagated; one where there are
// none. Implicit methods do not go through the tiles stage by stage.
template <class Real>
inline int tiles_sharing(const Tape<Real>& tape, const Method& method) {
    return method.tableau.equations != Equations::none ? 1 : tape.tiles_sharing();
}

// For how many stages to store values, at least `needed`: for all where that saves work, or where gradients
// in shared values are summed for each stage.
template <class Real>
inline int useful_slots(const Tape<Real>& tape, const Method& method, int needed) {
    const bool by_stage = tape.has_shared() || tiles_sharing(tape, method) > 1;
    return by_stage ? std::max(needed, method.tableau.stages) : needed;
}

template <class Real>
class TileField {
   public:
    // `slots`: for how many stages values are stored, for a vjp; 1 when there will be none. Those of t alone
    // are then not computed again for the next tile.
    TileField(const Field& field, const Tape<Real>& tape, int slots)
        : tape_(tape),
          direction_(static_cast<Real>(field.direction)),
          size_(tape.width() * LANES<Real>),
          context_size_(tape.context_width() * LANES<Real>),
          slots_(slots),
          times_(static_cast<std::size_t>(slots), numerics::FloatFormat<Real>::nan),
          contexts_(times_.size(), nullptr),
          values_(tape.values_size() * static_cast<std::size_t>(slots)) {
        for (int stage = 0; stage < slots; ++stage) tape.prepare(values(slot(stage)));
    }

    // Nothing that evaluations leave depends on the group that a tile belongs to.
    void enter(int) {}
    void leave(int, int) {}

    // The evaluations that follow are of a tile with this context, which is not to change from here on.
    void enter_tile(const Real* context) { context_ = context; }

    // The vjps that follow sum the gradients in shared values up for reverse_shared(): for tiles that are
    // evaluated stage by stage, each of as many as are kept.
    void defer_shared() {
        deferred_.resize(times_.size());
        shared_sums_.resize(tape_.shared_size() * times_.size());
    }

    bool defers_shared() const { return !deferred_.empty(); }

    // Hands on what vjps at this stage have summed up; returns the gradient in t summed over lanes.
    Real reverse_shared(int stage) {
        const std::size_t at = slot(stage);
        if (!deferred_[at]) return Real(0);
        deferred_[at] = false;
        tape_.take_shared(shared_sums(at), grads_.data());
        return reverse_shared_at(at);
    }

    // Where the next vjps add gradients in parameters and in the context; null to leave them out.
    void accumulate_into(Real* parameters, Real* context) {
        accumulator_ = parameters;
        grad_context_ = context;
    }

    void operator()(int stage, Real t, const Real* y, Real* dydt) {
        const std::size_t at = slot(stage);
        set_time(at, direction_ * t);
        set_context(at);
        copy_rows(size_, y, values(at) + tape_.y_offset());
        tape_.forward(values(at));
        const Real* out = values(at) + tape_.output_offset();
        for (int e = 0; e < size_; ++e) dydt[e] = direction_ * out[e];
    }

    // grad_y = J^T cotangent at a stored stage, and no other gradient.
    void vjp_of_state(int stage, const Real* cotangent, Real* grad_y) {
        reverse(slot(stage), cotangent, nullptr, grad_y);
    }

    // The same, accumulating; returns the gradient in t summed over lanes, unless that is deferred.
    Real vjp(int stage, const Real* cotangent, Real* grad_y) {
        const std::size_t at = slot(stage);
        reverse(at, cotangent, accumulator_, grad_y);
        if (grad_context_ != nullptr && tape_.uses_c()) {
            numerics::add_scaled(context_size_, Real(1), grads_.data() + tape_.c_offset(), grad_context_);
        }
        if (!defers_shared()) return reverse_shared_at(at);
        deferred_[at] = true;
        tape_.add_shared(grads_.data(), shared_sums(at));
        return Real(0);
    }

   private:
    // Memory that a solve without a reverse pass does without: of a large field it takes longer to get than a
    // step.
    void require_reverse() {
        if (!grads_.empty()) return;
        grads_.resize(tape_.values_size());
        transposed_.resize(tape_.transpose_size());
    }

    void reverse(std::size_t at, const Real* cotangent, Real* accumulator, Real* grad_y) {
        require_reverse();
        Real* grad_out = grads_.data() + tape_.output_offset();
        for (int e = 0; e < size_; ++e) grad_out[e] = direction_ * cotangent[e];
        tape_.reverse(values(at), grads_.data(), transposed_.data(), accumulator);
        if (tape_.uses_y()) {
            const Real* from = grads_.data() + tape_.y_offset();
            std::copy(from, from + size_, grad_y);
        } else {
            std::fill(grad_y, grad_y + size_, Real(0));
        }
    }

    Real reverse_shared_at(std::size_t at) {
        tape_.reverse_shared(values(at), grads_.data(), transposed_.data(), accumulator_);
        if (!tape_.uses_t()) return Real(0);
        return direction_ * sum_of_lanes(grads_.data() + tape_.t_offset());
    }

    std::size_t slot(int stage) const { return static_cast<std::size_t>(stage < slots_ ? stage : 0); }
    Real* values(std::size_t slot) { return values_.data() + slot * tape_.values_size(); }
    Real* shared_sums(std::size_t slot) { return shared_sums_.data() + slot * tape_.shared_size(); }

    // Where it was the same before, to the bit, as one over zero has a sign, shared values are in place.
    void set_time(std::size_t slot, Real t) {
        if (numerics::to_bits(times_[slot]) == numerics::to_bits(t)) return;
        times_[slot] = t;
        detail::fill_row(values(slot) + tape_.t_offset(), t);
        tape_.forward_shared(values(slot));
    }

    void set_context(std::size_t slot) {
        if (contexts_[slot] == context_) return;
        contexts_[slot] = context_;
        copy_rows(context_size_, context_, values(slot) + tape_.c_offset());
    }

    const Tape<Real>& tape_;
    Real direction_;
    int size_;
    int context_size_;
    int slots_;
    std::vector<Real> times_;            // at which the values of each stage were computed
    std::vector<const Real*> contexts_;  // with which
    Rows<Real> values_;
    Rows<Real> grads_;
    Rows<Real> transposed_;
    Rows<Real> shared_sums_;      // for each stage, of gradients in shared values
    std::vector<bool> deferred_;  // for each stage, whether there are any; empty where nothing is deferred
    const Real* context_ = nullptr;
    Real* accumulator_ = nullptr;
    Real* grad_context_ = nullptr;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
