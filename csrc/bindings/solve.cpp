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
#include <type_traits>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/calls.hpp"
#include "bindings/field.hpp"
#include "cpu/engine.hpp"

namespace flashode::bindings {

namespace {

template <class Real>
const cpu::Kernels<Real>& kernels(const cpu::Field& field) {
    const cpu::KernelSet& set = cpu::active_kernels(field.features_in_lanes);
    if constexpr (std::is_same_v<Real, float>) {
        return set.float32;
    } else {
        return set.float64;
    }
}

void require_layout(const cpu::Field& field, const cpu::Method& method) {
    require(!field.features_in_lanes || method.tableau.equations == cpu::Equations::none,
            "an implicit method solves trajectories side by side");
}

template <class Real>
std::vector<Real*> gradient_pointers(const cpu::Field& field, const std::vector<Address>& addresses) {
    require(addresses.size() == field.parameters.size(),
            "one address for the gradient of each parameter of the program");
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

solve::Times view(const std::vector<double>& times) {
    return {times.data(), static_cast<std::int64_t>(times.size())};
}

// Hands a vector's memory to Python without a copy.
template <class Real>
py::object owned_by_python(std::vector<Real>&& values) {
    auto held = std::make_unique<std::vector<Real>>(std::move(values));
    const py::capsule owner(held.get(), [](void* p) { delete static_cast<std::vector<Real>*>(p); });
    const auto size = static_cast<py::ssize_t>(held->size());
    return py::array_t<Real>(size, held.release()->data(), owner);
}

std::int64_t state_size(const cpu::Field& field) { return field.batch * field.program->width(); }

// What belongs to trajectories has an address where there is any.
void require_context(const cpu::Field& field, const char* name, Address address) {
    require_address_if(field.program->context_width() > 0, name, address);
}

template <class Real>
void require_outputs(const char* name, std::int64_t count, std::int64_t least, const cpu::Field& field) {
    require_count(name, count, least, state_size(field) * static_cast<int>(sizeof(Real)));
}

// A log of steps, and of which solve: the reverse of another would read its checkpoints beyond their ends.
struct RecordedSteps {
    cpu::StepLog log;
    std::vector<std::int64_t> of;

    template <class Real>
    static std::vector<std::int64_t> description(const cpu::Field& field, const cpu::Method& method) {
        const numerics::Tableau<double>& tableau = method.tableau;
        std::vector<std::int64_t> said = {static_cast<std::int64_t>(sizeof(Real)),
                                          field.batch,
                                          std::int64_t{field.features_in_lanes},
                                          std::int64_t{tableau.stages},
                                          static_cast<std::int64_t>(tableau.control),
                                          static_cast<std::int64_t>(tableau.equations),
                                          std::int64_t{tableau.carried},
                                          std::int64_t{tableau.fsal}};
        for (const cpu::Segment& segment : field.segments) said.push_back(segment.rows());
        return said;
    }
};

// A captured event function.
struct BoundEvent {
    BoundField of;

    explicit BoundEvent(BoundField field) : of(std::move(field)) {
        require(of.program->context_width() == 0, "an event sees the state alone");
        require(of.field.batch == 1, "an event is of one trajectory");
    }
};

// The parts of a request that are not plain numbers, in one place for as long as the solve lasts.
template <class Real>
struct Extras {
    std::optional<Question> asked_event;
    std::optional<Question> asked_norm;
    cpu::Event<Real> event;
    cpu::Measure<Real> measure;
    cpu::Nodes<Real> nodes;
    cpu::Storage<Real> storage;

    // `allocate` is called with the GIL, in the thread that solves.
    void add_storage(const py::function& allocate, cpu::ForwardRequest<Real>& request) {
        storage = [&allocate](std::size_t count) {
            const py::gil_scoped_acquire held;
            const py::object address = allocate(count);
            if (!py::isinstance<py::int_>(address)) throw py::type_error("storage gave no address");
            const auto chunk = py::cast<Address>(address);
            require_address("what storage gave", chunk);
            return pointer<Real>(chunk);
        };
        request.storage = &storage;
    }

    void add_event(const py::object& function, double step_size, cpu::ForwardRequest<Real>& request) {
        if (function.is_none()) return;
        require(request.method->tableau.control == cpu::Control::error || step_size > 0.0,
                "a fixed-step method needs the size of its steps towards an event");
        if (py::isinstance<BoundEvent>(function)) {
            const auto& bound = function.cast<const BoundEvent&>();
            event.field = &bound.of.field;
            require(state_size(*event.field) >= state_size(*request.field), "an event of a smaller state");
            require(bound.of.single == std::is_same_v<Real, float>, "an event in another precision");
        } else {
            asked_event.emplace("event", function);
            event.state = pointer<Real>(asked_event->address());
            event.value = [this](double t) { return (*asked_event)(t); };
        }
        request.event = &event;
        request.step_size = step_size;
    }

    void add_measure(Address rtol, Address atol, const py::object& norm, cpu::ForwardRequest<Real>& request) {
        if (rtol == 0 && atol == 0 && norm.is_none()) return;
        measure.rtol = pointer<const Real>(rtol);
        measure.atol = pointer<const Real>(atol);
        if (!norm.is_none()) {
            asked_norm.emplace("norm", norm);
            measure.scaled = pointer<Real>(asked_norm->address());
            measure.norm = [this] { return (*asked_norm)(); };
        }
        request.measure = &measure;
    }
};

// Returns the outcome; where steps are recorded, their log; and, of nodes, the times and the states.
template <class Real>
py::tuple forward(const BoundField& field, const cpu::Method& method, Address y0, Address c, Address times,
                  std::int64_t time_count, Address grid, std::int64_t grid_count, Address states,
                  const std::optional<py::function>& storage, Address rtol, Address atol,
                  const py::object& event, double step_size, bool every_step, const py::object& norm) {
    require_layout(field.field, method);
    require_address("y0", y0);
    require_context(field.field, "c", c);
    require_outputs<Real>("time_count", time_count, 1, field.field);
    require_address("times", times);
    require_address_if(!every_step, "states", states);
    const bool on_grid = method.tableau.control == cpu::Control::fixed && event.is_none();
    require_count("grid_count", grid_count, on_grid ? 1 : 0, sizeof(double));
    require_address_if(on_grid, "grid", grid);
    if (!event.is_none()) require(!every_step, "every_step and event exclude each other");
    RecordedSteps recorded;
    cpu::ForwardRequest<Real> request;
    Extras<Real> extras;
    request.field = &field.field;
    request.method = &method;
    request.y0 = pointer<const Real>(y0);
    request.c = pointer<const Real>(c);
    request.times = {pointer<const double>(times), time_count};
    request.grid = {pointer<const double>(grid), grid_count};
    request.step_t = view(method.step_t);
    request.jump_t = view(method.jump_t);
    request.states = pointer<Real>(states);
    if (storage) {
        recorded.of = RecordedSteps::description<Real>(field.field, method);
        request.log = &recorded.log;
        extras.add_storage(*storage, request);
    }
    extras.add_event(event, step_size, request);
    extras.add_measure(rtol, atol, norm, request);
    if (every_step) request.nodes = &extras.nodes;
    const cpu::Outcome outcome = interruptible([&](const cpu::Interrupt& interrupt) {
        return kernels<Real>(field.field).forward(request, interrupt);
    });
    const py::object log = storage ? py::cast(std::move(recorded)) : py::none();
    if (!every_step) return py::make_tuple(outcome, log, py::none(), py::none());
    return py::make_tuple(outcome, log, owned_by_python(std::move(extras.nodes.times)),
                          owned_by_python(std::move(extras.nodes.states)));
}

// What both reverse passes are told.
template <class Real, class Request>
void fill_reverse(const cpu::Field& field, const cpu::Method& method, Address times, std::int64_t time_count,
                  Address c, Address grad_states, Address grad_y0, Address grad_c, Address grad_times,
                  const std::vector<Address>& grad_parameters, Request& request) {
    require_context(field, "c", c);
    require_address("times", times);
    require_address("grad_states", grad_states);
    require_address("grad_y0", grad_y0);
    require_context(field, "grad_c", grad_c);
    request.field = &field;
    request.method = &method;
    request.times = {pointer<const double>(times), time_count};
    request.c = pointer<const Real>(c);
    request.grad_states = pointer<const Real>(grad_states);
    request.grad_y0 = pointer<Real>(grad_y0);
    request.grad_c = pointer<Real>(grad_c);
    request.grad_times = pointer<double>(grad_times);
    request.grad_parameters = gradient_pointers<Real>(field, grad_parameters);
}

template <class Real>
void discrete_vjp(const BoundField& field, const cpu::Method& method, const RecordedSteps& log,
                  const std::vector<Address>& checkpoints, Address c, Address times, std::int64_t time_count,
                  Address grad_states, Address grad_y0, Address grad_c, Address grad_times, Address grad_grid,
                  const std::vector<Address>& grad_parameters) {
    require_layout(field.field, method);
    cpu::DiscreteRequest<Real> request;
    fill_reverse<Real>(field.field, method, times, time_count, c, grad_states, grad_y0, grad_c, grad_times,
                       grad_parameters, request);
    require(log.of == RecordedSteps::description<Real>(field.field, method),
            "log is that of a solve of another field or method");
    require(time_count == static_cast<std::int64_t>(log.log.step_of_time.size()), "time_count is ",
            time_count, ", the solve that log is of had ", log.log.step_of_time.size(), " times");
    require(checkpoints.size() == log.log.chunks.size(), "checkpoints has ", checkpoints.size(),
            " addresses, the solve that log is of asked for ", log.log.chunks.size());
    for (const Address chunk : checkpoints) {
        require_address("an entry of checkpoints", chunk);
        request.checkpoints.push_back(pointer<const Real>(chunk));
    }
    require((grad_times == 0) == (grad_grid == 0), "grad_times and grad_grid are wanted together");
    request.log = &log.log;
    request.grad_grid = pointer<double>(grad_grid);
    interruptible([&](const cpu::Interrupt& interrupt) {
        kernels<Real>(field.field).discrete_vjp(request, interrupt);
        return cpu::Outcome{};
    });
}

template <class Real>
cpu::Outcome continuous_vjp(const BoundField& field, const cpu::Method& method, bool seminorm, Address times,
                            std::int64_t time_count, const std::vector<std::vector<double>>& grids, Address c,
                            Address states, Address grad_states, Address grad_y0, Address grad_c,
                            Address grad_times, const std::vector<Address>& grad_parameters,
                            const std::vector<std::pair<int, int>>& measured_c,
                            const std::vector<std::tuple<int, int, int, int>>& transposes) {
    require_layout(field.field, method);
    require_outputs<Real>("time_count", time_count, 1, field.field);
    require(method.tableau.control == cpu::Control::error ||
                static_cast<std::int64_t>(grids.size()) == time_count - 1,
            "grids has ", grids.size(), " entries for ", time_count - 1, " intervals between times");
    require_address("states", states);
    cpu::ContinuousRequest<Real> request;
    fill_reverse<Real>(field.field, method, times, time_count, c, grad_states, grad_y0, grad_c, grad_times,
                       grad_parameters, request);
    request.seminorm = seminorm;
    for (const auto& [begin, end] : measured_c) {
        require(begin >= 0 && begin < end && end <= field.program->context_width(),
                "an entry of measured_c is no range of rows of c");
        request.measured_c.push_back({begin, end});
    }
    for (const auto& [parameter, of, rows, columns] : transposes) {
        const std::vector<std::int64_t>& sizes = field.program->parameter_sizes;
        require(rows >= 1 && columns >= 1, "an entry of transposes has no elements");
        for (const int which : {parameter, of}) {
            require(which >= 0 && static_cast<std::size_t>(which) < sizes.size(),
                    "an entry of transposes is of no parameter");
            require(sizes[static_cast<std::size_t>(which)] == std::int64_t{rows} * columns,
                    "an entry of transposes has another size than its parameter");
        }
        request.transposes.push_back({parameter, of, rows, columns});
    }
    std::vector<solve::Times> intervals;
    intervals.reserve(grids.size());
    for (const std::vector<double>& grid : grids) intervals.push_back(view(grid));
    request.grids = intervals.data();
    request.step_t = view(method.step_t);
    request.jump_t = view(method.jump_t);
    request.states = pointer<const Real>(states);
    return interruptible([&](const cpu::Interrupt& interrupt) {
        return kernels<Real>(field.field).continuous_vjp(request, interrupt);
    });
}

// Nothing interrupts an evaluation.
constexpr std::int64_t MOST_STEPS_EVALUATED = 1'000'000'000;

template <class Real>
cpu::Outcome evaluate(const BoundField& field, Address y, Address c, double t, std::int64_t steps,
                      int stages) {
    require_address("y", y);
    require_context(field.field, "c", c);
    require(steps >= 0 && steps <= MOST_STEPS_EVALUATED, "steps is ", steps, ", not within 0 and ",
            MOST_STEPS_EVALUATED);
    require(stages >= 1 && stages <= numerics::MAX_STAGES, "stages is ", stages, ", not within 1 and ",
            numerics::MAX_STAGES);
    const cpu::EvaluateRequest<Real> request{
        &field.field, pointer<const Real>(y), pointer<const Real>(c), t, steps, stages};
    return interruptible([&](const cpu::Interrupt&) {
        cpu::Outcome outcome;
        outcome.waited = kernels<Real>(field.field).evaluate(request);
        return outcome;
    });
}

// Takes integers alone: a tensor of one element would be converted to its number.
py::arg address(const char* name) { return py::arg(name).noconvert(); }

// A function of a field in either precision, called in the field's.
template <class Result, class... Rest>
auto in_precision(Result (*float32)(const BoundField&, Rest...),
                  Result (*float64)(const BoundField&, Rest...)) {
    return [=](const BoundField& field, Rest... rest) {
        return (field.single ? float32 : float64)(field, std::forward<Rest>(rest)...);
    };
}

}  // namespace

void bind_solve(py::module_& m) {
    py::enum_<cpu::Status>(m, "Status")
        .value("done", cpu::Status::done)
        .value("nonfinite_field", cpu::Status::nonfinite_field)
        .value("nonfinite_state", cpu::Status::nonfinite_state)
        .value("nonfinite_event", cpu::Status::nonfinite_event)
        .value("underflow", cpu::Status::underflow)
        .value("too_many_steps", cpu::Status::too_many_steps);
    py::class_<cpu::Outcome>(m, "Outcome")
        .def_property_readonly(
            "done", [](const cpu::Outcome& outcome) { return outcome.status == cpu::Status::done; })
        .def_readonly("status", &cpu::Outcome::status)
        .def_readonly("t", &cpu::Outcome::t)
        .def_readonly("dt", &cpu::Outcome::dt)
        .def_readonly("trajectory", &cpu::Outcome::trajectory)
        .def_readonly("row", &cpu::Outcome::row)
        .def_readonly("times_reached", &cpu::Outcome::times_reached)
        .def_readonly("evaluations", &cpu::Outcome::evaluations)
        .def_readonly("accepted", &cpu::Outcome::accepted)
        .def_readonly("rejected", &cpu::Outcome::rejected)
        .def_readonly("nan_met", &cpu::Outcome::nan_met)
        .def_readonly("unconverged", &cpu::Outcome::unconverged)
        .def_readonly("unconverged_t", &cpu::Outcome::unconverged_t)
        .def_readonly("event_t", &cpu::Outcome::event_t)
        .def_readonly("miss", &cpu::Outcome::miss)
        .def_readonly("miss_t", &cpu::Outcome::miss_t)
        .def_readonly("size", &cpu::Outcome::size)
        .def(
            "located",
            [](cpu::Outcome outcome, cpu::Status status, std::int64_t trajectory, int row) {
                outcome.status = status;
                outcome.trajectory = trajectory;
                outcome.row = row;
                return outcome;
            },
            py::kw_only(), py::arg("status"), py::arg("trajectory"), py::arg("row"))
        .def_readonly("seconds", &cpu::Outcome::seconds)
        .def_readonly("waited", &cpu::Outcome::waited);
    py::class_<BoundField>(m, "Field")
        .def(py::init<std::shared_ptr<program::Program>, const std::vector<Address>&, std::vector<bool>,
                      const std::vector<int>&, std::int64_t, double, const std::string&, int, bool>(),
             py::kw_only(), py::arg("program").none(false), address("parameters"), py::arg("wants_gradient"),
             py::arg("segments"), py::arg("batch"), py::arg("direction"), py::arg("precision"),
             py::arg("threads") = 1, py::arg("features_in_lanes") = false);
    py::class_<BoundEvent>(m, "Event").def(py::init<BoundField>(), py::kw_only(), py::arg("field"));
    py::class_<RecordedSteps>(m, "StepLog").def_property_readonly("steps", [](const RecordedSteps& recorded) {
        return recorded.log.steps.size();
    });
    m.attr("MAX_THREADS") = cpu::MAX_THREADS;
    using py::arg;
    m.def("forward", in_precision(&forward<float>, &forward<double>), py::kw_only(), arg("field"),
          arg("method"), address("y0"), address("c"), address("times"), arg("time_count"), address("grid"),
          arg("grid_count"), address("states"), arg("storage") = py::none(), address("rtol") = 0,
          address("atol") = 0, arg("event") = py::none(), arg("step_size") = 0.0, arg("every_step") = false,
          arg("norm") = py::none());
    m.def("discrete_vjp", in_precision(&discrete_vjp<float>, &discrete_vjp<double>), py::kw_only(),
          arg("field"), arg("method"), arg("log"), address("checkpoints"), address("c"), address("times"),
          arg("time_count"), address("grad_states"), address("grad_y0"), address("grad_c"),
          address("grad_times"), address("grad_grid"), address("grad_parameters"));
    m.def("continuous_vjp", in_precision(&continuous_vjp<float>, &continuous_vjp<double>), py::kw_only(),
          arg("field"), arg("method"), arg("seminorm"), address("times"), arg("time_count"), arg("grids"),
          address("c"), address("states"), address("grad_states"), address("grad_y0"), address("grad_c"),
          address("grad_times"), address("grad_parameters"),
          arg("measured_c") = std::vector<std::pair<int, int>>{},
          arg("transposes") = std::vector<std::tuple<int, int, int, int>>{});
    m.def("evaluate", in_precision(&evaluate<float>, &evaluate<double>), py::kw_only(), arg("field"),
          address("y"), address("c"), arg("t"), arg("steps"), arg("stages"));
}

}  // namespace flashode::bindings
