// The field of a solve over one tile, in the shape that numerics/step.hpp and numerics/step_vjp.hpp call.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/engine.hpp"
#include "cpu/tape.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// Of how many stages to keep the values, at least `needed`.
template <class Real>
inline int useful_slots(const Tape<Real>& tape, const Method& method, int needed) {
    return tape.has_uniform_work() ? std::max(needed, method.tableau.stages) : needed;
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
          values_(tape.values_size() * static_cast<std::size_t>(kept_stages)),
          grads_(tape.values_size()),
          transposed_(tape.transpose_size()) {
        for (int stage = 0; stage < kept_stages; ++stage) tape.prepare(values(slot(stage)));
    }

    // Nothing that evaluations leave depends on the group that a tile belongs to.
    void enter(int) {}

    // Where the next vjps add parameter gradients; null to leave them out.
    void accumulate_into(Real* accumulator) { accumulator_ = accumulator; }

    void operator()(int stage, Real t, const Real* y, Real* dydt) {
        Real* at = values(slot(stage));
        std::copy(y, y + size_, at + tape_.y_offset());
        tape_.forward(at, set_time(slot(stage), direction_ * t));
        const Real* out = at + tape_.output_offset();
        for (int e = 0; e < size_; ++e) dydt[e] = direction_ * out[e];
    }

    // grad_y = J^T cotangent at the kept stage; returns the gradient in t summed over lanes.
    Real vjp(int stage, const Real* cotangent, Real* grad_y) {
        Real* grad_out = grads_.data() + tape_.output_offset();
        for (int e = 0; e < size_; ++e) grad_out[e] = direction_ * cotangent[e];
        tape_.reverse(values(slot(stage)), grads_.data(), transposed_.data(), accumulator_);
        if (tape_.uses_y()) {
            const Real* from = grads_.data() + tape_.y_offset();
            std::copy(from, from + size_, grad_y);
        } else {
            std::fill(grad_y, grad_y + size_, Real(0));
        }
        Real grad_t = Real(0);
        if (tape_.uses_t()) {
            const Real* from = grads_.data() + tape_.t_offset();
            for (int l = 0; l < LANES<Real>; ++l) grad_t += from[l];
        }
        return direction_ * grad_t;
    }

   private:
    std::size_t slot(int stage) const { return static_cast<std::size_t>(stage < kept_stages_ ? stage : 0); }
    Real* values(std::size_t slot) { return values_.data() + slot * tape_.values_size(); }

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
    Real* accumulator_ = nullptr;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
