// A number that blocks hand to each other, and which of many it is; and what sums over threads need.
#pragma once

#include <cstdint>

namespace flashode::cuda {

struct alignas(16) Slot {
    double value;
    std::uint64_t round;
};

inline constexpr int MAX_SUMS = 32;  // taken at a time, in one round

// Room in shared memory: a number for each warp that a block can have, and the sums of a round.
inline constexpr int MAX_WARPS = 32;
inline constexpr int REDUCTION_BYTES = (MAX_WARPS + MAX_SUMS) * static_cast<int>(sizeof(double));

}  // namespace flashode::cuda
