// The value of an event, for solve/goals.hpp: the least output of a program on its only trajectory, each
// output times its sign at the first evaluation. One block solves until an event: all of its threads see the
// state.
#pragma once

#include "cuda/arguments.hpp"
#include "cuda/machine.hpp"
#include "solve/step.hpp"

namespace flashode::cuda {

// Field: as of tiles.hpp, of one lane.
template <class Field>
class EventValue {
    using Real = typename Field::Real;

   public:
    // `asked`: its signs are in place, from a launch before.
    FLASHODE_DEVICE EventValue(const EventArguments<Real>& q, bool asked) : q_(q), asked_(asked) {}

    FLASHODE_DEVICE Real* state() const { return q_.state; }
    FLASHODE_DEVICE bool asked() const { return asked_; }

    FLASHODE_DEVICE double operator()(double t) {
        const Real direction = static_cast<Real>(q_.direction);
        sync_block();
        for (int row = thread(); row < Field::width; row += Field::threads)
            Field::Input::at(row, 0) = row < q_.size ? q_.state[row] : Real(0);
        Field::evaluate(direction * static_cast<Real>(t));
        Real least = numerics::FloatFormat<Real>::infinity;
        bool undefined = false;
        for (int row = 0; row < Field::width; ++row) {
            const Real value = direction * Field::Output::at(row, 0);
            if (value != value) undefined = true;
            // Every thread writes the same.
            if (!asked_) q_.signs[row] = value > Real(0) ? Real(1) : value < Real(0) ? Real(-1) : Real(0);
            const Real signed_value = q_.signs[row] * value;
            if (signed_value < least) least = signed_value;
        }
        if (undefined) return numerics::FloatFormat<double>::nan;
        asked_ = true;
        return static_cast<double>(least);
    }

   private:
    const EventArguments<Real>& q_;
    bool asked_;
};

}  // namespace flashode::cuda
