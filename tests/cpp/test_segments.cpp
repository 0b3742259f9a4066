// A state in several segments: where its memory lies, and what counts in the error norm.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <vector>

#include "check.hpp"
#include "solves.hpp"

namespace {

namespace cpu = flashode::cpu;
using namespace flashode::testing;
using flashode::numerics::BinaryFn;
using flashode::numerics::UnaryFn;
using flashode::program::VALUE_Y;

constexpr std::int64_t BATCH = 11;  // a multiple of no number of lanes

Inputs with(const flashode::program::Program& program, std::vector<cpu::Segment> segments,
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
            for (const cpu::Segment& segment : in.segments) {
                whole.insert(whole.end(), block + b * segment.rows, block + (b + 1) * segment.rows);
                block += in.batch * segment.rows;
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
    const Inputs parts = with(mixed_program(), {{1, true}, {2, true}}, parameters);
    Inputs whole = with(mixed_program(), {{3, true}}, parameters);
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
    const Inputs alone = with(one.finish(), {{1, true}}, {});
    Inputs beside = with(two.finish(), {{1, true}, {1, true}}, {});
    beside.y0 = alone.y0;
    beside.y0.resize(beside.state_size(), 0.0);
    Inputs together = beside;
    together.segments = {{2, true}};
    together.y0 = interleaved(beside, beside.y0);
    const cpu::Method how = method(bosh3(), 1e-6);
    const Solution wanted = solve(kernels, alone, how);
    const Solution found = solve(kernels, beside, how);
    CHECK(same_steps(found.outcome, wanted.outcome));
    CHECK(!same_steps(solve(kernels, together, how).outcome, wanted.outcome));
    CHECK(leading(found.states, 1, 2) == wanted.states);
}

// dy/dt = c sin(y) for two rows y; c is a parameter, or the third row of a state that carries it along,
// beside a row that nobody reads.
flashode::program::Program with_parameter() {
    Builder b(2, {1});
    const int c = b.parameter(0);
    b.binary(BinaryFn::mul, b.gather({c}, {0, 0}), b.unary(UnaryFn::sin, VALUE_Y));
    return b.finish();
}

flashode::program::Program with_carried_row() {
    Builder b(4);
    const int y = b.gather({VALUE_Y}, {0, 1});
    const int c = b.gather({VALUE_Y}, {2, 2});
    const int rate = b.binary(BinaryFn::mul, c, b.unary(UnaryFn::sin, y));
    const int zero = b.constant({0.0});
    b.gather({rate, zero}, {0, 1, 2, 2});
    return b.finish();
}

// States of two rows as states of four, zeros in the others.
std::vector<double> with_zeros(const std::vector<double>& states) {
    std::vector<double> all;
    const auto n = static_cast<std::ptrdiff_t>(BATCH);
    for (auto at = states.begin(); at != states.end(); at += 2 * n) {
        all.insert(all.end(), at, at + 2 * n);
        all.insert(all.end(), static_cast<std::size_t>(2 * n), 0.0);
    }
    return all;
}

void check_outside_the_norm(const cpu::KernelSet& kernels, const cpu::Method& how, double never_read) {
    const double c = 1.7;
    const Inputs bound = with(with_parameter(), {{2, true}}, {{c}});
    Inputs carried = with(with_carried_row(), {{2, true}, {1, false}, {1, false}}, {});
    carried.y0 = bound.y0;
    carried.y0.resize(3 * BATCH, c);
    carried.y0.resize(4 * BATCH, never_read);
    const Solution wanted = solve(kernels, bound, how);
    const Solution found = solve(kernels, carried, how);
    CHECK(same_steps(found.outcome, wanted.outcome));
    CHECK(leading(found.states, 2, 4) == wanted.states);
    for (std::size_t j = 0; j < carried.times.size(); ++j) {
        const auto first = found.states.begin() + static_cast<std::ptrdiff_t>(4 * BATCH * j + 2 * BATCH);
        CHECK(std::all_of(first, first + BATCH, [c](double row) { return row == c; }));
    }
    const std::vector<double> weights = waves(bound.times.size() * bound.state_size());
    const auto check = [&](const Gradient& a, const Gradient& b) {
        CHECK(leading(a.y0, 2, 4) == b.y0);
        CHECK(a.times == b.times);
        const auto first = a.y0.begin() + 2 * BATCH;
        const double sum = std::accumulate(first, first + BATCH, 0.0);
        CHECK(std::abs(sum - b.parameters[0][0]) <= 1e-12 * std::abs(sum));
        CHECK(a.y0.back() == 0.0);
    };
    check(discrete(kernels, carried, how, with_zeros(weights)), discrete(kernels, bound, how, weights));
    const Gradient a = continuous(kernels, carried, how, with_zeros(weights));
    const Gradient b = continuous(kernels, bound, how, weights, true);
    CHECK(a.outcome.accepted == b.outcome.accepted && a.outcome.rejected == b.outcome.rejected);
    check(a, b);
}

// The adjoint of what is carried can count in the norm as a parameter's gradient does: for one trajectory
// they are the same number.
void check_adjoint_like_a_parameter(const cpu::KernelSet& kernels) {
    Inputs bound = with(with_parameter(), {{2, true}}, {{1.7}});
    Inputs carried = with(with_carried_row(), {{2, true}, {1, false}, {1, false}}, {});
    for (Inputs* in : {&bound, &carried}) {
        in->batch = 1;
        in->times = {0.0, 1.1};
    }
    bound.y0 = {0.1, 0.2};
    carried.y0 = {0.1, 0.2, 1.7, 0.0};
    const cpu::Method how = method(bosh3(), 1e-4);
    const auto adjoint = [&](const Inputs& in, std::vector<double> weights, bool seminorm = false) {
        return continuous(kernels, in, how, weights, seminorm);
    };
    // The gradient in c is much the larger one.
    const Gradient wanted = adjoint(bound, {0.0, 0.0, 1.0, 40.0});
    const Gradient outside = adjoint(carried, {0.0, 0.0, 0.0, 0.0, 1.0, 40.0, 0.0, 0.0});
    carried.like_parameters = {false, true, false};
    const Gradient found = adjoint(carried, {0.0, 0.0, 0.0, 0.0, 1.0, 40.0, 0.0, 0.0});
    CHECK(same_steps(found.outcome, wanted.outcome));
    CHECK(!same_steps(outside.outcome, wanted.outcome));
    CHECK(std::abs(found.y0[2] - wanted.parameters[0][0]) <= 1e-12 * std::abs(found.y0[2]));
    CHECK(same_steps(adjoint(carried, {0.0, 0.0, 0.0, 0.0, 1.0, 40.0, 0.0, 0.0}, true).outcome,
                     outside.outcome));
}

// A state that is no number is found in the segment where it stands.
void check_nonfinite(const cpu::KernelSet& kernels) {
    Inputs in = with(with_carried_row(), {{2, true}, {1, false}, {1, false}}, {});
    in.y0[2 * 7 + 1] = std::numeric_limits<double>::infinity();
    cpu::Outcome outcome = solve(kernels, in, method(dopri5(), 1e-6)).outcome;
    CHECK(outcome.status == cpu::Status::nonfinite_state && outcome.trajectory == 7);
    in = with(with_carried_row(), {{2, true}, {1, false}, {1, false}}, {});
    in.y0[2 * BATCH + 4] = std::nan("");
    outcome = solve(kernels, in, method(rk4(), 0.0)).outcome;
    CHECK(outcome.status == cpu::Status::nonfinite_field && outcome.trajectory == 4);
}

}  // namespace

int main() {
    on_every_instruction_set([](const cpu::KernelSet& kernels) {
        for (const cpu::Method& how : {method(rk4(), 0.0), equal_steps()}) check_layout(kernels, how);
        check_each_segment_counts_by_itself(kernels);
        for (const double never_read : {0.3, std::nan(""), std::numeric_limits<double>::infinity()}) {
            for (const cpu::Method& how : {method(rk4(), 0.0), method(bosh3(), 1e-5), method(dopri5(), 1e-8),
                                           method(adaptive_heun(), 1e-4)}) {
                check_outside_the_norm(kernels, how, never_read);
            }
        }
        check_adjoint_like_a_parameter(kernels);
        check_nonfinite(kernels);
    });
    return finish();
}
