// The field of a solve over one tile, in the shape that numerics/step.hpp and numerics/step_vjp.hpp call.
#pragma once

#include <algorithm>

#include "cpu/engine.hpp"
#include "cpu/tape.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

template <class Real>
class TileField {
   public:
    // `kept_stages`: of how many stages the values are kept for a vjp; 1 when there will be none.
    TileField(const Field& field, const Tape<Real>& tape, int kept_stages)
        : tape_(tape),
          direction_(static_cast<Real>(field.direction)),
          size_(tape.width() * LANES<Real>),
          kept_stages_(kept_stages),
          values_(tape.values_size() * static_cast<std::size_t>(kept_stages)),
          grads_(tape.values_size()),
          transposed_(tape.transpose_size()) {
        for (int stage = 0; stage < kept_stages; ++stage) tape.prepare(values(stage));
    }

    // Where the next vjps add parameter gradients; null to leave them out.
    void accumulate_into(Real* accumulator) { accumulator_ = accumulator; }

    void operator()(int stage, Real t, const Real* y, Real* dydt) {
        Real* at = values(stage);
        detail::fill_row(at + tape_.t_offset(), direction_ * t);
        std::copy(y, y + size_, at + tape_.y_offset());
        tape_.forward(at);
        const Real* out = at + tape_.output_offset();
        for (int e = 0; e < size_; ++e) dydt[e] = direction_ * out[e];
    }

    // grad_y = J^T cotangent at the kept stage; returns the gradient in t summed over lanes.
    Real vjp(int stage, const Real* cotangent, Real* grad_y) {
        Real* grad_out = grads_.data() + tape_.output_offset();
        for (int e = 0; e < size_; ++e) grad_out[e] = direction_ * cotangent[e];
        tape_.reverse(values(stage), grads_.data(), transposed_.data(), accumulator_);
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
    Real* values(int stage) {
        const auto slot = static_cast<std::size_t>(stage < kept_stages_ ? stage : 0);
        return values_.data() + slot * tape_.values_size();
    }

    const Tape<Real>& tape_;
    Real direction_;
    int size_;
    int kept_stages_;
    Rows<Real> values_;
    Rows<Real> grads_;
    Rows<Real> transposed_;
    Real* accumulator_ = nullptr;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
