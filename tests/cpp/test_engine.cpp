// Whole solves and their two reverse passes, on every instruction set that this machine has.
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "mixed.hpp"
#include "solves.hpp"

namespace {

namespace cpu = flashode::cpu;
using namespace flashode::testing;

void check_continuous_against_discrete(const cpu::KernelSet& kernels, const Inputs& in) {
    const cpu::Method how = method(dopri5(), 1e-11);
    const Gradient a = continuous(kernels, in, how, weights(in));
    const Gradient b = discrete(kernels, in, how, weights(in));
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
    Inputs in = mixed();
    cpu::Method how = method(bosh3(), 1e-10);
    how.max_num_steps = 3;
    CHECK(solve(kernels, in, how).outcome.status == cpu::Status::too_many_steps);
    how = method(bosh3(), 1e-6);
    in.y0[4 * WIDTH + 1] = std::nan("");
    const cpu::Outcome bad_state = solve(kernels, in, how).outcome;
    CHECK(bad_state.status == cpu::Status::nonfinite_state);
    CHECK(bad_state.trajectory == 4);
    in = mixed();
    in.parameters[3][0] = std::nan("");
    const cpu::Outcome bad_field = solve(kernels, in, how).outcome;
    CHECK(bad_field.status == cpu::Status::nonfinite_field);
    CHECK(bad_field.trajectory == 0);
    CHECK(bad_field.times_reached == 1);
}

// dy/dt = y + floor(sqrt(y)) from y = 0, where the slope of the root is infinite: zero times it is no number.
void check_flat_functions_pass_nothing(const cpu::KernelSet& kernels) {
    Builder b(1);
    const int steps = b.unary(flashode::numerics::UnaryFn::floor,
                              b.unary(flashode::numerics::UnaryFn::sqrt, flashode::program::VALUE_Y));
    b.binary(flashode::numerics::BinaryFn::add, flashode::program::VALUE_Y, steps);
    Inputs in;
    in.program = b.finish();
    in.segments = {1};
    in.batch = 1;
    in.y0 = {0.0};
    in.times = {0.0, 0.5};
    for (const double start : {0.0, 1.2}) {
        in.y0 = {start};
        // One step of rk4: its growth is the Taylor polynomial of the exponential.
        const double growth = 1 + 0.5 + 0.125 + 0.125 / 6 + 0.0625 / 24;
        const double steps_added = std::floor(std::sqrt(start)) * (growth - 1);
        CHECK(std::abs(solve(kernels, in, method(rk4(), 0.0)).states[1] - (start * growth + steps_added)) <
              1e-12);
        CHECK(std::abs(discrete(kernels, in, method(rk4(), 0.0), {0.0, 1.0}).y0[0] - growth) < 1e-14);
        CHECK(std::abs(continuous(kernels, in, method(rk4(), 0.0), {0.0, 1.0}).y0[0] - growth) < 1e-14);
    }
}

// dy/dt = -y by one step of rk4: forwards and back multiply by the Taylor polynomial of the exponential.
void check_miss(const cpu::KernelSet& kernels) {
    Builder b(1);
    b.unary(flashode::numerics::UnaryFn::neg, flashode::program::VALUE_Y);
    Inputs in;
    in.program = b.finish();
    in.segments = {1};
    in.batch = 3;
    in.y0 = {1.0, -2.0, 0.5};
    in.times = {0.5, 1.5};
    const double decay = 1 - 1 + 0.5 - 0.5 / 3 + 0.125 / 3;
    const double growth = 1 + 1 + 0.5 + 0.5 / 3 + 0.125 / 3;
    const std::vector<double> cotangents(6, 1.0);
    const cpu::Outcome outcome = continuous(kernels, in, method(rk4(), 0.0), cotangents).outcome;
    CHECK(std::abs(outcome.miss - 2 * std::abs(decay * growth - 1)) < 1e-14);
    CHECK(outcome.miss_t == 0.5);
    CHECK(outcome.size == 2.0);
    CHECK(continuous(kernels, mixed(), method(dopri5(), 1e-11), weights(mixed())).outcome.miss < 1e-8);
}

// dy/dt = V tanh(W y) with V the transpose of W: the gradient of both is the sum of what each has alone.
void check_transposes(const cpu::KernelSet& kernels) {
    constexpr int HIDDEN = 2;
    Builder b(WIDTH, {HIDDEN * WIDTH, WIDTH * HIDDEN});
    const int hidden = b.dense(flashode::program::VALUE_Y, HIDDEN, 0, -1);
    b.dense(b.unary(flashode::numerics::UnaryFn::tanh, hidden), WIDTH, 1, -1);
    Inputs in = mixed();
    in.program = b.finish();
    in.parameters = {waves(HIDDEN * WIDTH), std::vector<double>(WIDTH * HIDDEN)};
    const auto transposed = [](int e) { return static_cast<std::size_t>(e % WIDTH * HIDDEN + e / WIDTH); };
    for (int e = 0; e < HIDDEN * WIDTH; ++e)
        in.parameters[1][transposed(e)] = in.parameters[0][static_cast<std::size_t>(e)];
    cpu::Method how = method(dopri5(), 1e-3);
    how.controller.min_step = how.controller.max_step = how.first_step = 0.083;
    const Gradient apart = continuous(kernels, in, how, weights(in));
    in.transposes = {{1, 0, HIDDEN, WIDTH}};
    const Gradient joined = continuous(kernels, in, how, weights(in));
    for (int e = 0; e < HIDDEN * WIDTH; ++e) {
        const auto at = static_cast<std::size_t>(e);
        const double sum = apart.parameters[0][at] + apart.parameters[1][transposed(e)];
        check_gradient("joined", joined.parameters[0][at], sum, 1e-12);
        CHECK(joined.parameters[1][at] == 0.0);
    }
}

TEST_CASE("gradients are those of differences") {
    on_every_instruction_set([](const cpu::KernelSet& kernels) {
        for (const double direction : {1.0, -1.0}) {
            const Inputs in = mixed(direction);
            check_against_differences(kernels, in, method(rk4(), 0.0));
            for (const Tableau<double>& tableau : {bosh3(), adaptive_heun(), dopri5()}) {
                cpu::Method how = method(tableau, 1e-3);
                // No output time is a multiple: dense output has a kink in its slope there.
                how.controller.min_step = how.controller.max_step = how.first_step = 0.083;
                check_against_differences(kernels, in, how);
            }
            check_continuous_against_discrete(kernels, in);
        }
    });
}

TEST_CASE("failures") { on_every_instruction_set(check_failures); }

TEST_CASE("flat functions pass nothing") { on_every_instruction_set(check_flat_functions_pass_nothing); }

TEST_CASE("transposes") { on_every_instruction_set(check_transposes); }

TEST_CASE("how far the way back misses") { on_every_instruction_set(check_miss); }

}  // namespace
