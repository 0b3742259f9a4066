// Which of the compiled instruction sets runs.
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "cpu/engine.hpp"

#if defined(__x86_64__)
#define FLASHODE_NAME(isa) "x86-64-" #isa
#define FLASHODE_SUPPORTED(isa) (__builtin_cpu_supports("x86-64-" #isa) != 0)
#else
#define FLASHODE_NAME(isa) #isa
#define FLASHODE_SUPPORTED(isa) true
#endif

// The build says which there are: FLASHODE_INSTRUCTION_SETS is FLASHODE_SET(isa) for each, the plainest
// first. Of each set the kernels are compiled twice, for both layouts.
#define FLASHODE_SET(isa)                     \
    namespace flashode::cpu::isa {            \
    KernelSet kernels();                      \
    }                                         \
    namespace flashode::cpu::isa##_features { \
        KernelSet kernels();                  \
    }                                         \
    namespace flashode::measure::isa {        \
    PeakKernels peak_kernels();               \
    }
FLASHODE_INSTRUCTION_SETS
#undef FLASHODE_SET

namespace flashode::cpu {

const std::vector<InstructionSet>& instruction_sets() {
#define FLASHODE_SET(isa)                                                                                 \
    {FLASHODE_NAME(isa), [] { return FLASHODE_SUPPORTED(isa); }, &isa::kernels, &isa##_features::kernels, \
     &measure::isa::peak_kernels},
    static const std::vector<InstructionSet> sets = {FLASHODE_INSTRUCTION_SETS};
#undef FLASHODE_SET
    return sets;
}

namespace {

std::string names(const std::vector<InstructionSet>& sets) {
    std::string all;
    for (const InstructionSet& set : sets) all += std::string(all.empty() ? "" : ", ") + set.name;
    return all;
}

}  // namespace

const InstructionSet& choose_instruction_set(const std::vector<InstructionSet>& sets, const char* wanted) {
    if (wanted != nullptr && *wanted != '\0') {
        const std::string variable = std::string("FLASHODE_ISA=") + wanted;
        for (const InstructionSet& set : sets) {
            if (std::string(wanted) != set.name) continue;
            if (set.supported()) return set;
            throw std::invalid_argument(variable + ": this machine lacks it");
        }
        throw std::invalid_argument(variable + " is unknown; accepted are " + names(sets));
    }
    const InstructionSet* best = nullptr;
    for (const InstructionSet& set : sets) {
        if (set.supported()) best = &set;
    }
    if (best != nullptr) return *best;
    throw std::invalid_argument("flashode was built for " + names(sets) +
                                ", which this machine lacks: build it here, or install a wheel");
}

const InstructionSet& active_instruction_set() {
    static const InstructionSet& active =
        choose_instruction_set(instruction_sets(), std::getenv("FLASHODE_ISA"));
    return active;
}

const KernelSet& active_kernels(bool features_in_lanes) {
    static const KernelSet trajectories = active_instruction_set().kernels();
    static const KernelSet features = active_instruction_set().feature_kernels();
    return features_in_lanes ? features : trajectories;
}

}  // namespace flashode::cpu
