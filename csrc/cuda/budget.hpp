// When a launch pauses, and what the next one knows of it.
#pragma once

#include <cstdint>

#include "cuda/machine.hpp"
#include "solve/continuous.hpp"
#include "solve/loops.hpp"

namespace flashode::cuda {

// A watch of solve/loops.hpp: the solve pauses when the record is full or enough has been tried for the host
// to have a look. All blocks find the same.
template <class Kept>
class Budget {
   public:
    FLASHODE_DEVICE Budget(std::int64_t attempts, const Kept& record) : record_(record), left_(attempts) {}

    FLASHODE_DEVICE bool stop() { return --left_ < 0 || record_.full(); }

   private:
    const Kept& record_;
    std::int64_t left_;
};

// What goes on of an outcome: that of a failure does not, and would take a register for each half of a number
// all the while.
FLASHODE_DEVICE solve::Outcome resumed(const solve::Outcome& from) {
    solve::Outcome outcome;
    outcome.times_reached = from.times_reached;
    outcome.evaluations = from.evaluations;
    outcome.accepted = from.accepted;
    outcome.rejected = from.rejected;
    outcome.nan_met = from.nan_met;
    return outcome;
}
FLASHODE_DEVICE solve::Progress resumed(const solve::Progress& from) {
    solve::Progress at = from;
    at.outcome = resumed(from.outcome);
    return at;
}
FLASHODE_DEVICE solve::AdjointProgress resumed(const solve::AdjointProgress& from) {
    solve::AdjointProgress at;
    at.total = resumed(from.total);
    at.total.miss = from.total.miss;
    at.total.miss_t = from.total.miss_t;
    at.total.size = from.total.size;
    at.interval = resumed(from.interval);
    at.j = from.j;
    return at;
}

}  // namespace flashode::cuda
