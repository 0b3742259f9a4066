// Table of contents of the compiled module. Pointers, sizes and numbers cross it, never a tensor: the module
// does not link libtorch, so one build serves every version of torch.
#include "bindings/bindings.hpp"

PYBIND11_MODULE(_flashode, m) {
    m.doc() = "flashode's compiled solvers";
    flashode::bindings::bind_program(m);
    flashode::bindings::bind_method(m);
    flashode::bindings::bind_solve(m);
    flashode::bindings::bind_build(m);
    flashode::bindings::bind_peak(m);
#if FLASHODE_CUDA
    flashode::bindings::bind_cuda(m);
    flashode::bindings::bind_cuda_arguments(m);
#endif
}
