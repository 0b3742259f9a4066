// What is asked of a solve: memory in the shapes that stand beside it, which the caller keeps. An engine adds
// what its field is.
#pragma once

#include <cstdint>

#include "solve/step.hpp"

namespace flashode::solve {

template <class Real>
struct ForwardRequest {
    const Real* y0 = nullptr;  // (y)
    Times times;               // increasing
    Times grid;                // fixed-step methods
    Times step_t;              // adaptive methods: as of ChosenSteps
    Times jump_t;
    Real* states = nullptr;  // (times, state)
    double step_size = 0.0;  // of fixed-step methods on the way to an event
};

template <class Real>
struct DiscreteRequest {
    Times times;                        // of the outputs, also where the solve found them
    const Real* grad_states = nullptr;  // (times, state)
    Real* grad_y0 = nullptr;            // (y)
    double* grad_times = nullptr;       // (times) through dense output; null: not wanted
    double* grad_grid = nullptr;        // (grid) fixed-step methods; adaptive ones: (1), the start
};

template <class Real>
struct ContinuousRequest {
    Times times;
    const Times* grids = nullptr;  // fixed-step methods: for each interval its grid, in reversed time
    Times step_t;                  // adaptive methods: as of ChosenSteps, in reversed time
    Times jump_t;
    const Real* y0 = nullptr;           // (y), for the constants
    const Real* states = nullptr;       // (times, state)
    const Real* grad_states = nullptr;  // (times, state)
    Real* grad_y0 = nullptr;            // (y)
    double* grad_times = nullptr;       // (times); null: not wanted
};

}  // namespace flashode::solve
