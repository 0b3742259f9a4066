// Measuring what this machine can do at best, for the benchmark.
#include "measure/peak.hpp"

#include <stdexcept>
#include <string>

#include "bindings/bindings.hpp"
#include "bindings/checks.hpp"
#include "cpu/engine.hpp"

namespace py = pybind11;

namespace flashode::bindings {

namespace {

void require_threads_and_seconds(int threads, double seconds) {
    require_threads(threads);
    // Nothing interrupts the threads, so they must stop by themselves soon.
    require(seconds > 0.0 && seconds <= 10.0, "seconds is ", seconds, ", not within (0, 10]");
}

double arithmetic_rate(const std::string& precision, int threads, double seconds) {
    require_threads_and_seconds(threads, seconds);
    const bool single = is_single(precision);
    const measure::PeakKernels kernels = cpu::active_instruction_set().peak_kernels();
    const py::gil_scoped_release released;
    return measure::arithmetic_rate(single ? kernels.float32 : kernels.float64, threads, seconds);
}

double memory_rate(std::size_t bytes, int threads, double seconds) {
    require_threads_and_seconds(threads, seconds);
    // At least a number in each of three arrays, and no more than a machine may have to spare.
    constexpr std::size_t MOST = std::size_t{1} << 36;
    const std::size_t least = 3 * sizeof(double) * static_cast<std::size_t>(threads);
    require(bytes >= least && bytes <= MOST, "bytes is ", bytes, ", not within ", least, " and ", MOST);
    const measure::PeakKernels kernels = cpu::active_instruction_set().peak_kernels();
    const py::gil_scoped_release released;
    return measure::memory_rate(kernels, threads, bytes, seconds);
}

}  // namespace

void bind_peak(py::module_& m) {
    m.def("arithmetic_rate", &arithmetic_rate, py::kw_only(), py::arg("precision"), py::arg("threads"),
          py::arg("seconds"));
    m.def("memory_rate", &memory_rate, py::kw_only(), py::arg("bytes"), py::arg("threads"),
          py::arg("seconds"));
}

}  // namespace flashode::bindings
