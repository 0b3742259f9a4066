// One solve, forward and in reverse, from a record of everything that it depends on.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "check.hpp"
#include "problems.hpp"

namespace flashode::testing {

inline const cpu::Interrupt never;

struct Inputs {
    program::Program program;
    std::vector<int> segments;  // rows of each
    std::vector<std::vector<double>> parameters;
    std::vector<double> y0;
    std::vector<double> c;  // (batch, rows of c)
    std::vector<double> times;
    std::int64_t batch = 0;
    double direction = 1.0;
    std::vector<cpu::Segment> measured_c;  // of the continuous adjoint
    std::vector<cpu::Transpose> transposes;
    const cpu::Measure<double>* measure = nullptr;
    const cpu::Event<double>* event = nullptr;  // looked for from the first time
    double step_size = 0.0;
    bool every_step = false;

    // Numbers of one state.
    std::size_t state_size() const {
        return static_cast<std::size_t>(batch) * static_cast<std::size_t>(program.width());
    }

    cpu::Field field() const {
        cpu::Field made;
        made.program = &program;
        for (const auto& parameter : parameters) made.parameters.push_back(parameter.data());
        made.wants_gradient.assign(parameters.size(), true);
        for (const int rows : segments) {
            const int begin = made.segments.empty() ? 0 : made.segments.back().end;
            made.segments.push_back({begin, begin + rows});
        }
        made.batch = batch;
        made.direction = direction;
        return made;
    }
};

// Memory that solves ask for piece by piece.
struct Chunks {
    std::vector<std::vector<double>> parts;

    cpu::Storage<double> storage() {
        return [this](std::size_t count) { return parts.emplace_back(count).data(); };
    }
    std::vector<const double*> addresses() const {
        std::vector<const double*> found;
        for (const auto& part : parts) found.push_back(part.data());
        return found;
    }
};

inline solve::Times view(const std::vector<double>& times) {
    return {times.data(), static_cast<std::int64_t>(times.size())};
}

struct Solution {
    cpu::Outcome outcome;
    std::vector<double> times;
    std::vector<double> states;  // (times, state)
    cpu::StepLog log;
    Chunks checkpoints;
};

inline Solution solve(const cpu::KernelSet& kernels, const Inputs& in, const cpu::Method& how) {
    const cpu::Field field = in.field();
    Solution out;
    cpu::Nodes<double> nodes;
    out.times = in.times;
    if (in.event != nullptr) out.times = {in.times.front(), 0.0};
    out.states.resize(out.times.size() * in.state_size());
    const cpu::Storage<double> storage = out.checkpoints.storage();
    cpu::ForwardRequest<double> request;
    request.field = &field;
    request.method = &how;
    request.y0 = in.y0.data();
    request.c = in.c.data();
    request.times = request.grid = view(in.times);
    request.step_t = view(how.step_t);
    request.jump_t = view(how.jump_t);
    request.states = out.states.data();
    request.log = &out.log;
    request.storage = &storage;
    request.measure = in.measure;
    request.event = in.event;
    request.step_size = in.step_size;
    if (in.every_step) request.nodes = &nodes;
    out.outcome = kernels.float64.forward(request, never);
    if (in.event != nullptr) out.times.back() = out.outcome.event_t;
    if (in.every_step) {
        out.times = nodes.times;
        out.states = nodes.states;
    }
    return out;
}

struct Gradient {
    std::vector<double> y0;
    std::vector<double> c;
    std::vector<double> times;  // of the outputs; where these are the grid, of the grid too
    std::vector<std::vector<double>> parameters;
    double start = 0.0;    // of all grid points together, or of an adaptive solve's start
    cpu::Outcome outcome;  // of the continuous adjoint

    explicit Gradient(const Inputs& in) : y0(in.state_size()), c(in.c.size()), times(in.times.size()) {
        for (const auto& parameter : in.parameters) parameters.emplace_back(parameter.size());
    }
    std::vector<double*> pointers() {
        std::vector<double*> to;
        for (auto& parameter : parameters) to.push_back(parameter.data());
        return to;
    }
};

// Of the loss sum(weights * states).
inline Gradient discrete(const cpu::KernelSet& kernels, const Inputs& in, const cpu::Method& how,
                         const std::vector<double>& weights) {
    const cpu::Field field = in.field();
    const Solution solution = solve(kernels, in, how);
    Gradient gradient(in);
    gradient.times.resize(solution.times.size());
    std::vector<double> grid(std::max(in.times.size(), solution.log.steps.size() + 1));
    cpu::DiscreteRequest<double> request;
    request.field = &field;
    request.method = &how;
    request.log = &solution.log;
    request.checkpoints = solution.checkpoints.addresses();
    request.c = in.c.data();
    request.times = view(solution.times);
    request.grad_states = weights.data();
    request.grad_y0 = gradient.y0.data();
    request.grad_c = gradient.c.data();
    request.grad_times = gradient.times.data();
    request.grad_grid = grid.data();
    request.grad_parameters = gradient.pointers();
    kernels.float64.discrete_vjp(request, never);
    for (const double of_point : grid) gradient.start += of_point;
    if (in.event == nullptr && !in.every_step) {
        for (std::size_t i = 0; i < in.times.size(); ++i) gradient.times[i] += grid[i];
    }
    return gradient;
}

inline Gradient continuous(const cpu::KernelSet& kernels, const Inputs& in, const cpu::Method& how,
                           const std::vector<double>& weights, bool seminorm = false) {
    const cpu::Field field = in.field();
    const Solution solution = solve(kernels, in, how);
    std::vector<std::vector<double>> grids;
    for (std::size_t i = 1; i < in.times.size(); ++i) grids.push_back({-in.times[i], -in.times[i - 1]});
    Gradient gradient(in);
    cpu::ContinuousRequest<double> request;
    request.field = &field;
    request.method = &how;
    request.seminorm = seminorm;
    request.measured_c = in.measured_c;
    request.transposes = in.transposes;
    std::vector<solve::Times> intervals;
    for (const auto& grid : grids) intervals.push_back(view(grid));
    request.times = view(in.times);
    request.grids = intervals.data();
    request.step_t = view(how.step_t);
    request.jump_t = view(how.jump_t);
    request.c = in.c.data();
    request.states = solution.states.data();
    request.grad_states = weights.data();
    request.grad_y0 = gradient.y0.data();
    request.grad_c = gradient.c.data();
    request.grad_times = gradient.times.data();
    request.grad_parameters = gradient.pointers();
    gradient.outcome = kernels.float64.continuous_vjp(request, never);
    CHECK(gradient.outcome.status == cpu::Status::done);
    return gradient;
}

inline std::vector<double> waves(std::size_t n) {
    std::vector<double> w(n);
    for (std::size_t i = 0; i < n; ++i) w[i] = std::cos(0.37 * static_cast<double>(i));
    return w;
}

// Calls check(kernels) for each instruction set that this machine has: for those that solve trajectories side
// by side, and, of explicit methods, for those that solve one after another.
template <class Check>
void on_every_instruction_set(const Check& check, bool explicit_methods = true) {
    for (const cpu::InstructionSet& set : cpu::instruction_sets()) {
        INFO(set.name);
        if (set.supported()) {
            check(set.kernels());
            if (explicit_methods) check(set.feature_kernels());
        } else {
            std::printf("%s: not on this machine\n", set.name);
        }
    }
}

}  // namespace flashode::testing
