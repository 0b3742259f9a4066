// What a solve steps towards: given output times, nodes in every step, or an event.
//
// A Goal offers
//   reached(outcome)                       the solve is over
//   may_arrive(step, outcome)              an output may lie within the step about to be tried
//   arrives(system, step, outcome)         an output lies within the step just taken
//   take(system, record, step, outcome)    takes the outputs in it; true when another interval begins
#pragma once

#include <cstdint>

#include "numerics/bracket.hpp"
#include "solve/interpolation.hpp"
#include "solve/outcome.hpp"
#include "solve/step.hpp"

namespace flashode::solve::inline FLASHODE_ISA {

class OutputTimes {
   public:
    FLASHODE_HD explicit OutputTimes(Times times) : times_(times) {}

    FLASHODE_HD bool reached(const Outcome& outcome) const { return outcome.times_reached >= times_.count; }
    FLASHODE_HD bool may_arrive(const Step& step, const Outcome& outcome) const {
        return !reached(outcome) && times_.at[outcome.times_reached] <= step.end;
    }
    template <class System>
    FLASHODE_HD bool arrives(const System&, const Step& step, const Outcome& outcome) const {
        return may_arrive(step, outcome);
    }
    FLASHODE_CALLS_EITHER_SIDE
    template <class System, class Record>
    FLASHODE_HD bool take(System& system, Record& record, const Step& step, Outcome& outcome) const {
        while (may_arrive(step, outcome)) {
            const double t = times_.at[outcome.times_reached];
            system.output(outcome.times_reached, fraction(step, t), step);
            record.output();
            ++outcome.times_reached;
        }
        return true;
    }

   private:
    Times times_;
};

// One output, at the end.
class OneTime {
   public:
    FLASHODE_HD explicit OneTime(double end) : end_(end) {}

    FLASHODE_HD bool reached(const Outcome& outcome) const { return outcome.times_reached > 1; }
    FLASHODE_HD bool may_arrive(const Step& step, const Outcome&) const { return end_ <= step.end; }
    template <class System>
    FLASHODE_HD bool arrives(const System&, const Step& step, const Outcome& outcome) const {
        return may_arrive(step, outcome);
    }
    FLASHODE_CALLS_EITHER_SIDE
    template <class System, class Record>
    FLASHODE_HD bool take(System& system, Record& record, const Step& step, Outcome& outcome) const {
        system.output(1, fraction(step, end_), step);
        record.output();
        ++outcome.times_reached;
        return true;
    }

   private:
    double end_;
};

// As many nodes in each step as fix its interpolant together with its start.
class EveryStep {
   public:
    FLASHODE_HD EveryStep(const Method& method, double start, double last)
        : degree_(method.interpolant_weights.degree), at_(start), last_(last) {}

    FLASHODE_HD bool reached(const Outcome&) const { return at_ >= last_; }
    FLASHODE_HD bool may_arrive(const Step&, const Outcome&) const { return true; }
    template <class System>
    FLASHODE_HD bool arrives(const System&, const Step&, const Outcome&) const {
        return true;
    }
    FLASHODE_CALLS_EITHER_SIDE
    template <class System, class Record>
    FLASHODE_HD bool take(System& system, Record& record, const Step& step, Outcome& outcome) {
        for (int i = 1; i <= degree_; ++i) {
            const double x = static_cast<double>(i) / degree_;
            at_ = i == degree_ ? step.end : step.start + x * (step.end - step.start);
            system.state_at(x, step, record.node(at_));
            record.output();
            ++outcome.times_reached;
        }
        return false;
    }

   private:
    int degree_;
    double at_;  // the last node
    double last_;
};

// On for as long as a number is positive: value(t), at a solver time and the state in value.state().
template <class Value>
class UntilEvent {
   public:
    // The initial state is in value.state().
    FLASHODE_HD UntilEvent(Value& value, double start, double tolerance)
        : value_(value), tolerance_(tolerance), at_start_(!before(start)) {}

    FLASHODE_HD bool at_start() const { return at_start_; }
    // Whether the value was NaN, and at which time: where the event is cannot be told then.
    FLASHODE_HD bool undefined() const { return !is_nan(undefined_at_); }
    FLASHODE_HD double undefined_at() const { return undefined_at_; }

    FLASHODE_HD bool reached(const Outcome& outcome) const {
        return at_start_ || undefined() || outcome.times_reached > 1;
    }
    FLASHODE_HD bool may_arrive(const Step&, const Outcome&) const { return true; }
    FLASHODE_CALLS_EITHER_SIDE
    template <class System>
    FLASHODE_HD bool arrives(System& system, const Step& step, const Outcome&) {
        system.end_state(value_.state());
        return !before(step.end);
    }
    FLASHODE_CALLS_EITHER_SIDE
    template <class System, class Record>
    FLASHODE_HD bool take(System& system, Record& record, const Step& step, Outcome& outcome) {
        numerics::Bracket bracket{step.start, step.end};
        for (int left = numerics::halvings(bracket, tolerance_); left > 0; --left) {
            const double t = numerics::middle(bracket);
            if (!numerics::lies_inside(bracket, t)) break;
            system.state_at(fraction(step, t), step, value_.state());
            (before(t) ? bracket.begin : bracket.end) = t;
        }
        if (undefined()) return false;
        outcome.event_t = numerics::middle(bracket);
        system.output(1, fraction(step, outcome.event_t), step);
        record.output();
        ++outcome.times_reached;
        return true;
    }

   private:
    FLASHODE_CALLS_EITHER_SIDE
    FLASHODE_HD bool before(double t) {
        const double value = value_(t);
        if (is_nan(value) && !undefined()) undefined_at_ = t;
        return value > 0.0;
    }

    Value& value_;
    double tolerance_;
    double undefined_at_ = numerics::FloatFormat<double>::nan;
    bool at_start_;
};

}  // namespace flashode::solve::inline FLASHODE_ISA
