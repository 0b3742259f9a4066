// The value of an event, as solve/goals.hpp watches it: what a program gives on its first trajectory, or the
// answer of a function.
#pragma once

#include <cstddef>
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
          state_(state_size),
          y_(static_cast<std::size_t>(tiles_.size())),
          rate_(y_.size()) {}
    ProgramValue(const ProgramValue&) = delete;
    ProgramValue& operator=(const ProgramValue&) = delete;

    Real* state() { return state_.data(); }
    double operator()(double t) {
        tiles_.load(0, state_.data(), y_.data());
        field_(0, static_cast<Real>(t), y_.data(), rate_.data());
        return static_cast<double>(direction_ * rate_[0]);
    }

   private:
    Real direction_;
    Tape<Real> tape_;
    Tiles<Real> tiles_;
    TileField<Real> field_;
    Rows<Real> state_;  // (state)
    Rows<Real> y_;      // (width, lanes)
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
