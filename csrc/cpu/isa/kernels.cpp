// The tile engine compiled for one instruction set. The build compiles this folder's kernels twice for
// each (see simd.hpp), with FLASHODE_ISA naming the namespace that keeps their code apart.
#include "cpu/isa/kernels.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

KernelSet kernels() { return {float32_kernels(), float64_kernels()}; }

}  // namespace flashode::cpu::inline FLASHODE_ISA
