// How a solve ended, and what it cost.
#pragma once

#include <cstdint>

namespace flashode::solve {

enum class Status : std::uint8_t {
    done,
    nonfinite_field,
    nonfinite_state,
    nonfinite_event,
    underflow,
    too_many_steps,
    interrupted
};

struct Outcome {
    Status status = Status::done;
    double t = 0.0;                // where a solve that failed stood
    double dt = 0.0;               // and the step it was trying
    std::int64_t trajectory = -1;  // where a value is not finite, and in which row of its y; of the
    int row = 0;                   // adjoint's system, whose rows are y's twice over
    std::int64_t times_reached = 0;
    std::int64_t evaluations = 0;
    std::int64_t accepted = 0;
    std::int64_t rejected = 0;
    bool nan_met = false;          // whether an error, or a slope that a step was to start with, was NaN
    std::int64_t unconverged = 0;  // steps whose equations were not solved
    double unconverged_t = 0.0;    // where the first of them started
    double event_t = 0.0;          // of a solve until an event
    // Of the continuous adjoint: by how much at most an element of y, integrated back to an output time,
    // misses the state that is stored there, and which time that is; and the largest element of the stored
    // states.
    double miss = 0.0;
    double miss_t = 0.0;
    double size = 0.0;
    double seconds = 0.0;  // that the solve took
    double waited = 0.0;   // of these, seconds that the calling thread was idle until others were done
};

}  // namespace flashode::solve
