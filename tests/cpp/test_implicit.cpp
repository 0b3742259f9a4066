// Implicit methods: the factors that Newton's method divides by, and whole solves on every instruction set.
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <vector>

#include "check.hpp"
#include "mixed.hpp"
#include "numerics/newton_matrix.hpp"
#include "solves.hpp"

namespace {

namespace cpu = flashode::cpu;
namespace numerics = flashode::numerics;
using namespace flashode::testing;

Tableau<double> implicit(int stages, int order, std::initializer_list<std::initializer_list<double>> a,
                         std::initializer_list<double> b, std::initializer_list<double> c) {
    Tableau<double> t;
    t.stages = stages;
    t.order = order;
    t.equations = numerics::Equations::diagonal;
    int row = 0;
    for (const auto& entries : a) {
        set(t.a[row], entries);
        for (int j = row + 1; j < stages; ++j) {
            if (t.a[row][j] != 0.0) t.equations = numerics::Equations::full;
        }
        ++row;
    }
    set(t.b, b);
    set(t.c, c);
    return t;
}

// The first has an explicit first stage, the second stages of its own each, the third couples them.
Tableau<double> trapezoid() { return implicit(2, 2, {{0.0, 0.0}, {0.5, 0.5}}, {0.5, 0.5}, {0.0, 1.0}); }
Tableau<double> sdirk2() {
    const double g = 1.0 - std::sqrt(0.5);
    return implicit(2, 2, {{g, 0.0}, {1.0 - g, g}}, {1.0 - g, g}, {g, 1.0});
}
Tableau<double> radau3() {
    return implicit(2, 3, {{5.0 / 12, -1.0 / 12}, {0.75, 0.25}}, {0.75, 0.25}, {1.0 / 3, 1.0});
}

cpu::Method newton(const Tableau<double>& tableau, int iterations = 50) {
    cpu::Method how = method(tableau, 0.0);
    how.newton = {iterations, 4.0, 0.5, 0.1};
    return how;
}

template <int Lanes>
void check_factors(int n) {
    const auto size = static_cast<std::size_t>(n);
    std::vector<double> matrix(size * size * Lanes);
    // Small on the diagonal, so that rows must be swapped, and otherwise in every lane.
    for (std::size_t r = 0; r < size; ++r) {
        for (std::size_t c = 0; c < size; ++c) {
            for (std::size_t l = 0; l < Lanes; ++l) {
                const auto wave = static_cast<double>(1 + r * size + c * (l + 2) + l);
                matrix[(r * size + c) * Lanes + l] = r == c ? 1e-3 : std::sin(wave * wave);
            }
        }
    }
    std::vector<double> factors = matrix;
    std::vector<int> pivots(size * Lanes);
    CHECK(numerics::factor<Lanes>(n, factors.data(), pivots.data()));
    for (const bool transposed : {false, true}) {
        const std::vector<double> right = waves(size * Lanes);
        std::vector<double> x = right;
        if (transposed) {
            numerics::solve_transposed<Lanes>(n, factors.data(), pivots.data(), x.data());
        } else {
            numerics::solve<Lanes>(n, factors.data(), pivots.data(), x.data());
        }
        for (std::size_t r = 0; r < size; ++r) {
            for (std::size_t l = 0; l < Lanes; ++l) {
                double sum = 0.0;
                for (std::size_t c = 0; c < size; ++c) {
                    const std::size_t at = transposed ? c * size + r : r * size + c;
                    sum += matrix[at * Lanes + l] * x[c * Lanes + l];
                }
                CHECK(std::abs(sum - right[r * Lanes + l]) < 1e-10);
            }
        }
    }
}

TEST_CASE("singular matrices") {
    std::vector<double> matrix = {1.0, 2.0, 2.0, 4.0};
    int pivots[2];
    CHECK(!numerics::factor<1>(2, matrix.data(), pivots));
    std::vector<double> undefined = {std::nan(""), 2.0, std::nan(""), 4.0};
    CHECK(!numerics::factor<1>(2, undefined.data(), pivots));
}

// dy/dt = -1000 (y - sin t) from y = 0.
Inputs stiff() {
    Builder b(1);
    const int wave = b.unary(numerics::UnaryFn::sin, flashode::program::VALUE_T);
    const int rate = b.constant({-1000.0});
    b.binary(numerics::BinaryFn::mul, rate,
             b.binary(numerics::BinaryFn::sub, flashode::program::VALUE_Y, wave));
    Inputs in;
    in.program = b.finish();
    in.segments = {1};
    in.batch = 1;
    in.y0 = {0.0};
    in.times = {0.0, 0.1, 0.3};
    return in;
}

void check_linear_problem(const cpu::KernelSet& kernels) {
    const Inputs in = stiff();
    const Tableau<double> euler = implicit(1, 1, {{1.0}}, {1.0}, {1.0});
    const Solution found = solve(kernels, in, newton(euler));
    double y = 0.0;
    for (std::size_t i = 1; i < in.times.size(); ++i) {
        const double step = in.times[i] - in.times[i - 1];
        y = (y + 1000 * step * std::sin(in.times[i])) / (1 + 1000 * step);
        CHECK(std::abs(found.states[i] - y) < 1e-15);
    }
    CHECK(found.outcome.unconverged == 0);
    CHECK(found.outcome.accepted == 2);
    // A step costs the slope at its start, the iteration that solves a linear equation, and one that finds
    // nothing left, or rounding.
    CHECK(found.outcome.evaluations >= 6);
    CHECK(found.outcome.evaluations <= 10);
}

// Over steps whose equations are far from having several solutions, of which Newton's method may find any.
Inputs mixed_in_small_steps(double direction) {
    Inputs in = mixed(direction);
    for (double& t : in.times) t *= 0.25;
    return in;
}

void check_unsolved(const cpu::KernelSet& kernels) {
    const Solution found = solve(kernels, mixed(), newton(radau3(), 1));
    CHECK(found.outcome.status == cpu::Status::done);
    CHECK(found.outcome.unconverged == found.outcome.accepted);
    CHECK(found.outcome.unconverged_t == mixed().times[0]);
}

// Gauss methods preserve the pairing of a variation with its adjoint: on the same steps both are the same.
void check_continuous_gradients(const cpu::KernelSet& kernels) {
    const double r = std::sqrt(3.0) / 6;
    const cpu::Method how =
        newton(implicit(2, 4, {{0.25, 0.25 - r}, {0.25 + r, 0.25}}, {0.5, 0.5}, {0.5 - r, 0.5 + r}));
    const Inputs in = mixed_in_small_steps(1.0);
    const Gradient a = continuous(kernels, in, how, weights(in));
    const Gradient b = discrete(kernels, in, how, weights(in));
    for (std::size_t i = 0; i < a.y0.size(); ++i) check_gradient("adjoint y0", a.y0[i], b.y0[i], 1e-11);
    for (std::size_t p = 0; p < a.parameters.size(); ++p) {
        for (std::size_t i = 0; i < a.parameters[p].size(); ++i) {
            check_gradient("adjoint parameter", a.parameters[p][i], b.parameters[p][i], 1e-11);
        }
    }
}

TEST_CASE("factors") {
    for (const int n : {1, 2, 5, 9}) {
        check_factors<1>(n);
        check_factors<8>(n);
    }
}

TEST_CASE("linear problem") { on_every_instruction_set(check_linear_problem, false); }

TEST_CASE("equations that are not solved") { on_every_instruction_set(check_unsolved, false); }

TEST_CASE("gradients are those of differences") {
    on_every_instruction_set(
        [](const cpu::KernelSet& kernels) {
            for (const Tableau<double>& tableau : {trapezoid(), sdirk2(), radau3()}) {
                check_against_differences(kernels, mixed_in_small_steps(1.0), newton(tableau));
                check_against_differences(kernels, mixed_in_small_steps(-1.0), newton(tableau));
                const cpu::Method cubic = with_cubic(newton(tableau));
                check_against_differences(kernels, mixed_in_small_steps(1.0), cubic);
            }
        },
        false);
}

TEST_CASE("continuous gradients") { on_every_instruction_set(check_continuous_gradients, false); }

}  // namespace
