// Calls between kernels, which run without the GIL, and Python.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "bindings/checks.hpp"
#include "bindings/field.hpp"
#include "cpu/engine.hpp"

namespace flashode::bindings {

namespace py = pybind11;

// Runs a kernel without the GIL; Ctrl-C stops it and is raised here.
template <class Run>
cpu::Outcome interruptible(const Run& run) {
    bool raised = false;
    const cpu::Interrupt interrupt = [&raised] {
        const py::gil_scoped_acquire held;
        raised = PyErr_CheckSignals() != 0;
        return raised;
    };
    cpu::Outcome outcome;
    {
        const py::gil_scoped_release released;
        const auto began = std::chrono::steady_clock::now();
        outcome = run(interrupt);
        outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    }
    if (raised) throw py::error_already_set();
    return outcome;
}

// A Python function that a kernel asks for a number about what stands at an address. What the function raises
// passes through the kernel to the kernel's caller.
class Question {
   public:
    Question(const char* name, const py::object& pair) {
        const std::string wrong = std::string(name) + " must be a function and an address";
        require(py::isinstance<py::tuple>(pair) && py::len(pair) == 2, wrong);
        try {
            std::tie(function_, address_) = py::cast<std::pair<py::function, Address>>(pair);
        } catch (const py::cast_error&) {
            throw std::invalid_argument(wrong);
        }
        require_address(name, address_);
    }

    Address address() const { return address_; }

    template <class... Arguments>
    double operator()(Arguments... arguments) const {
        const py::gil_scoped_acquire held;
        return py::cast<double>(function_(arguments...));
    }

   private:
    py::function function_;
    Address address_ = 0;
};

}  // namespace flashode::bindings
