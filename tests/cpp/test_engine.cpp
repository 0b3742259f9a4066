// Whole solves and their two reverse passes, on every instruction set that this machine has.
#include <cmath>
#include <cstdio>
#include <numbers>
#include <vector>

#include "check.hpp"
#include "problems.hpp"

namespace {

namespace cpu = flashode::cpu;
using flashode::testing::method;
using flashode::testing::mixed_program;
using flashode::testing::Tableau;

constexpr int WIDTH = 3;
constexpr int BATCH = 13;  // a multiple of no number of lanes
const cpu::Interrupt never;

struct Inputs {
    std::vector<double> y0 = std::vector<double>(BATCH * WIDTH);
    std::vector<double> times = {0.0, 0.35, 0.4, 1.1};
    std::vector<std::vector<double>> parameters = {
        std::vector<double>(15), std::vector<double>(5), std::vector<double>(15), {0.8}};
    double direction = 1.0;

    Inputs() {
        double phase = 0.0;
        const auto fill = [&](std::vector<double>& values, double size) {
            for (double& value : values) value = size * std::sin(phase += 1.7);
        };
        fill(y0, 1.0);
        for (std::size_t p = 0; p < 3; ++p) fill(parameters[p], 0.6);
    }

    cpu::Field field(const flashode::program::Program& program) const {
        cpu::Field made;
        made.program = &program;
        for (const auto& parameter : parameters) made.parameters.push_back(parameter.data());
        made.wants_gradient.assign(parameters.size(), true);
        made.norm_groups = {{0, WIDTH}};
        made.batch = BATCH;
        made.direction = direction;
        return made;
    }
};

struct Solution {
    cpu::Outcome outcome;
    std::vector<double> states;
    cpu::StepLog log;
    cpu::Checkpoints<double> checkpoints;
};

Solution solve(const cpu::KernelSet& kernels, const Inputs& in, const cpu::Method& how) {
    const auto program = mixed_program();
    const cpu::Field field = in.field(program);
    Solution out;
    out.states.resize(in.times.size() * BATCH * WIDTH);
    cpu::ForwardRequest<double> request;
    request.field = &field;
    request.method = &how;
    request.y0 = in.y0.data();
    request.times = request.grid = in.times.data();
    request.time_count = request.grid_count = static_cast<std::int64_t>(in.times.size());
    request.states = out.states.data();
    request.log = &out.log;
    request.checkpoints = &out.checkpoints;
    out.outcome = kernels.twofold.forward(request, never);
    return out;
}

std::vector<double> cotangents(std::size_t n) {
    std::vector<double> w(n);
    for (std::size_t i = 0; i < n; ++i) w[i] = std::cos(0.37 * static_cast<double>(i));
    return w;
}

double loss(const cpu::KernelSet& kernels, const Inputs& in, const cpu::Method& how) {
    const Solution solution = solve(kernels, in, how);
    const std::vector<double> w = cotangents(solution.states.size());
    double sum = 0.0;
    for (std::size_t i = 0; i < w.size(); ++i) sum += w[i] * solution.states[i];
    return sum;
}

struct Gradient {
    std::vector<double> y0 = std::vector<double>(BATCH * WIDTH);
    std::vector<double> times;
    std::vector<double> grid;
    std::vector<std::vector<double>> parameters;

    explicit Gradient(const Inputs& in) : times(in.times.size()), grid(in.times.size()) {
        for (const auto& parameter : in.parameters) parameters.emplace_back(parameter.size());
    }
    std::vector<double*> pointers() {
        std::vector<double*> to;
        for (auto& parameter : parameters) to.push_back(parameter.data());
        return to;
    }
};

Gradient discrete(const cpu::KernelSet& kernels, const Inputs& in, const cpu::Method& how) {
    const auto program = mixed_program();
    const cpu::Field field = in.field(program);
    const Solution solution = solve(kernels, in, how);
    const std::vector<double> w = cotangents(solution.states.size());
    Gradient gradient(in);
    cpu::DiscreteRequest<double> request;
    request.field = &field;
    request.method = &how;
    request.log = &solution.log;
    request.states = solution.checkpoints.states.data();
    request.slopes = solution.checkpoints.slopes.data();
    request.times = in.times.data();
    request.time_count = static_cast<std::int64_t>(in.times.size());
    request.grad_states = w.data();
    request.grad_y0 = gradient.y0.data();
    request.grad_times = gradient.times.data();
    request.grad_grid = gradient.grid.data();
    request.grad_parameters = gradient.pointers();
    kernels.twofold.discrete_vjp(request, never);
    for (std::size_t i = 0; i < gradient.times.size(); ++i) gradient.times[i] += gradient.grid[i];
    return gradient;
}

Gradient continuous(const cpu::KernelSet& kernels, const Inputs& in, const cpu::Method& how) {
    const auto program = mixed_program();
    const cpu::Field field = in.field(program);
    const Solution solution = solve(kernels, in, how);
    const std::vector<double> w = cotangents(solution.states.size());
    Gradient gradient(in);
    cpu::ContinuousRequest<double> request;
    request.field = &field;
    request.method = &how;
    request.times = in.times.data();
    request.time_count = static_cast<std::int64_t>(in.times.size());
    request.states = solution.states.data();
    request.grad_states = w.data();
    request.grad_y0 = gradient.y0.data();
    request.grad_times = gradient.times.data();
    request.grad_parameters = gradient.pointers();
    CHECK(kernels.twofold.continuous_vjp(request, never).status == cpu::Status::done);
    return gradient;
}

void check_gradient(const char* what, double got, double wanted, double tolerance) {
    CHECK(std::abs(got - wanted) <= tolerance * (1.0 + std::abs(wanted))) ||
        std::fprintf(stderr, "  %s: %.12g, wanted %.12g\n", what, got, wanted);
}

// Central differences of the discrete solve. With min_step == max_step the steps do not depend on the inputs,
// which is what "step sizes are constants of differentiation" means.
void check_against_differences(const cpu::KernelSet& kernels, const Inputs& in, const cpu::Method& how) {
    const Gradient gradient = discrete(kernels, in, how);
    const double eps = 1e-6;
    const auto difference = [&](auto change) {
        Inputs up = in;
        Inputs down = in;
        change(up, eps);
        change(down, -eps);
        return (loss(kernels, up, how) - loss(kernels, down, how)) / (2 * eps);
    };
    for (const std::size_t i : {std::size_t{0}, std::size_t{7}, std::size_t{BATCH * WIDTH - 1}}) {
        check_gradient("y0", gradient.y0[i], difference([i](Inputs& x, double e) { x.y0[i] += e; }), 1e-7);
    }
    for (std::size_t i = 0; i < in.times.size(); ++i) {
        check_gradient("t", gradient.times[i], difference([i](Inputs& x, double e) { x.times[i] += e; }),
                       1e-6);
    }
    for (std::size_t p = 0; p < in.parameters.size(); ++p) {
        for (std::size_t i = 0; i < in.parameters[p].size(); i += 4) {
            const double wanted = difference([p, i](Inputs& x, double e) { x.parameters[p][i] += e; });
            check_gradient("parameter", gradient.parameters[p][i], wanted, 1e-7);
        }
    }
}

void check_continuous_against_discrete(const cpu::KernelSet& kernels, const Inputs& in) {
    const cpu::Method how = method(flashode::testing::dopri5(), 1e-11);
    const Gradient a = continuous(kernels, in, how);
    const Gradient b = discrete(kernels, in, how);
    for (std::size_t i = 0; i < a.y0.size(); ++i) check_gradient("adjoint y0", a.y0[i], b.y0[i], 1e-6);
    for (std::size_t i = 0; i < a.times.size(); ++i)
        check_gradient("adjoint t", a.times[i], b.times[i], 1e-5);
    for (std::size_t p = 0; p < a.parameters.size(); ++p) {
        for (std::size_t i = 0; i < a.parameters[p].size(); ++i) {
            check_gradient("adjoint parameter", a.parameters[p][i], b.parameters[p][i], 1e-6);
        }
    }
}

void check_failures(const cpu::KernelSet& kernels) {
    Inputs in;
    cpu::Method how = method(flashode::testing::bosh3(), 1e-10);
    how.max_num_steps = 3;
    CHECK(solve(kernels, in, how).outcome.status == cpu::Status::too_many_steps);
    how = method(flashode::testing::bosh3(), 1e-6);
    in.y0[4 * WIDTH + 1] = std::nan("");
    const cpu::Outcome bad_state = solve(kernels, in, how).outcome;
    CHECK(bad_state.status == cpu::Status::nonfinite_state);
    CHECK(bad_state.trajectory == 4);
    in = Inputs();
    in.parameters[3][0] = std::nan("");
    const cpu::Outcome bad_field = solve(kernels, in, how).outcome;
    CHECK(bad_field.status == cpu::Status::nonfinite_field);
    CHECK(bad_field.trajectory == 0);
    CHECK(bad_field.times_reached == 1);
}

}  // namespace

int main() {
    using namespace flashode::testing;
    for (const cpu::InstructionSet& set : cpu::instruction_sets()) {
        if (!set.supported()) {
            std::printf("%s: not on this machine\n", set.name);
            continue;
        }
        const cpu::KernelSet kernels = set.kernels();
        for (const double direction : {1.0, -1.0}) {
            Inputs in;
            in.direction = direction;
            check_against_differences(kernels, in, method(rk4(), 0.0));
            for (const Tableau<double>& tableau : {bosh3(), adaptive_heun(), dopri5()}) {
                cpu::Method how = method(tableau, 1e-3);
                how.controller.min_step = how.controller.max_step = how.first_step = 0.08;
                check_against_differences(kernels, in, how);
            }
            check_continuous_against_discrete(kernels, in);
        }
        check_failures(kernels);
    }
    return finish();
}
