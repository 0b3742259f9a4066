// One function a category; module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

namespace flashode::bindings {

void bind_program(const pybind11::module_& m);
void bind_method(const pybind11::module_& m);
void bind_solve(pybind11::module_& m);
void bind_build(pybind11::module_& m);
void bind_peak(pybind11::module_& m);
void bind_cuda(pybind11::module_& m);
void bind_cuda_arguments(const pybind11::module_& m);

}  // namespace flashode::bindings
