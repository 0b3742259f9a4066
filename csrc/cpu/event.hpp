// The value of an event, for solve/goals.hpp: the least output of a program on its only trajectory, each
// output times its sign at the first evaluation; or that of a function.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>

#include "cpu/engine.hpp"
#include "cpu/tiles/tile_field.hpp"
#include "cpu/tiles/tiles.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

template <class Real>
class ProgramValue {
   public:
    ProgramValue(const Field& field, std::size_t state_size)
        : direction_(static_cast<Real>(field.direction)),
          tape_(*field.program, field.parameters.data(), field.wants_gradient),
          tiles_(field.batch, field.segments),
          field_(field, tape_, 1),
          state_(std::max(state_size, static_cast<std::size_t>(tiles_.width))),
          signs_(static_cast<std::size_t>(tiles_.width)),
          y_(static_cast<std::size_t>(tiles_.size())),
          rate_(y_.size()) {}
    ProgramValue(const ProgramValue&) = delete;
    ProgramValue& operator=(const ProgramValue&) = delete;

    Real* state() { return state_.data(); }
    double operator()(double t) {
        tiles_.load(0, state_.data(), y_.data());
        field_(0, static_cast<Real>(t), y_.data(), rate_.data());
        Real least = std::numeric_limits<Real>::infinity();
        for (int d = 0; d < tiles_.width; ++d) {
            const Real value = direction_ * rate_[static_cast<std::size_t>(d) * LANES<Real>];
            if (std::isnan(value)) return std::numeric_limits<double>::quiet_NaN();
            Real& sign = signs_[static_cast<std::size_t>(d)];
            if (!asked_) sign = value > Real(0) ? Real(1) : value < Real(0) ? Real(-1) : Real(0);
            least = std::min(least, sign * value);
        }
        asked_ = true;
        return static_cast<double>(least);
    }

   private:
    Real direction_;
    Tape<Real> tape_;
    Tiles<Real> tiles_;
    TileField<Real> field_;
    Rows<Real> state_;  // (state) and what the program has beside it, zeros
    Rows<Real> signs_;  // (width)
    bool asked_ = false;
    Rows<Real> y_;  // (width, lanes)
    Rows<Real> rate_;
};

template <class Real>
class EventValue {
   public:
    EventValue(const Event<Real>& event, std::size_t state_size) : event_(event) {
        if (event.field != nullptr) program_.emplace(*event.field, state_size);
    }

    Real* state() { return program_ ? program_->state() : event_.state; }
    double operator()(double t) { return program_ ? (*program_)(t) : event_.value(t); }

   private:
    const Event<Real>& event_;
    std::optional<ProgramValue<Real>> program_;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
