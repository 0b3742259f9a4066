// Whether and how Newton's method goes on after an iteration.
#pragma once

#include "numerics/arithmetic.hpp"
#include "numerics/platform.hpp"

namespace flashode::numerics {

struct Newton {
    int max_iterations = 0;    // for one system of equations
    double roundings = 0.0;    // changes of this many rounding errors are nothing
    double stagnation = 0.0;   // a change larger than this share of one that was nearly nothing is rounding
    double contraction = 0.0;  // a Jacobian is kept while each change is no larger share of the one before
};

// What one iteration changed of the stages' arguments, over the whole batch: the largest change, and the
// largest of those arguments and of the state at the start of the step.
template <class Real>
struct NewtonUpdate {
    Real change = Real(0);
    Real size = Real(0);
    bool finite = true;
};

}  // namespace flashode::numerics

namespace flashode::numerics::inline FLASHODE_ISA {

template <class Real>
class NewtonProgress {
   public:
    FLASHODE_HD explicit NewtonProgress(const Newton& policy)
        : roundings_(static_cast<Real>(policy.roundings)),
          stagnation_(static_cast<Real>(policy.stagnation)),
          contraction_(static_cast<Real>(policy.contraction)) {}

    // Whether the next iteration evaluates the Jacobian anew.
    FLASHODE_HD bool fresh() const { return fresh_; }

    FLASHODE_HD bool converged(const NewtonUpdate<Real>& update) {
        constexpr Real EPSILON = FloatFormat<Real>::epsilon;
        if (update.change <= roundings_ * EPSILON * update.size) return true;
        // With a new Jacobian a change this small is followed by one of its square, unless both are rounding
        // errors, which cancellation between stages raises above those of the size of their sums.
        const bool quadratic = fresh_ && last_ <= numerics::sqrt(EPSILON) * update.size;
        if (quadratic && update.change > stagnation_ * last_) return true;
        fresh_ = update.change > contraction_ * last_;
        last_ = update.change;
        return false;
    }

   private:
    Real roundings_;
    Real stagnation_;
    Real contraction_;
    bool fresh_ = true;
    Real last_ = FloatFormat<Real>::infinity;
};

}  // namespace flashode::numerics::inline FLASHODE_ISA
