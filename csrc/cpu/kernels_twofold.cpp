#include "cpu/discrete_vjp.hpp"
#include "cpu/evaluate.hpp"
#include "cpu/kernels.hpp"
#include "cpu/solve.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

Kernels<double> twofold_kernels() {
    return {&forward<double>, &discrete_vjp<double>, &continuous_vjp<double>, &evaluate<double>};
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
