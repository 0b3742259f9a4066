// The kernels of one instruction set and layout, a file for each precision: compiling them is most of a
// build, and side by side it takes half as long.
#pragma once

#include "cpu/engine.hpp"
#include "numerics/platform.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

Kernels<float> float32_kernels();
Kernels<double> float64_kernels();
KernelSet kernels();

}  // namespace flashode::cpu::inline FLASHODE_ISA
