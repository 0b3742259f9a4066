// Solves and their reverse passes. Addresses are those of contiguous tensors that the caller keeps alive;
// shapes stand beside the arguments of the structs in cpu/engine.hpp.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "cpu/engine.hpp"

namespace py = pybind11;

namespace flashode::bindings {

namespace {

using Address = std::uintptr_t;

template <class T>
T* pointer(Address address) {
    return reinterpret_cast<T*>(address);  // NOLINT(performance-no-int-to-ptr): what torch's data_ptr() gives
}

template <class Real>
const cpu::Kernels<Real>& kernels();
template <>
const cpu::Kernels<float>& kernels<float>() {
    return cpu::active_kernels().single;
}
template <>
const cpu::Kernels<double>& kernels<double>() {
    return cpu::active_kernels().twofold;
}

// The program is held here so that a solve outlives the Python objects it came from.
struct BoundField {
    std::shared_ptr<program::Program> program;
    cpu::Field field;

    BoundField(std::shared_ptr<program::Program> of, const std::vector<Address>& parameters,
               std::vector<bool> wants_gradient, const std::vector<std::pair<int, bool>>& segments,
               std::int64_t batch, double direction)
        : program(std::move(of)) {
        if (parameters.size() != program->parameter_sizes.size() ||
            wants_gradient.size() != parameters.size()) {
            throw std::invalid_argument("one address and one flag for each parameter of the program");
        }
        field.program = program.get();
        for (const Address address : parameters) field.parameters.push_back(pointer<const void>(address));
        field.wants_gradient = std::move(wants_gradient);
        for (const auto& [rows, in_norm] : segments) add_segment(rows, in_norm);
        require_whole_state();
        field.batch = batch;
        field.direction = direction;
    }

   private:
    void add_segment(int rows, bool in_norm) {
        if (rows < 1) throw std::invalid_argument("a segment of the state without rows");
        field.segments.push_back({rows, in_norm});
    }

    void require_whole_state() const {
        std::int64_t rows = 0;
        bool judged = false;
        for (const cpu::Segment& segment : field.segments) {
            rows += segment.rows;
            judged = judged || segment.in_norm;
        }
        if (rows != program->width()) {
            throw std::invalid_argument("the segments have " + std::to_string(rows) +
                                        " rows together, the state has " + std::to_string(program->width()));
        }
        if (!judged) throw std::invalid_argument("no segment of the state is in the norm");
    }
};

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
        outcome = run(interrupt);
    }
    if (raised) throw py::error_already_set();
    return outcome;
}

template <class Real>
std::vector<Real*> gradient_pointers(const cpu::Field& field, const std::vector<Address>& addresses) {
    if (addresses.size() != field.parameters.size()) {
        throw std::invalid_argument("one address for the gradient of each parameter of the program");
    }
    std::vector<Real*> pointers;
    pointers.reserve(addresses.size());
    for (std::size_t p = 0; p < addresses.size(); ++p) {
        if (field.wants_gradient[p] && addresses[p] == 0) {
            throw std::invalid_argument("no address for the gradient of parameter " + std::to_string(p));
        }
        pointers.push_back(pointer<Real>(addresses[p]));
    }
    return pointers;
}

// Hands a vector's memory to Python without a copy.
template <class Real>
py::array_t<Real> owned_by_python(std::vector<Real>&& values) {
    auto held = std::make_unique<std::vector<Real>>(std::move(values));
    const py::capsule owner(held.get(), [](void* p) { delete static_cast<std::vector<Real>*>(p); });
    const auto size = static_cast<py::ssize_t>(held->size());
    return py::array_t<Real>(size, held.release()->data(), owner);
}

// Returns the outcome and, where they are kept, the log of the steps and the checkpoints as three arrays.
template <class Real>
py::tuple forward(const BoundField& field, const cpu::Method& method, Address y0, Address times,
                  std::int64_t time_count, Address grid, std::int64_t grid_count, Address states, bool keep) {
    cpu::StepLog log;
    cpu::Checkpoints<Real> checkpoints;
    cpu::ForwardRequest<Real> request;
    request.field = &field.field;
    request.method = &method;
    request.y0 = pointer<const Real>(y0);
    request.times = pointer<const double>(times);
    request.time_count = time_count;
    request.grid = pointer<const double>(grid);
    request.grid_count = grid_count;
    request.states = pointer<Real>(states);
    if (keep) {
        request.log = &log;
        request.checkpoints = &checkpoints;
    }
    const cpu::Outcome outcome = interruptible(
        [&](const cpu::Interrupt& interrupt) { return kernels<Real>().forward(request, interrupt); });
    if (!keep) return py::make_tuple(outcome, py::none(), py::none(), py::none(), py::none());
    return py::make_tuple(outcome, std::move(log), owned_by_python(std::move(checkpoints.states)),
                          owned_by_python(std::move(checkpoints.slopes)),
                          owned_by_python(std::move(checkpoints.constants)));
}

template <class Real>
void discrete_vjp(const BoundField& field, const cpu::Method& method, const cpu::StepLog& log, Address states,
                  Address slopes, Address constants, Address times, std::int64_t time_count,
                  Address grad_states, Address grad_y0, Address grad_times, Address grad_grid,
                  const std::vector<Address>& grad_parameters) {
    cpu::DiscreteRequest<Real> request;
    request.field = &field.field;
    request.method = &method;
    request.log = &log;
    request.states = pointer<const Real>(states);
    request.slopes = pointer<const Real>(slopes);
    request.constants = pointer<const Real>(constants);
    request.times = pointer<const double>(times);
    request.time_count = time_count;
    request.grad_states = pointer<const Real>(grad_states);
    request.grad_y0 = pointer<Real>(grad_y0);
    request.grad_times = pointer<double>(grad_times);
    request.grad_grid = pointer<double>(grad_grid);
    request.grad_parameters = gradient_pointers<Real>(field.field, grad_parameters);
    interruptible([&](const cpu::Interrupt& interrupt) {
        kernels<Real>().discrete_vjp(request, interrupt);
        return cpu::Outcome{};
    });
}

template <class Real>
cpu::Outcome continuous_vjp(const BoundField& field, const cpu::Method& method, bool seminorm, Address times,
                            std::int64_t time_count, const std::vector<std::vector<double>>& grids,
                            Address y0, Address states, Address grad_states, Address grad_y0,
                            Address grad_times, const std::vector<Address>& grad_parameters,
                            std::vector<bool> like_parameters,
                            const std::vector<std::tuple<int, int, int, int>>& transposes) {
    if (!like_parameters.empty() && like_parameters.size() != field.field.segments.size()) {
        throw std::invalid_argument("one flag for each segment of the state, or none at all");
    }
    cpu::ContinuousRequest<Real> request;
    request.field = &field.field;
    request.method = &method;
    request.seminorm = seminorm;
    request.like_parameters = std::move(like_parameters);
    for (const auto& [parameter, of, rows, columns] : transposes) {
        const std::vector<std::int64_t>& sizes = field.program->parameter_sizes;
        const std::int64_t size = std::int64_t{rows} * columns;
        if (sizes.at(static_cast<std::size_t>(parameter)) != size ||
            sizes.at(static_cast<std::size_t>(of)) != size) {
            throw std::invalid_argument("a transpose of another size than what it is made of");
        }
        request.transposes.push_back({parameter, of, rows, columns});
    }
    request.times = pointer<const double>(times);
    request.time_count = time_count;
    request.grids = grids.data();
    request.y0 = pointer<const Real>(y0);
    request.states = pointer<const Real>(states);
    request.grad_states = pointer<const Real>(grad_states);
    request.grad_y0 = pointer<Real>(grad_y0);
    request.grad_times = pointer<double>(grad_times);
    request.grad_parameters = gradient_pointers<Real>(field.field, grad_parameters);
    return interruptible(
        [&](const cpu::Interrupt& interrupt) { return kernels<Real>().continuous_vjp(request, interrupt); });
}

template <class Real>
void bind_precision(py::module_& m, const std::string& of) {
    m.def(("forward_" + of).c_str(), &forward<Real>, py::arg("field"), py::arg("method"), py::arg("y0"),
          py::arg("times"), py::arg("time_count"), py::arg("grid"), py::arg("grid_count"), py::arg("states"),
          py::arg("keep"));
    m.def(("discrete_vjp_" + of).c_str(), &discrete_vjp<Real>, py::arg("field"), py::arg("method"),
          py::arg("log"), py::arg("states"), py::arg("slopes"), py::arg("constants"), py::arg("times"),
          py::arg("time_count"), py::arg("grad_states"), py::arg("grad_y0"), py::arg("grad_times"),
          py::arg("grad_grid"), py::arg("grad_parameters"));
    m.def(("continuous_vjp_" + of).c_str(), &continuous_vjp<Real>, py::arg("field"), py::arg("method"),
          py::arg("seminorm"), py::arg("times"), py::arg("time_count"), py::arg("grids"), py::arg("y0"),
          py::arg("states"), py::arg("grad_states"), py::arg("grad_y0"), py::arg("grad_times"),
          py::arg("grad_parameters"), py::arg("like_parameters") = std::vector<bool>{},
          py::arg("transposes") = std::vector<std::tuple<int, int, int, int>>{});
}

}  // namespace

void bind_solve(py::module_& m) {
    py::enum_<cpu::Status>(m, "Status")
        .value("done", cpu::Status::done)
        .value("nonfinite_field", cpu::Status::nonfinite_field)
        .value("nonfinite_state", cpu::Status::nonfinite_state)
        .value("underflow", cpu::Status::underflow)
        .value("too_many_steps", cpu::Status::too_many_steps);
    py::class_<cpu::Outcome>(m, "Outcome")
        .def_readonly("status", &cpu::Outcome::status)
        .def_readonly("t", &cpu::Outcome::t)
        .def_readonly("dt", &cpu::Outcome::dt)
        .def_readonly("trajectory", &cpu::Outcome::trajectory)
        .def_readonly("row", &cpu::Outcome::row)
        .def_readonly("times_reached", &cpu::Outcome::times_reached)
        .def_readonly("evaluations", &cpu::Outcome::evaluations)
        .def_readonly("accepted", &cpu::Outcome::accepted)
        .def_readonly("rejected", &cpu::Outcome::rejected);
    py::class_<BoundField>(m, "Field")
        .def(py::init<std::shared_ptr<program::Program>, const std::vector<Address>&, std::vector<bool>,
                      const std::vector<std::pair<int, bool>>&, std::int64_t, double>(),
             py::arg("program"), py::arg("parameters"), py::arg("wants_gradient"), py::arg("segments"),
             py::arg("batch"), py::arg("direction"));
    py::class_<cpu::StepLog>(m, "StepLog").def_property_readonly("steps", [](const cpu::StepLog& log) {
        return log.steps.size();
    });
    bind_precision<float>(m, "float32");
    bind_precision<double>(m, "float64");
}

}  // namespace flashode::bindings
