// The tile engine compiled for one instruction set. The build compiles this file once for each, with
// FLASHODE_ISA naming the namespace that keeps their code apart.
#include "cpu/discrete_vjp.hpp"
#include "cpu/engine.hpp"
#include "cpu/solve.hpp"

namespace flashode::cpu {

namespace FLASHODE_ISA {

KernelSet kernels() {
    return {{&forward<float>, &discrete_vjp<float>, &continuous_vjp<float>},
            {&forward<double>, &discrete_vjp<double>, &continuous_vjp<double>}};
}

}  // namespace FLASHODE_ISA

}  // namespace flashode::cpu
