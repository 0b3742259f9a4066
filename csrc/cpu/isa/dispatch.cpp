// Which of the compiled instruction sets runs.
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "cpu/engine.hpp"

// What the build compiles once for each instruction set, and of it the kernels once more for the other
// layout.
#define FLASHODE_DECLARE(isa)                 \
    namespace flashode::cpu::isa {            \
    KernelSet kernels();                      \
    }                                         \
    namespace flashode::cpu::isa##_features { \
        KernelSet kernels();                  \
    }                                         \
    namespace flashode::measure::isa {        \
    PeakKernels peak_kernels();               \
    }
#define FLASHODE_SET(name, supported, isa) \
    {name, supported, &isa::kernels, &isa##_features::kernels, &measure::isa::peak_kernels}

#if defined(FLASHODE_X86_64)

FLASHODE_DECLARE(v2)
FLASHODE_DECLARE(v3)
FLASHODE_DECLARE(v4)

namespace flashode::cpu {

const std::vector<InstructionSet>& instruction_sets() {
    static const std::vector<InstructionSet> sets = {
        FLASHODE_SET(
            "x86-64-v2", [] { return __builtin_cpu_supports("x86-64-v2") != 0; }, v2),
        FLASHODE_SET(
            "x86-64-v3", [] { return __builtin_cpu_supports("x86-64-v3") != 0; }, v3),
        FLASHODE_SET("x86-64-v4", [] { return __builtin_cpu_supports("x86-64-v4") != 0; }, v4)};
    return sets;
}

#else

FLASHODE_DECLARE(baseline)

namespace flashode::cpu {

const std::vector<InstructionSet>& instruction_sets() {
    static const std::vector<InstructionSet> sets = {FLASHODE_SET("baseline", [] { return true; }, baseline)};
    return sets;
}

#endif

namespace {

const InstructionSet& choose() {
    const char* wanted = std::getenv("FLASHODE_ISA");
    if (wanted != nullptr && *wanted != '\0') {
        std::string known;
        for (const InstructionSet& set : instruction_sets()) {
            if (std::string(wanted) == set.name) {
                if (set.supported()) return set;
                throw std::invalid_argument(std::string("FLASHODE_ISA=") + wanted +
                                            ": this machine lacks it");
            }
            known += std::string(known.empty() ? "" : ", ") + set.name;
        }
        throw std::invalid_argument(std::string("FLASHODE_ISA=") + wanted + " is unknown; accepted are " +
                                    known);
    }
    const InstructionSet* best = nullptr;
    for (const InstructionSet& set : instruction_sets()) {
        if (set.supported()) best = &set;
    }
    if (best == nullptr)
        throw std::invalid_argument("this machine lacks every instruction set of this build");
    return *best;
}

}  // namespace

const InstructionSet& active_instruction_set() {
    static const InstructionSet& active = choose();
    return active;
}

const KernelSet& active_kernels(bool features_in_lanes) {
    static const KernelSet trajectories = active_instruction_set().kernels();
    static const KernelSet features = active_instruction_set().feature_kernels();
    return features_in_lanes ? features : trajectories;
}

}  // namespace flashode::cpu
