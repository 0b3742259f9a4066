// Whether a solve shall stop because a signal arrived.
#pragma once

#include <chrono>

#include "cpu/engine.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// Asks about signals a few times a second: asking costs more than a small step does.
class SignalWatch {
   public:
    explicit SignalWatch(const Interrupt& interrupt) : interrupt_(interrupt) {}

    bool stop() {
        if (!interrupt_ || --calls_left_ > 0) return false;
        const auto now = std::chrono::steady_clock::now();
        const auto since = now - last_;
        calls_left_ = since > std::chrono::milliseconds(10) ? 1 : CALLS_BETWEEN_CLOCKS;
        if (since < std::chrono::milliseconds(100)) return false;
        last_ = now;
        return interrupt_();
    }

   private:
    static constexpr int CALLS_BETWEEN_CLOCKS = 16;
    const Interrupt& interrupt_;
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
    int calls_left_ = 1;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
