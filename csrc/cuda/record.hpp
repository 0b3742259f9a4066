// What a solve keeps: its steps, checkpoints and nodes, in memory that the host gives chunk by chunk.
#pragma once

#include <cstdint>

#include "cuda/arguments.hpp"
#include "cuda/machine.hpp"

namespace flashode::cuda {

// A record of solve/loops.hpp. One thread writes what is not of a trajectory.
template <class Real>
class Record {
   public:
    FLASHODE_DEVICE Record(const ForwardArguments<Real>& q, const Progress& at)
        : q_(q), kept_(at.outcome.accepted), outputs_(at.begun ? at.outcome.times_reached : 1) {}

    template <class System>
    FLASHODE_DEVICE void keep(const System& system, const Step& step) {
        const std::int64_t index = kept_++;
        if (q_.memory.first == 0) return;
        const Place place = place_of(index, q_.memory.first);
        const Chunk<Real>& chunk = q_.memory.chunks[place.chunk];
        if (chunk.steps != nullptr && writes()) chunk.steps[place.at] = step;
        if (chunk.checkpoints != nullptr)
            system.write_checkpoint(chunk.checkpoints + place.at * q_.memory.checkpoint_size);
        nodes_ = 0;
    }

    FLASHODE_DEVICE void output() {
        if (q_.step_of_time != nullptr && writes()) q_.step_of_time[outputs_] = kept_ - 1;
        ++outputs_;
    }

    // Of the step kept last.
    FLASHODE_DEVICE Real* node(double t) {
        const Place place = place_of(kept_ - 1, q_.memory.first);
        const Chunk<Real>& chunk = q_.memory.chunks[place.chunk];
        const std::int64_t at = place.at * q_.method.interpolant_weights.degree + nodes_++;
        if (writes()) chunk.node_times[at] = t;
        return chunk.nodes + at * q_.memory.state_size;
    }

    // Whether there is no memory for another step.
    FLASHODE_DEVICE bool full() const { return q_.memory.first > 0 && kept_ >= q_.memory.capacity; }

   private:
    FLASHODE_DEVICE static bool writes() { return block() == 0 && thread() == 0; }

    const ForwardArguments<Real>& q_;
    std::int64_t kept_;
    std::int64_t outputs_;
    int nodes_ = 0;  // of the step at hand
};

}  // namespace flashode::cuda
