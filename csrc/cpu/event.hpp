// Solves that go on until a number changes its sign.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "cpu/engine.hpp"
#include "cpu/tile_field.hpp"
#include "cpu/tiles.hpp"
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
    bool at_start(const Real* y0, std::size_t state_size, double t) {
        std::copy_n(y0, state_size, state());
        const double start = value(t);
        sign_ = start > 0.0 ? 1 : (start < 0.0 ? -1 : 0);
        return start == 0.0;
    }

    bool reached(const Outcome& outcome) const { return outcome.times_reached > 1; }
    bool may_arrive(const Step&, const Outcome&) const { return true; }
    template <class System>
    bool arrives(System& system, const Step& step, const Outcome&) {
        system.end_state(state());
        return !numerics::same_sign(sign_, value(step.end));
    }
    template <class System>
    bool take(System& system, const Step& step, Outcome& outcome) {
        numerics::Bracket bracket{step.start, step.end};
        for (int left = numerics::halvings(bracket, tolerance_); left > 0; --left) {
            const double t = bracket.middle();
            system.state_at(step.fraction(t), step, state());
            (numerics::same_sign(sign_, value(t)) ? bracket.begin : bracket.end) = t;
        }
        outcome.event_t = bracket.middle();
        system.output(1, step.fraction(outcome.event_t), step);
        ++outcome.times_reached;
        return true;
    }

   private:
    Real* state() { return program_ ? program_->state() : event_.state; }
    double value(double t) { return program_ ? (*program_)(t) : event_.value(t); }

    const Event<Real>& event_;
    double tolerance_;
    std::optional<ProgramValue<Real>> program_;
    int sign_ = 0;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
