// Solves that go on for as long as a number is positive.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include "cpu/engine.hpp"
#include "cpu/tiles/tile_field.hpp"
#include "cpu/tiles/tiles.hpp"
#include "numerics/bracket.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// The value of a program on its first trajectory.
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

// A goal of `integrate.hpp`.
template <class Real>
class UntilEvent {
   public:
    UntilEvent(const Event<Real>& event, double tolerance, std::size_t state_size)
        : event_(event), tolerance_(tolerance) {
        if (event.field != nullptr) program_.emplace(*event.field, state_size);
    }

    // Whether the event is at the start itself.
    bool begin(const Real* y0, std::size_t state_size, double t) {
        std::copy_n(y0, state_size, state());
        at_start_ = !before(t);
        return at_start_;
    }

    // The value was no number, and at which time; nobody knows then where the event is.
    bool undefined() const { return !std::isnan(undefined_at_); }
    double undefined_at() const { return undefined_at_; }

    bool reached(const Outcome& outcome) const {
        return at_start_ || undefined() || outcome.times_reached > 1;
    }
    bool may_arrive(const Step&, const Outcome&) const { return true; }
    template <class System>
    bool arrives(System& system, const Step& step, const Outcome&) {
        system.end_state(state());
        return !before(step.end);
    }
    template <class System>
    bool take(System& system, const Step& step, Outcome& outcome) {
        numerics::Bracket bracket{step.start, step.end};
        for (int left = numerics::halvings(bracket, tolerance_); left > 0; --left) {
            const double t = numerics::middle(bracket);
            if (!numerics::lies_inside(bracket, t)) break;
            system.state_at(step.fraction(t), step, state());
            (before(t) ? bracket.begin : bracket.end) = t;
        }
        if (undefined()) return false;
        outcome.event_t = numerics::middle(bracket);
        system.output(1, step.fraction(outcome.event_t), step);
        ++outcome.times_reached;
        return true;
    }

   private:
    Real* state() { return program_ ? program_->state() : event_.state; }
    bool before(double t) {
        const double value = program_ ? (*program_)(t) : event_.value(t);
        if (std::isnan(value) && !undefined()) undefined_at_ = t;
        return value > 0.0;
    }

    const Event<Real>& event_;
    double tolerance_;
    std::optional<ProgramValue<Real>> program_;
    bool at_start_ = false;
    double undefined_at_ = std::numeric_limits<double>::quiet_NaN();
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
