// What a solve steps towards: given output times, or nodes in every step.
//
// A Goal offers
//   reached(outcome)               the solve is over
//   may_arrive(step, outcome)      an output may lie within the step about to be tried
//   arrives(system, step, outcome) an output lies within the step just taken
//   take(system, step, outcome)    takes the outputs that lie in it; true when another interval begins
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/engine.hpp"
#include "cpu/interpolant.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

class OutputTimes {
   public:
    OutputTimes(const double* times, std::int64_t count) : times_(times), count_(count) {}

    bool reached(const Outcome& outcome) const { return outcome.times_reached >= count_; }
    bool may_arrive(const Step& step, const Outcome& outcome) const {
        return outcome.times_reached < count_ && times_[outcome.times_reached] <= step.end;
    }
    template <class System>
    bool arrives(const System&, const Step& step, const Outcome& outcome) const {
        return may_arrive(step, outcome);
    }
    template <class System>
    bool take(System& system, const Step& step, Outcome& outcome) const {
        while (may_arrive(step, outcome)) {
            system.output(outcome.times_reached, step.fraction(times_[outcome.times_reached]), step);
            ++outcome.times_reached;
        }
        return true;
    }

   private:
    const double* times_;
    std::int64_t count_;
};

// As many nodes in each step as fix its interpolant together with its start.
template <class Real>
class EveryStep {
   public:
    EveryStep(const Method& method, double last, std::size_t state_size, Nodes<Real>& nodes)
        : degree_(method.interpolant_weights.degree), last_(last), state_size_(state_size), nodes_(nodes) {}

    bool reached(const Outcome&) const { return nodes_.times.back() >= last_; }
    bool may_arrive(const Step&, const Outcome&) const { return true; }
    template <class System>
    bool arrives(const System&, const Step&, const Outcome&) const {
        return true;
    }
    template <class System>
    bool take(System& system, const Step& step, Outcome& outcome) {
        for (int i = 1; i <= degree_; ++i) {
            const double x = static_cast<double>(i) / degree_;
            const double t = i == degree_ ? step.end : step.start + x * (step.end - step.start);
            nodes_.times.push_back(t);
            nodes_.states.resize(nodes_.times.size() * state_size_);
            system.state_at(x, step, nodes_.states.data() + nodes_.states.size() - state_size_);
            system.note_output();
            ++outcome.times_reached;
        }
        return false;
    }

   private:
    int degree_;
    double last_;
    std::size_t state_size_;
    Nodes<Real>& nodes_;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
