// The arguments of the CUDA engine's kernels as bytes, and what a kernel leaves. Addresses are those of
// memory that the kernel's device can reach; the numbers of a time grid are there, too.
#include <pybind11/stl.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/checks.hpp"
#include "cpu/engine.hpp"
#include "cuda/arguments.hpp"

namespace py = pybind11;

namespace flashode::bindings {

namespace {

// An address, and how many numbers are there.
using Numbers = std::pair<Address, std::int64_t>;

solve::Times times_at(const Numbers& numbers) {
    return {pointer<const double>(numbers.first), numbers.second};
}

// The struct, and behind it the addresses of parameters.
template <class Arguments>
py::bytes bytes_of(const Arguments& arguments, const std::vector<Address>& parameters) {
    std::string bytes(sizeof(arguments) + std::max<std::size_t>(parameters.size(), 1) * sizeof(void*), '\0');
    std::memcpy(bytes.data(), &arguments, sizeof(arguments));
    if (!parameters.empty()) {
        std::memcpy(bytes.data() + sizeof(arguments), parameters.data(), parameters.size() * sizeof(Address));
    }
    return bytes;
}

// Addresses of a chunk's steps, checkpoints, times of nodes and nodes.
using ChunkAddresses = std::tuple<Address, Address, Address, Address>;

template <class Real>
cuda::StepMemory<Real> step_memory(const std::vector<ChunkAddresses>& chunks, std::int64_t first,
                                   std::int64_t checkpoint_size, std::int64_t state_size) {
    require(chunks.size() <= cuda::MAX_CHUNKS, "chunks has ", chunks.size(), " entries, more than ",
            cuda::MAX_CHUNKS);
    require(first >= 0, "first_steps is negative");
    cuda::StepMemory<Real> memory;
    memory.first = chunks.empty() ? 0 : first;
    memory.checkpoint_size = checkpoint_size;
    memory.state_size = state_size;
    std::int64_t steps = first;
    for (std::size_t i = 0; i < chunks.size(); ++i) {
        const auto& [kept, checkpoints, node_times, nodes] = chunks[i];
        memory.chunks[i] = {pointer<solve::Step>(kept), pointer<Real>(checkpoints),
                            pointer<double>(node_times), pointer<Real>(nodes)};
        memory.capacity += steps;
        steps *= 2;
    }
    return memory;
}

template <class Real>
void fill_method(const cpu::Method& method, std::int64_t batch, double direction,
                 cuda::MethodArguments<Real>& arguments) {
    arguments.method = method;
    arguments.tableau = numerics::rounded<Real>(method.tableau);
    arguments.batch = {batch, direction};
}

template <class Real>
void fill_system(Address c, Address rows, Address stages, Address slots, std::uint64_t round,
                 std::int64_t budget, cuda::SystemArguments<Real>& arguments) {
    require_address("rows", rows);
    arguments.c = pointer<const Real>(c);
    arguments.rows = pointer<Real>(rows);
    arguments.stages = pointer<Real>(stages);
    arguments.slots = pointer<cuda::Slot>(slots);
    arguments.round = round;
    arguments.budget = budget;
}

// Addresses of an event's state and signs, the size of its state, its direction and its tolerance.
using EventNumbers = std::tuple<Address, Address, std::int64_t, double, double>;

template <class Real>
py::bytes forward_arguments(const cpu::Method& method, std::int64_t batch, double direction, Address y0,
                            Address c, const Numbers& times, const Numbers& grid, const Numbers& step_t,
                            const Numbers& jump_t, Address states, Address rtol, Address atol, Address rows,
                            Address stages, Address slots, std::uint64_t round, std::int64_t budget,
                            Address step_of_time, const std::vector<ChunkAddresses>& chunks,
                            std::int64_t first_steps, std::int64_t checkpoint_size, std::int64_t state_size,
                            const cuda::Stand& stand, Address left, const std::optional<EventNumbers>& event,
                            double step_size, const std::vector<Address>& parameters) {
    require_address("y0", y0);
    require_address("times", times.first);
    require_address("states", states);
    require_address("left", left);
    cuda::ForwardArguments<Real> arguments;
    fill_method(method, batch, direction, arguments);
    fill_system(c, rows, stages, slots, round, budget, arguments);
    arguments.request.y0 = pointer<const Real>(y0);
    arguments.request.times = times_at(times);
    arguments.request.grid = times_at(grid);
    arguments.request.step_t = times_at(step_t);
    arguments.request.jump_t = times_at(jump_t);
    arguments.request.states = pointer<Real>(states);
    arguments.rtol = pointer<const Real>(rtol);
    arguments.atol = pointer<const Real>(atol);
    arguments.step_of_time = pointer<std::int64_t>(step_of_time);
    arguments.memory = step_memory<Real>(chunks, first_steps, checkpoint_size, state_size);
    arguments.stand = stand;
    arguments.left = pointer<cuda::Stand>(left);
    arguments.request.step_size = step_size;
    if (event) {
        const auto& [state, signs, size, of_event, tolerance] = *event;
        require_address("the state of event", state);
        require_address("the signs of event", signs);
        arguments.event = {pointer<Real>(state), pointer<Real>(signs), size, of_event, tolerance};
    }
    return bytes_of(arguments, parameters);
}

template <class Real>
py::bytes discrete_arguments(const cpu::Method& method, std::int64_t batch, double direction, Address c,
                             const Numbers& times, Address grad_states, Address grad_y0, Address grad_c,
                             Address steps, std::int64_t step_count, Address step_of_time, bool nodes,
                             const std::vector<ChunkAddresses>& chunks, std::int64_t first_steps,
                             std::int64_t checkpoint_size, Address scratch, Address accumulators,
                             Address sums, Address time_sums, const Numbers& grid_sums, std::int64_t done,
                             std::int64_t budget, const std::vector<Address>& parameters) {
    require_address("times", times.first);
    require_address("grad_states", grad_states);
    require_address("grad_y0", grad_y0);
    require_address("scratch", scratch);
    cuda::DiscreteArguments<Real> arguments;
    fill_method(method, batch, direction, arguments);
    arguments.request.times = times_at(times);
    arguments.request.c = pointer<const Real>(c);
    arguments.request.grad_states = pointer<const Real>(grad_states);
    arguments.request.grad_y0 = pointer<Real>(grad_y0);
    arguments.request.grad_c = pointer<Real>(grad_c);
    arguments.log = {pointer<const solve::Step>(steps), step_count, pointer<const std::int64_t>(step_of_time),
                     times.second, nodes};
    arguments.memory = step_memory<Real>(chunks, first_steps, checkpoint_size, 0);
    arguments.scratch = pointer<Real>(scratch);
    arguments.accumulators = pointer<Real>(accumulators);
    arguments.sums = pointer<double>(sums);
    arguments.time_sums = pointer<double>(time_sums);
    arguments.grid_sums = pointer<double>(grid_sums.first);
    arguments.points = grid_sums.second;
    arguments.done = done;
    arguments.budget = budget;
    return bytes_of(arguments, parameters);
}

template <class Real>
py::bytes continuous_arguments(const cpu::Method& method, std::int64_t batch, double direction, Address c,
                               const Numbers& times, Address grids, const Numbers& step_t,
                               const Numbers& jump_t, Address states, Address grad_states, Address grad_y0,
                               Address grad_c, Address grad_times, Address rows, Address stages,
                               Address slots, std::uint64_t round, std::int64_t budget, Address adjoint,
                               Address gradients, Address quadrature, Address accumulators, int sets,
                               const Numbers& segments, Address starts, Address sources,
                               const cuda::AdjointStand& stand, Address left,
                               const std::vector<Address>& parameters) {
    require_address("times", times.first);
    require_address("states", states);
    require_address("grad_states", grad_states);
    require_address("grad_y0", grad_y0);
    require_address("gradients", gradients);
    require_address("left", left);
    cuda::ContinuousArguments<Real> arguments;
    fill_method(method, batch, -direction, arguments);  // in reversed time
    fill_system(c, rows, stages, slots, round, budget, arguments);
    arguments.request.times = times_at(times);
    arguments.request.grids = pointer<const solve::Times>(grids);
    arguments.request.step_t = times_at(step_t);
    arguments.request.jump_t = times_at(jump_t);
    arguments.request.states = pointer<const Real>(states);
    arguments.request.grad_states = pointer<const Real>(grad_states);
    arguments.request.grad_y0 = pointer<Real>(grad_y0);
    arguments.request.grad_c = pointer<Real>(grad_c);
    arguments.request.grad_times = pointer<double>(grad_times);
    arguments.adjoint = pointer<Real>(adjoint);
    arguments.gradients = pointer<Real>(gradients);
    arguments.quadrature = pointer<Real>(quadrature);
    arguments.accumulators = pointer<Real>(accumulators);
    arguments.sets = sets;
    arguments.segments = pointer<const std::int64_t>(segments.first);
    arguments.segment_count = segments.second;
    arguments.starts = pointer<const std::int64_t>(starts);
    arguments.sources = pointer<const std::int64_t>(sources);
    arguments.stand = stand;
    arguments.left = pointer<cuda::AdjointStand>(left);
    return bytes_of(arguments, parameters);
}

bool paused(const solve::Outcome& outcome) { return outcome.status == solve::Status::interrupted; }

// Of a solve that took so many seconds, in all of which its caller waited.
solve::Outcome taken(solve::Outcome outcome, double seconds) {
    outcome.seconds = outcome.waited = seconds;
    return outcome;
}

template <class... Rest>
auto in_precision(py::bytes (*float32)(Rest...), py::bytes (*float64)(Rest...)) {
    return [=](const std::string& precision, Rest... rest) {
        return (is_single(precision) ? float32 : float64)(rest...);
    };
}

}  // namespace

void bind_cuda_arguments(const py::module_& module) {
    auto m = module.attr("cuda").cast<py::module_>();
    m.attr("MAX_CHUNKS") = cuda::MAX_CHUNKS;
    m.attr("MAX_SUMS") = cuda::MAX_SUMS;
    m.attr("SLOT_BYTES") = sizeof(cuda::Slot);
    m.attr("STAND_BYTES") = sizeof(cuda::Stand);
    m.attr("ADJOINT_STAND_BYTES") = sizeof(cuda::AdjointStand);
    m.attr("STEP_BYTES") = sizeof(solve::Step);
    m.attr("REDUCTION_BYTES") = cuda::REDUCTION_BYTES;
    m.attr("REVERSE_ROWS") = cuda::REVERSE_ROWS;
    m.attr("STEPS_BETWEEN_FOLDS") = cuda::STEPS_BETWEEN_FOLDS;
    py::class_<cuda::Stand>(m, "Stand")
        .def(py::init<>())
        .def_static(
            "at", [](Address address) { return *pointer<const cuda::Stand>(address); }, py::kw_only(),
            py::arg("address"))
        .def(
            "outcome",
            [](const cuda::Stand& stand, double seconds) { return taken(stand.progress.outcome, seconds); },
            py::kw_only(), py::arg("seconds"))
        .def_property_readonly("paused",
                               [](const cuda::Stand& stand) { return paused(stand.progress.outcome); })
        .def_property_readonly("t", [](const cuda::Stand& stand) { return stand.progress.t; })
        .def_property_readonly("tried", [](const cuda::Stand& stand) { return stand.progress.tried; })
        .def_readonly("half", &cuda::Stand::half)
        .def_readonly("full", &cuda::Stand::full);
    py::class_<cuda::AdjointStand>(m, "AdjointStand")
        .def(py::init<>())
        .def_static(
            "at", [](Address address) { return *pointer<const cuda::AdjointStand>(address); }, py::kw_only(),
            py::arg("address"))
        .def(
            "outcome",
            [](const cuda::AdjointStand& stand, double seconds) {
                return taken(stand.progress.total, seconds);
            },
            py::kw_only(), py::arg("seconds"))
        .def_property_readonly("paused",
                               [](const cuda::AdjointStand& stand) { return paused(stand.progress.total); })
        .def_property_readonly("t", [](const cuda::AdjointStand& stand) { return stand.progress.interval.t; })
        .def_property_readonly("tried",
                               [](const cuda::AdjointStand& stand) { return stand.progress.interval.tried; })
        .def_readonly("half", &cuda::AdjointStand::half);
    m.def("forward_arguments", in_precision(&forward_arguments<float>, &forward_arguments<double>),
          py::kw_only(), py::arg("precision"), py::arg("method"), py::arg("batch"), py::arg("direction"),
          py::arg("y0"), py::arg("c"), py::arg("times"), py::arg("grid"), py::arg("step_t"),
          py::arg("jump_t"), py::arg("states"), py::arg("rtol"), py::arg("atol"), py::arg("rows"),
          py::arg("stages"), py::arg("slots"), py::arg("round"), py::arg("budget"), py::arg("step_of_time"),
          py::arg("chunks"), py::arg("first_steps"), py::arg("checkpoint_size"), py::arg("state_size"),
          py::arg("stand"), py::arg("left"), py::arg("event"), py::arg("step_size"), py::arg("parameters"));
    m.def("discrete_arguments", in_precision(&discrete_arguments<float>, &discrete_arguments<double>),
          py::kw_only(), py::arg("precision"), py::arg("method"), py::arg("batch"), py::arg("direction"),
          py::arg("c"), py::arg("times"), py::arg("grad_states"), py::arg("grad_y0"), py::arg("grad_c"),
          py::arg("steps"), py::arg("step_count"), py::arg("step_of_time"), py::arg("nodes"),
          py::arg("chunks"), py::arg("first_steps"), py::arg("checkpoint_size"), py::arg("scratch"),
          py::arg("accumulators"), py::arg("sums"), py::arg("time_sums"), py::arg("grid_sums"),
          py::arg("done"), py::arg("budget"), py::arg("parameters"));
    m.def("continuous_arguments", in_precision(&continuous_arguments<float>, &continuous_arguments<double>),
          py::kw_only(), py::arg("precision"), py::arg("method"), py::arg("batch"), py::arg("direction"),
          py::arg("c"), py::arg("times"), py::arg("grids"), py::arg("step_t"), py::arg("jump_t"),
          py::arg("states"), py::arg("grad_states"), py::arg("grad_y0"), py::arg("grad_c"),
          py::arg("grad_times"), py::arg("rows"), py::arg("stages"), py::arg("slots"), py::arg("round"),
          py::arg("budget"), py::arg("adjoint"), py::arg("gradients"), py::arg("quadrature"),
          py::arg("accumulators"), py::arg("sets"), py::arg("segments"), py::arg("starts"),
          py::arg("sources"), py::arg("stand"), py::arg("left"), py::arg("parameters"));
}

}  // namespace flashode::bindings
