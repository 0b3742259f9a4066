// Prescribed times, cubic output, tolerances by element and norms of the caller's.
#include <algorithm>
#include <cmath>
#include <vector>

#include "check.hpp"
#include "mixed.hpp"
#include "solves.hpp"

namespace {

namespace cpu = flashode::cpu;
using namespace flashode::testing;

// Steps of one size: derivatives by differences need steps that do not depend on the inputs.
cpu::Method steady(const Tableau<double>& tableau, double size) {
    cpu::Method how = method(tableau, 1e-3);
    how.controller.min_step = how.controller.max_step = how.first_step = size;
    return how;
}

// dy/dt = floor(t)
Inputs staircase() {
    Inputs in;
    Builder b(1);
    b.unary(flashode::numerics::UnaryFn::floor, flashode::program::VALUE_T);
    in.program = b.finish();
    in.segments = {1};
    in.batch = 1;
    in.y0 = {0.0};
    in.times = {0.5, 1.75};
    return in;
}

void check_jumps(const cpu::KernelSet& kernels) {
    for (const Tableau<double>& tableau : {bosh3(), adaptive_heun(), dopri5()}) {
        cpu::Method how = method(tableau, 1e-12);
        how.first_step = 0.4;
        how.jump_t = {0.2, 1.0, 2.0};  // those outside are passed over
        const Solution solution = solve(kernels, staircase(), how);
        CHECK(solution.outcome.status == cpu::Status::done);
        CHECK(solution.outcome.rejected == 0);
        CHECK(std::abs(solution.states[1] - 0.75) < 1e-15);
        const std::int64_t stages = tableau.stages;
        CHECK(solution.outcome.evaluations == 2 + solution.outcome.accepted * (stages - 1));
        CHECK(std::count_if(solution.log.steps.begin(), solution.log.steps.end(),
                            [](const cpu::Step& step) { return step.fresh; }) == 1);
        how.step_t = std::move(how.jump_t);
        how.jump_t = {};
        CHECK(solve(kernels, staircase(), how).outcome.rejected > 0);
    }
}

void check_prescribed_times(const cpu::KernelSet& kernels) {
    cpu::Method how = steady(dopri5(), 0.083);
    how.step_t = {0.3, 0.30001, 5.0};
    how.jump_t = {0.166};  // where a step ends anyway
    const Solution solution = solve(kernels, mixed(), how);
    std::vector<double> ends;
    for (const cpu::Step& step : solution.log.steps) ends.push_back(step.end);
    const std::vector<double> first = {0.083, 0.166, 0.249, 0.3, 0.30001};
    for (std::size_t i = 0; i < first.size(); ++i) CHECK(std::abs(ends[i] - first[i]) < 1e-15);
    CHECK(!solution.log.steps[1].stopped);
    CHECK(solution.log.steps[3].stopped);
    CHECK(solution.log.steps[4].stopped);
    CHECK(solution.log.steps[2].fresh);
    CHECK(!solution.log.steps[4].fresh);
}

void check_gradients(const cpu::KernelSet& kernels) {
    for (const double direction : {1.0, -1.0}) {
        const Inputs in = mixed(direction);
        for (const Tableau<double>& tableau : {bosh3(), adaptive_heun(), dopri5()}) {
            cpu::Method how = steady(tableau, 0.083);
            how.step_t = {0.2, 0.61};
            check_against_differences(kernels, in, how);
            how.step_t = {0.38, 0.61};  // an output lies in the step that is shortened
            how.jump_t = {0.45};
            check_against_differences(kernels, in, how);
        }
        check_against_differences(kernels, in, with_cubic(method(rk4(), 0.0)));
    }
}

// Solves on a grid of which only the last point is an output.
struct GridSolve {
    std::vector<double> times;
    std::vector<double> grid;
    cpu::StepLog log;
    Chunks checkpoints;
    std::vector<double> states;
    cpu::Outcome outcome;

    void forward(const cpu::KernelSet& kernels, const Inputs& in, const cpu::Method& how) {
        const cpu::Field field = in.field();
        log = {};
        checkpoints = {};
        states.assign(times.size() * in.state_size(), 0.0);
        cpu::ForwardRequest<double> request;
        request.field = &field;
        request.method = &how;
        request.y0 = in.y0.data();
        request.times = view(times);
        request.grid = view(grid);
        request.states = states.data();
        const cpu::Storage<double> storage = checkpoints.storage();
        request.log = &log;
        request.storage = &storage;
        outcome = kernels.float64.forward(request, never);
    }

    double loss() const {
        const std::vector<double> w = waves(states.size());
        double sum = 0.0;
        for (std::size_t i = 0; i < w.size(); ++i) sum += w[i] * states[i];
        return sum;
    }
};

void check_cubic_output(const cpu::KernelSet& kernels) {
    const Inputs in = mixed();
    const cpu::Method how = with_cubic(method(rk4(), 0.0));
    GridSolve base;
    base.times = {0.0, 0.2, 0.35, 1.1};
    base.grid = {0.0, 0.5, 0.8, 1.1};
    GridSolve run = base;
    run.forward(kernels, in, how);
    CHECK(run.outcome.evaluations == 3 * 4 + 3);
    GridSolve fine = base;
    fine.grid = {0.0, 0.1, 0.2, 0.275, 0.35, 0.6, 0.85, 1.1};
    fine.forward(kernels, in, how);
    GridSolve line = base;
    line.forward(kernels, in, method(rk4(), 0.0));
    double from_cubic = 0.0;
    double from_line = 0.0;
    for (std::size_t i = in.state_size(); i < 3 * in.state_size(); ++i) {
        from_cubic = std::max(from_cubic, std::abs(run.states[i] - fine.states[i]));
        from_line = std::max(from_line, std::abs(line.states[i] - fine.states[i]));
    }
    CHECK(from_cubic < 0.1 * from_line);

    const std::vector<double> w = waves(run.states.size());
    std::vector<double> grad_y0(in.state_size());
    std::vector<double> grad_times(base.times.size());
    std::vector<double> grad_grid(base.grid.size());
    Gradient gradient(in);
    const cpu::Field field = in.field();
    cpu::DiscreteRequest<double> request;
    request.field = &field;
    request.method = &how;
    request.log = &run.log;
    request.checkpoints = run.checkpoints.addresses();
    request.times = view(run.times);
    request.grad_states = w.data();
    request.grad_y0 = grad_y0.data();
    request.grad_times = grad_times.data();
    request.grad_grid = grad_grid.data();
    request.grad_parameters = gradient.pointers();
    kernels.float64.discrete_vjp(request, never);
    const auto difference = [&](std::vector<double> GridSolve::* which, std::size_t i) {
        const double eps = 1e-6;
        GridSolve up = base;
        GridSolve down = base;
        (up.*which)[i] += eps;
        (down.*which)[i] -= eps;
        up.forward(kernels, in, how);
        down.forward(kernels, in, how);
        return (up.loss() - down.loss()) / (2 * eps);
    };
    for (const std::size_t i : {std::size_t{1}, std::size_t{2}}) {
        check_gradient("cubic t", grad_times[i], difference(&GridSolve::times, i), 1e-6);
    }
    for (std::size_t i = 0; i + 1 < base.grid.size(); ++i) {
        check_gradient("cubic grid", grad_grid[i], difference(&GridSolve::grid, i), 1e-6);
    }
}

// At the end of an interval, the only output of an adjoint solve, the cubic is the line; it only costs more.
void check_cubic_adjoint(const cpu::KernelSet& kernels) {
    const Inputs in = mixed();
    cpu::Method how = method(rk4(), 0.0);
    const Gradient line = continuous(kernels, in, how, weights(in));
    const cpu::Method cubic = with_cubic(how);
    const Gradient same_steps = continuous(kernels, in, cubic, weights(in));
    CHECK(same_steps.outcome.evaluations == line.outcome.evaluations + 3);
    for (std::size_t i = 0; i < line.y0.size(); ++i) CHECK(same_steps.y0[i] == line.y0[i]);
    for (std::size_t i = 0; i < line.times.size(); ++i) CHECK(same_steps.times[i] == line.times[i]);
}

// Checkpoints take no more than twice what they need, or 4 KiB; those of known steps exactly that.
void check_chunks(const cpu::KernelSet& kernels) {
    const Inputs in = mixed();
    cpu::Method how = steady(bosh3(), 1e-3);
    how.max_num_steps = 10000;
    const Solution chosen = solve(kernels, in, how);
    const std::size_t steps = chosen.log.steps.size();
    CHECK(steps > 1000);
    CHECK(chosen.log.chunks.size() == chosen.checkpoints.parts.size());
    CHECK(chosen.log.chunks.size() > 2);
    CHECK(chosen.log.chunks.front() == 0);
    std::size_t kept = 0;
    for (const auto& part : chosen.checkpoints.parts) kept += part.size();
    const std::size_t of_step =
        chosen.checkpoints.parts.front().size() / static_cast<std::size_t>(chosen.log.chunks[1]);
    for (const auto& part : chosen.checkpoints.parts) CHECK(part.size() % of_step == 0);
    CHECK(kept >= steps * of_step);
    CHECK(kept <= 2 * steps * of_step + 512);

    const Solution given = solve(kernels, in, method(rk4(), 0.0));
    CHECK(given.checkpoints.parts.size() == 1);
    CHECK(given.log.steps.size() + 1 == in.times.size());
    CHECK(given.checkpoints.parts[0].size() == given.log.steps.size() * of_step);
}

void check_adjoint_jumps(const cpu::KernelSet& kernels) {
    cpu::Method how = method(dopri5(), 1e-11);
    const Inputs in = mixed();
    const Gradient plain = continuous(kernels, in, how, weights(in));
    how.step_t = {-0.9, -0.2};
    how.jump_t = {-0.7};
    const Gradient stopped = continuous(kernels, in, how, weights(in));
    CHECK(stopped.outcome.accepted > plain.outcome.accepted);
    for (std::size_t i = 0; i < plain.y0.size(); ++i)
        check_gradient("adjoint with jumps", stopped.y0[i], plain.y0[i], 1e-7);
}

void check_tolerances(const cpu::KernelSet& kernels) {
    Inputs in = mixed();
    const cpu::Method how = method(dopri5(), 1e-6);
    const Solution plain = solve(kernels, in, how);
    std::vector<double> rtol(in.state_size(), 1e-6);
    std::vector<double> atol(in.state_size(), 1e-6);
    cpu::Measure<double> measure;
    measure.rtol = rtol.data();
    measure.atol = atol.data();
    in.measure = &measure;
    const Solution same = solve(kernels, in, how);
    CHECK(same.outcome.evaluations == plain.outcome.evaluations);
    for (std::size_t i = 0; i < plain.states.size(); ++i) CHECK(same.states[i] == plain.states[i]);

    std::vector<double> scaled(in.state_size());
    int calls = 0;
    for (std::size_t i = 0; i < atol.size(); ++i) atol[i] = 1e-6 * static_cast<double>(i + 1);
    const Solution loose = solve(kernels, in, how);
    CHECK(loose.outcome.accepted < plain.outcome.accepted);
    measure.scaled = scaled.data();
    measure.norm = [&] {
        double sum = 0.0;
        for (std::size_t i = 0; i < scaled.size(); ++i) {
            sum += scaled[i] * scaled[i];
            const double tolerance = atol[i] + rtol[i] * std::abs(in.y0[i]);
            if (calls == 0) CHECK(std::abs(scaled[i] * tolerance - in.y0[i]) < 1e-14);  // the state's own
        }
        ++calls;
        return -std::sqrt(sum / static_cast<double>(scaled.size()));
    };
    const Solution called = solve(kernels, in, how);
    CHECK(calls == 3 + called.outcome.accepted + called.outcome.rejected);
    CHECK(called.outcome.accepted == loose.outcome.accepted);
    for (std::size_t i = 0; i < loose.states.size(); ++i)
        CHECK(std::abs(called.states[i] - loose.states[i]) < 1e-12);
    measure.atol = nullptr;  // the method's
    measure.norm = nullptr;
    CHECK(solve(kernels, in, how).outcome.evaluations == plain.outcome.evaluations);
}

TEST_CASE("jumps") { on_every_instruction_set(check_jumps); }

TEST_CASE("prescribed times") { on_every_instruction_set(check_prescribed_times); }

TEST_CASE("gradients") { on_every_instruction_set(check_gradients); }

TEST_CASE("cubic output") { on_every_instruction_set(check_cubic_output); }

TEST_CASE("cubic adjoint") { on_every_instruction_set(check_cubic_adjoint); }

TEST_CASE("adjoint jumps") { on_every_instruction_set(check_adjoint_jumps); }

TEST_CASE("chunks of checkpoints") { on_every_instruction_set(check_chunks); }

TEST_CASE("tolerances") { on_every_instruction_set(check_tolerances); }

}  // namespace
