// What this binary is: for build_info().
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "bindings/bindings.hpp"
#include "cpu/engine.hpp"

namespace py = pybind11;

namespace flashode::bindings {

void bind_build(py::module_& m) {
    m.attr("version") = FLASHODE_VERSION;
    m.attr("compiler") = FLASHODE_COMPILER;
    m.attr("cuda_built") = FLASHODE_CUDA != 0;
    m.def("instruction_sets", [] {
        std::vector<std::string> names;
        for (const cpu::InstructionSet& set : cpu::instruction_sets()) names.emplace_back(set.name);
        return names;
    });
    m.def("active_instruction_set", [] { return std::string(cpu::active_instruction_set().name); });
}

}  // namespace flashode::bindings
