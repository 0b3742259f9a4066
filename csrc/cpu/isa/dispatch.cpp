// Which of the compiled instruction sets runs.
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "cpu/engine.hpp"

namespace flashode::cpu {

#if defined(FLASHODE_X86_64)

namespace v2 {
KernelSet kernels();
PeakKernels peak_kernels();
}  // namespace v2
namespace v2_lone {
KernelSet kernels();
}
namespace v3 {
KernelSet kernels();
PeakKernels peak_kernels();
}  // namespace v3
namespace v3_lone {
KernelSet kernels();
}
namespace v4 {
KernelSet kernels();
PeakKernels peak_kernels();
}  // namespace v4
namespace v4_lone {
KernelSet kernels();
}

namespace {

bool has_v2() { return __builtin_cpu_supports("x86-64-v2"); }
bool has_v3() { return __builtin_cpu_supports("x86-64-v3"); }
bool has_v4() { return __builtin_cpu_supports("x86-64-v4"); }

}  // namespace

const std::vector<InstructionSet>& instruction_sets() {
    static const std::vector<InstructionSet> sets = {
        {"x86-64-v2", &has_v2, &v2::kernels, &v2_lone::kernels, &v2::peak_kernels},
        {"x86-64-v3", &has_v3, &v3::kernels, &v3_lone::kernels, &v3::peak_kernels},
        {"x86-64-v4", &has_v4, &v4::kernels, &v4_lone::kernels, &v4::peak_kernels}};
    return sets;
}

#else

namespace baseline {
KernelSet kernels();
PeakKernels peak_kernels();
}  // namespace baseline
namespace baseline_lone {
KernelSet kernels();
}

const std::vector<InstructionSet>& instruction_sets() {
    static const std::vector<InstructionSet> sets = {{"baseline", [] { return true; }, &baseline::kernels,
                                                      &baseline_lone::kernels, &baseline::peak_kernels}};
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

const KernelSet& active_kernels(bool lone) {
    static const KernelSet together = active_instruction_set().kernels();
    static const KernelSet alone = active_instruction_set().lone_kernels();
    return lone ? alone : together;
}

}  // namespace flashode::cpu
