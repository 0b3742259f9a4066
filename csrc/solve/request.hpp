// The arguments of a solve: pointers to memory that the caller owns, with their shapes. Engines add the
// field.
#pragma once

#include <cstdint>

#include "solve/step.hpp"

namespace flashode::solve {

template <class Real>
struct ForwardRequest {
    const Real* y0 = nullptr;  // (state)
    const Real* c = nullptr;   // (batch, rows of c)
    Times times;               // increasing
    Times grid;                // fixed-step methods
    Times step_t;              // adaptive methods: as of ChosenSteps
    Times jump_t;
    Real* states = nullptr;  // (times, state)
    double step_size = 0.0;  // of fixed-step methods on the way to an event
};

// Of either reverse pass.
template <class Real>
struct ReverseRequest {
    Times times;                        // of the outputs, also where the solve found them
    const Real* c = nullptr;            // (batch, rows of c), as it was in the forward solve
    const Real* grad_states = nullptr;  // (times, state)
    Real* grad_y0 = nullptr;            // (state)
    Real* grad_c = nullptr;             // (batch, rows of c)
    double* grad_times = nullptr;       // (times), of the discrete one through dense output; null: not wanted
};

template <class Real>
struct DiscreteRequest : ReverseRequest<Real> {
    double* grad_grid = nullptr;  // (grid) fixed-step methods; adaptive ones: (1), the start
};

template <class Real>
struct ContinuousRequest : ReverseRequest<Real> {
    const Times* grids = nullptr;  // fixed-step methods: for each interval its grid, in reversed time
    Times step_t;                  // adaptive methods: as of ChosenSteps, in reversed time
    Times jump_t;
    const Real* states = nullptr;  // (times, state)
};

}  // namespace flashode::solve
