#include "cpu/discrete_vjp.hpp"
#include "cpu/isa/kernels.hpp"
#include "cpu/solve.hpp"
#include "cpu/systems/evaluate.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

Kernels<float> float32_kernels() {
    return {&forward<float>, &discrete_vjp<float>, &continuous_vjp<float>, &evaluate<float>};
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
