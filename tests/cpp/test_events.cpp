// Solves that find their own output times: until an event, and at nodes of every step.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "mixed.hpp"
#include "solves.hpp"

namespace {

namespace cpu = flashode::cpu;
using namespace flashode::testing;

constexpr double GRAVITY = 9.8;

// A stone that falls from rest: height and speed upwards.
Inputs stone(double direction) {
    Inputs in;
    Builder b(2);
    const int pull = b.constant({-GRAVITY * direction});
    const int speed = b.gather({flashode::program::VALUE_Y}, {1});
    const int moves = b.binary(flashode::numerics::BinaryFn::mul, speed, b.constant({direction}));
    b.gather({moves, pull}, {0, 1});
    in.program = b.finish();
    in.segments = {2};
    in.batch = 1;
    in.y0 = {10.0, 0.0};
    in.times = {0.5};
    in.direction = direction;
    return in;
}

// The height, as a program gives it.
struct Height {
    flashode::program::Program program;
    cpu::Field field;
    cpu::Event<double> event;

    explicit Height(double direction) {
        Builder b(2);
        b.gather({flashode::program::VALUE_Y}, {0, 0});
        program = b.finish();
        field.program = &program;
        field.segments = {{0, 2}};
        field.batch = 1;
        field.direction = direction;
        event.field = &field;
    }
};

void check_fall(const cpu::KernelSet& kernels, double direction) {
    const double lands = std::sqrt(2 * 10.0 / GRAVITY);
    const Height height(direction);
    Inputs in = stone(direction);
    in.event = &height.event;
    in.step_size = 0.1;
    const cpu::Method cubic = with_cubic(method(rk4(), 1e-9));
    for (const cpu::Method& how : {method(dopri5(), 1e-9), cubic}) {
        const Solution solution = solve(kernels, in, how);
        CHECK(solution.outcome.status == cpu::Status::done);
        CHECK(solution.outcome.times_reached == 2);
        CHECK(std::abs(solution.outcome.event_t - (0.5 + lands)) < 1e-9);
        CHECK(std::abs(solution.states[2]) < 1e-7);
        CHECK(std::abs(solution.states[3] + GRAVITY * lands) < 1e-7);
        CHECK(solution.log.step_of_time.back() + 1 == std::ssize(solution.log.steps));
    }
    const Solution by_grid = solve(kernels, in, cubic);
    CHECK(by_grid.outcome.accepted == 15);
    CHECK(by_grid.outcome.evaluations == 15 * 4 + 1);
    const Solution line = solve(kernels, in, method(rk4(), 1e-9));
    CHECK(line.outcome.evaluations == 15 * 4);
    CHECK(std::abs(line.states[2]) < 1e-7);
    CHECK(std::abs(line.outcome.event_t - by_grid.outcome.event_t) > 1e-4);

    // Asked of a function instead.
    std::vector<double> state(2);
    int calls = 0;
    cpu::Event<double> asked;
    asked.state = state.data();
    asked.value = [&](double) {
        ++calls;
        return state[0];
    };
    in.event = &asked;
    const Solution same = solve(kernels, in, cubic);
    CHECK(same.outcome.event_t == by_grid.outcome.event_t);
    CHECK(same.states == by_grid.states);
    const double halvings = std::ceil(std::log2(0.1 / 1e-9));
    CHECK(calls == 1 + 15 + static_cast<int>(halvings));
}

void check_ends(const cpu::KernelSet& kernels) {
    const Height height(1.0);
    Inputs in = stone(1.0);
    in.event = &height.event;
    in.step_size = 1e-5;
    cpu::Method equal_steps = method(rk4(), 1e-9);
    equal_steps.max_num_steps = 20000;
    CHECK(solve(kernels, in, equal_steps).outcome.status == cpu::Status::too_many_steps);
    cpu::Method how = method(dopri5(), 1e-9);
    how.max_num_steps = 2;
    how.controller.max_step = 0.1;
    CHECK(solve(kernels, in, how).outcome.status == cpu::Status::too_many_steps);

    in.y0[0] = 0.0;  // it lies on the ground
    for (const cpu::Method& method : {method(dopri5(), 1e-9), method(rk4(), 1e-9)}) {
        const Solution lying = solve(kernels, in, method);
        CHECK(lying.outcome.status == cpu::Status::done);
        CHECK(lying.outcome.event_t == 0.5);
        CHECK(lying.outcome.accepted == 0);
        CHECK(lying.states == std::vector<double>({0.0, 0.0, 0.0, 0.0}));
        const Gradient gradient = discrete(kernels, in, method, {1.0, 2.0, 3.0, 4.0});
        CHECK(gradient.y0 == std::vector<double>({4.0, 6.0}));
        CHECK(gradient.start == 0.0);
    }

    std::vector<double> state(2);
    cpu::Event<double> undefined;
    undefined.state = state.data();
    undefined.value = [&](double t) { return t > 0.7 ? std::numeric_limits<double>::quiet_NaN() : 1.0; };
    in.y0[0] = 10.0;
    in.event = &undefined;
    in.step_size = 0.125;
    const cpu::Outcome outcome = solve(kernels, in, method(rk4(), 1e-9)).outcome;
    CHECK(outcome.status == cpu::Status::nonfinite_event);
    CHECK(outcome.t == 0.75);
}

// An event in time alone: differences leave it where it is, as the discrete adjoint does.
void check_gradients(const cpu::KernelSet& kernels, const cpu::Method& how, bool every_step) {
    Inputs in = mixed();
    std::vector<double> state(in.state_size());
    cpu::Event<double> clock;
    clock.state = state.data();
    clock.value = [](double t) { return 0.95 - t; };
    if (every_step) {
        in.every_step = true;
        in.times = {0.0, 0.3, 0.8, 0.95};
    } else {
        in.times = {0.0};
        in.event = &clock;
        in.step_size = 0.0831;
    }
    const Solution solution = solve(kernels, in, how);
    CHECK(solution.outcome.status == cpu::Status::done);
    const Gradient gradient = discrete(kernels, in, how, waves(solution.states.size()));
    const auto difference = [&](auto change) {
        return central_difference([&](const Inputs& x) { return loss(kernels, x, how); }, in, change);
    };
    const auto shift = [](Inputs& x, double e) {
        for (double& t : x.times) t += e;
    };
    check_gradient("y0", gradient.y0[4], difference([](Inputs& x, double e) { x.y0[4] += e; }), 1e-7);
    check_gradient("parameter", gradient.parameters[0][3],
                   difference([](Inputs& x, double e) { x.parameters[0][3] += e; }), 1e-7);
    check_gradient("start", gradient.start, difference(shift), 1e-6);
}

void check_gradients(const cpu::KernelSet& kernels) {
    for (const bool every_step : {false, true}) {
        for (const Tableau<double>& tableau : {adaptive_heun(), dopri5()}) {
            cpu::Method how = method(tableau, 1e-3);
            how.atol = 1e-15;
            how.controller.min_step = how.controller.max_step = how.first_step = 0.083;
            check_gradients(kernels, how, every_step);
            how.step_t = {0.61};
            check_gradients(kernels, how, every_step);
            how.step_t = {0.92};  // the step of the event is shortened
            check_gradients(kernels, how, every_step);
        }
        const cpu::Method how = method(rk4(), 1e-15);
        check_gradients(kernels, how, every_step);
        check_gradients(kernels, with_cubic(how), every_step);
    }
}

void check_nodes(const cpu::KernelSet& kernels) {
    Inputs in = mixed();
    const std::vector<double> given = in.times;
    const Solution outputs = solve(kernels, in, method(dopri5(), 1e-5));
    in.every_step = true;
    const Solution nodes = solve(kernels, in, method(dopri5(), 1e-5));
    CHECK(nodes.outcome.evaluations == outputs.outcome.evaluations);
    CHECK(nodes.times.size() == 1 + 4 * outputs.log.steps.size());
    CHECK(std::is_sorted(nodes.times.begin(), nodes.times.end()));
    CHECK(nodes.times.back() >= given.back());
    CHECK(nodes.times[4] == nodes.log.steps[0].end);
    CHECK(nodes.states.size() == nodes.times.size() * in.state_size());
    // The same quartic as the outputs are on: asked for its own nodes, a solve gives them back.
    Inputs again = mixed();
    again.times = nodes.times;
    const Solution asked = solve(kernels, again, method(dopri5(), 1e-5));
    for (std::size_t i = 0; i < asked.states.size(); ++i)
        CHECK(std::abs(asked.states[i] - nodes.states[i]) < 1e-13);
    const Solution line = solve(kernels, in, method(rk4(), 0.0));
    CHECK(line.times == given);
    const cpu::Method cubic = with_cubic(method(rk4(), 0.0));
    CHECK(solve(kernels, in, cubic).times.size() == 1 + 3 * 3);
}

TEST_CASE("a fall") {
    on_every_instruction_set([](const cpu::KernelSet& kernels) {
        for (const double direction : {1.0, -1.0}) check_fall(kernels, direction);
    });
}

TEST_CASE("ends of a solve") { on_every_instruction_set(check_ends); }

TEST_CASE("gradients") {
    on_every_instruction_set([](const cpu::KernelSet& kernels) { check_gradients(kernels); });
}

TEST_CASE("outputs in every step") { on_every_instruction_set(check_nodes); }

}  // namespace
