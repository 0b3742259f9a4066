#include "cpu/discrete_vjp.hpp"
#include "cpu/isa/kernels.hpp"
#include "cpu/solve.hpp"
#include "cpu/systems/evaluate.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

Kernels<double> float64_kernels() {
    return {&forward<double>, &discrete_vjp<double>, &continuous_vjp<double>, &evaluate<double>};
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
