// A state in several segments, and what belongs to trajectories: where their memory lies, and what counts in
// the error norm.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "solves.hpp"

namespace {

namespace cpu = flashode::cpu;
using namespace flashode::testing;
using flashode::numerics::BinaryFn;
using flashode::numerics::UnaryFn;
using flashode::program::VALUE_C;
using flashode::program::VALUE_Y;

constexpr std::int64_t BATCH = 11;  // a multiple of no number of lanes

Inputs with(const flashode::program::Program& program, std::vector<int> segments,
            std::vector<std::vector<double>> parameters) {
    Inputs in;
    in.program = program;
    in.segments = std::move(segments);
    in.parameters = std::move(parameters);
    in.batch = BATCH;
    in.times = {0.0, 0.3, 1.1};
    in.y0 = waves(in.state_size());
    return in;
}

// Steps that no error changes.
cpu::Method equal_steps() {
    cpu::Method how = method(dopri5(), 1e-3);
    how.controller.min_step = how.controller.max_step = how.first_step = 0.08;
    return how;
}

// One state or several, from the memory of segments to (batch, width).
std::vector<double> interleaved(const Inputs& in, const std::vector<double>& states) {
    std::vector<double> whole;
    for (std::size_t at = 0; at < states.size(); at += in.state_size()) {
        for (std::int64_t b = 0; b < in.batch; ++b) {
            const double* block = states.data() + at;
            for (const int rows : in.segments) {
                whole.insert(whole.end(), block + b * rows, block + (b + 1) * rows);
                block += in.batch * rows;
            }
        }
    }
    return whole;
}

// The first segment, of `rows` rows, of states of `width` rows.
std::vector<double> leading(const std::vector<double>& states, int rows, int width) {
    std::vector<double> kept;
    for (auto at = states.begin(); at != states.end(); at += width * BATCH) {
        kept.insert(kept.end(), at, at + rows * BATCH);
    }
    return kept;
}

void check_layout(const cpu::KernelSet& kernels, const cpu::Method& how) {
    const std::vector<std::vector<double>> parameters = {waves(15), waves(5), waves(15), {0.8}};
    const Inputs parts = with(mixed_program(), {1, 2}, parameters);
    Inputs whole = with(mixed_program(), {3}, parameters);
    whole.y0 = interleaved(parts, parts.y0);
    CHECK(whole.y0 != parts.y0);
    const std::vector<double> weights = waves(parts.times.size() * parts.state_size());
    const std::vector<double> same_weights = interleaved(parts, weights);
    CHECK(interleaved(parts, solve(kernels, parts, how).states) == solve(kernels, whole, how).states);
    const auto same = [&](const Gradient& a, const Gradient& b) {
        return interleaved(parts, a.y0) == b.y0 && a.times == b.times && a.parameters == b.parameters;
    };
    CHECK(same(discrete(kernels, parts, how, weights), discrete(kernels, whole, how, same_weights)));
    CHECK(same(continuous(kernels, parts, how, weights), continuous(kernels, whole, how, same_weights)));
}

bool same_steps(const cpu::Outcome& a, const cpu::Outcome& b) {
    return a.status == cpu::Status::done && b.status == cpu::Status::done && a.accepted == b.accepted &&
           a.rejected == b.rejected && a.evaluations == b.evaluations;
}

// dy/dt = -y for one row; a second one that stands still at zero would halve a mean over both.
void check_each_segment_counts_by_itself(const cpu::KernelSet& kernels) {
    Builder one(1);
    one.unary(UnaryFn::neg, VALUE_Y);
    Builder two(2);
    two.unary(UnaryFn::neg, VALUE_Y);
    const Inputs alone = with(one.finish(), {1}, {});
    Inputs beside = with(two.finish(), {1, 1}, {});
    beside.y0 = alone.y0;
    beside.y0.resize(beside.state_size(), 0.0);
    Inputs together = beside;
    together.segments = {2};
    together.y0 = interleaved(beside, beside.y0);
    const cpu::Method how = method(bosh3(), 1e-6);
    const Solution wanted = solve(kernels, alone, how);
    const Solution found = solve(kernels, beside, how);
    CHECK(same_steps(found.outcome, wanted.outcome));
    CHECK(!same_steps(solve(kernels, together, how).outcome, wanted.outcome));
    CHECK(leading(found.states, 1, 2) == wanted.states);
}

// dy/dt = c sin(y) for two rows y; c is a parameter, or belongs to each trajectory, beside a row that nobody
// reads.
flashode::program::Program with_parameter() {
    Builder b(2, {1});
    const int c = b.parameter(0);
    b.binary(BinaryFn::mul, b.gather({c}, {0, 0}), b.unary(UnaryFn::sin, VALUE_Y));
    return b.finish();
}

flashode::program::Program with_context() {
    Builder b(2, {}, 2);
    b.binary(BinaryFn::mul, b.gather({VALUE_C}, {0, 0}), b.unary(UnaryFn::sin, VALUE_Y));
    return b.finish();
}

Inputs of_context(double c, double never_read) {
    Inputs in = with(with_context(), {2}, {});
    for (std::int64_t i = 0; i < BATCH; ++i) in.c.insert(in.c.end(), {c, never_read});
    return in;
}

void check_context(const cpu::KernelSet& kernels, const cpu::Method& how, double never_read) {
    const double c = 1.7;
    const Inputs bound = with(with_parameter(), {2}, {{c}});
    const Inputs own = of_context(c, never_read);
    const Solution wanted = solve(kernels, bound, how);
    const Solution found = solve(kernels, own, how);
    CHECK(same_steps(found.outcome, wanted.outcome));
    CHECK(found.states == wanted.states);
    CHECK(found.checkpoints.parts == wanted.checkpoints.parts);
    const std::vector<double> weights = waves(bound.times.size() * bound.state_size());
    const auto check = [&](const Gradient& a, const Gradient& b) {
        CHECK(a.y0 == b.y0);
        CHECK(a.times == b.times);
        double sum = 0.0;
        for (std::size_t i = 0; i < a.c.size(); i += 2) {
            sum += a.c[i];
            CHECK(a.c[i + 1] == 0.0);
        }
        CHECK(std::abs(sum - b.parameters[0][0]) <= 1e-12 * std::abs(sum));
    };
    check(discrete(kernels, own, how, weights), discrete(kernels, bound, how, weights));
    const Gradient a = continuous(kernels, own, how, weights);
    const Gradient b = continuous(kernels, bound, how, weights, true);
    CHECK(a.outcome.accepted == b.outcome.accepted);
    CHECK(a.outcome.rejected == b.outcome.rejected);
    check(a, b);
}

// The gradient in c can count in the adjoint's norm as a parameter's does: for one trajectory they are the
// same number.
void check_measured_context(const cpu::KernelSet& kernels) {
    Inputs bound = with(with_parameter(), {2}, {{1.7}});
    Inputs own = of_context(1.7, 0.0);
    for (Inputs* in : {&bound, &own}) {
        in->batch = 1;
        in->times = {0.0, 1.1};
        in->y0 = {0.1, 0.2};
    }
    own.c.resize(2);
    const std::vector<double> weights = {0.0, 0.0, 1.0, 40.0};  // the gradient in c is much the larger one
    const cpu::Method how = method(bosh3(), 1e-4);
    const Gradient wanted = continuous(kernels, bound, how, weights);
    const Gradient outside = continuous(kernels, own, how, weights);
    own.measured_c = {{0, 1}};
    const Gradient found = continuous(kernels, own, how, weights);
    CHECK(same_steps(found.outcome, wanted.outcome));
    CHECK(!same_steps(outside.outcome, wanted.outcome));
    CHECK(std::abs(found.c[0] - wanted.parameters[0][0]) <= 1e-12 * std::abs(found.c[0]));
    CHECK(same_steps(continuous(kernels, own, how, weights, true).outcome, outside.outcome));
}

// dy/dt = atan2(c, -1) for a row y: half a turn one way or the other with the sign of a zero c.
flashode::program::Program turning() {
    Builder b(1, {}, 1);
    b.binary(BinaryFn::atan2, VALUE_C, b.constant({-1.0}));
    return b.finish();
}

// Every stage sees c as it is, negative zero too: the last state is t times minus pi, and the adjoint solves
// stand at the same c.
void check_negative_zero(const cpu::KernelSet& kernels, const cpu::Method& how) {
    Inputs in = with(turning(), {1}, {});
    std::fill(in.y0.begin(), in.y0.end(), 0.0);
    in.c.assign(BATCH, -0.0);
    const double slope = -std::acos(-1.0);
    for (const double state : solve(kernels, in, how).states) CHECK(state <= 0.0);
    CHECK(std::abs(solve(kernels, in, how).states.back() - slope * in.times.back()) <= 1e-9);
    const std::vector<double> weights(in.times.size() * in.state_size(), 1.0);
    for (const Gradient& gradient :
         {discrete(kernels, in, how, weights), continuous(kernels, in, how, weights)}) {
        // Each trajectory's loss moves with its own slope at the last time.
        CHECK(std::abs(gradient.times.back() - slope * BATCH) <= 1e-9);
        // d atan2(c, -1)/dc = -1
        CHECK(std::abs(gradient.c.back() + 0.3 + 1.1) <= 1e-9);
    }
}

// A value that is no number is found where it stands: first by the stage of its step, then by segment,
// trajectory and row.
void check_nonfinite(const cpu::KernelSet& kernels) {
    Inputs in = of_context(0.4, 0.0);
    in.y0[2 * 7 + 1] = std::numeric_limits<double>::infinity();
    cpu::Outcome outcome = solve(kernels, in, method(dopri5(), 1e-6)).outcome;
    CHECK(outcome.status == cpu::Status::nonfinite_state);
    CHECK(outcome.trajectory == 7);
    CHECK(outcome.row == 1);
    in = of_context(0.4, 0.0);
    in.c[2 * 4] = std::nan("");
    outcome = solve(kernels, in, method(rk4(), 0.0)).outcome;
    CHECK(outcome.status == cpu::Status::nonfinite_field);
    CHECK(outcome.trajectory == 4);
    CHECK(outcome.row == 0);
    Builder roots(3);
    roots.unary(UnaryFn::sqrt, VALUE_Y);
    in = with(roots.finish(), {1, 2}, {});
    std::fill(in.y0.begin(), in.y0.end(), 1.0);
    in.y0[BATCH + 2 * 9] = -1.0;  // in the second tile
    in.y0[BATCH + 2 * 3 + 1] = -1.0;
    in.y0[10] = -1.0;
    for (const cpu::Method& how : {method(rk4(), 0.0), method(dopri5(), 1e-6)}) {
        outcome = solve(kernels, in, how).outcome;
        CHECK(outcome.status == cpu::Status::nonfinite_field);
        CHECK(outcome.trajectory == 10);
        CHECK(outcome.row == 0);
        Inputs less = in;
        less.y0[10] = 1.0;
        outcome = solve(kernels, less, how).outcome;
        CHECK(outcome.trajectory == 3);
        CHECK(outcome.row == 2);
    }
}

// y' = sqrt(y) * 0 - 1 ends at zero, which two trajectories pass in one step, the second of them in an
// earlier stage.
void check_first_stage(const cpu::KernelSet& kernels) {
    Builder b(1);
    const int none = b.binary(BinaryFn::mul, b.unary(UnaryFn::sqrt, VALUE_Y), b.constant({0.0}));
    b.binary(BinaryFn::add, none, b.constant({-1.0}));
    Inputs in = with(b.finish(), {1}, {});
    std::fill(in.y0.begin(), in.y0.end(), 10.0);
    in.y0[2] = 0.5;
    in.y0[9] = 0.2;
    in.times = {0.0, 0.9};
    cpu::Outcome outcome = solve(kernels, in, method(rk4(), 0.0)).outcome;
    CHECK(outcome.status == cpu::Status::nonfinite_field);
    CHECK(outcome.trajectory == 9);
    CHECK(outcome.t == 0.0);
    cpu::Method how = method(dopri5(), 1e-6);
    how.controller.min_step = how.first_step = 0.9;
    outcome = solve(kernels, in, how).outcome;
    CHECK(outcome.status == cpu::Status::nonfinite_field);
    CHECK(outcome.trajectory == 9);
}

TEST_CASE("layout") {
    on_every_instruction_set([](const cpu::KernelSet& kernels) {
        for (const cpu::Method& how : {method(rk4(), 0.0), equal_steps()}) check_layout(kernels, how);
    });
}

TEST_CASE("each segment counts by itself") { on_every_instruction_set(check_each_segment_counts_by_itself); }

TEST_CASE("outside the norm") {
    on_every_instruction_set([](const cpu::KernelSet& kernels) {
        for (const double never_read : {0.3, std::nan(""), std::numeric_limits<double>::infinity()}) {
            for (const cpu::Method& how : {method(rk4(), 0.0), method(bosh3(), 1e-5), method(dopri5(), 1e-8),
                                           method(adaptive_heun(), 1e-4)}) {
                check_context(kernels, how, never_read);
            }
        }
    });
}

TEST_CASE("judged context") { on_every_instruction_set(check_measured_context); }

TEST_CASE("negative zero") {
    on_every_instruction_set([](const cpu::KernelSet& kernels) {
        for (const cpu::Method& how : {method(rk4(), 0.0), method(bosh3(), 1e-5), method(dopri5(), 1e-8),
                                       method(adaptive_heun(), 1e-4)}) {
            check_negative_zero(kernels, how);
        }
    });
}

TEST_CASE("what is not finite is named") { on_every_instruction_set(check_nonfinite); }

TEST_CASE("first stage") { on_every_instruction_set(check_first_stage); }

}  // namespace
