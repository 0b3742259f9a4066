// A number that blocks hand to each other, and which of many it is.
#pragma once

#include <cstdint>

namespace flashode::cuda {

struct alignas(16) Slot {
    double value;
    std::uint64_t round;
};

inline constexpr int MAX_SUMS = 32;  // taken at a time, in one round

}  // namespace flashode::cuda
