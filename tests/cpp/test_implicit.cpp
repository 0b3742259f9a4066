// Implicit methods: the factors that Newton's method divides by, and whole solves on every instruction set.
#include <algorithm>
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

// Methods that estimate their error. Hosea and Shampine's TR-BDF2, whose last stage is the first of the next
// step, with an error estimate of third order ...
Tableau<double> trbdf2() {
    const double g = 2.0 - std::sqrt(2.0);
    const double d = g / 2;
    const double w = std::sqrt(2.0) / 4;
    Tableau<double> t = implicit(3, 2, {{0.0, 0.0, 0.0}, {d, d, 0.0}, {w, w, d}}, {w, w, d}, {0.0, g, 1.0});
    chooses_steps(t);
    t.fsal = true;
    set(t.b_error, {w - (1 - w) / 3, w - (3 * w + 1) / 3, d - d / 3});
    set(t.b_mid, {0.25, 0.15, 0.1});
    return t;
}
// ... Alexander's second-order method, which evaluates nothing at either end of a step ...
Tableau<double> embedded_sdirk2() {
    Tableau<double> t = sdirk2();
    t.control = numerics::Control::error;
    set(t.b_error, {-t.a[0][0], t.a[0][0]});
    set(t.b_mid, {0.3, 0.2});
    return t;
}
// ... and one whose stages are coupled.
Tableau<double> embedded_radau3() {
    Tableau<double> t = radau3();
    t.control = numerics::Control::error;
    set(t.b_error, {-0.25, 0.25});
    set(t.b_mid, {0.4, 0.1});
    return t;
}

cpu::Method adaptive(const Tableau<double>& tableau, double tolerance) {
    cpu::Method how = newton(tableau);
    how.rtol = how.atol = tolerance;
    return how;
}

cpu::Method of_equal_steps(const Tableau<double>& tableau, double size) {
    cpu::Method how = adaptive(tableau, 1.0);
    how.first_step = how.controller.min_step = how.controller.max_step = size;
    return how;
}

double largest_difference(const Solution& a, const Solution& b) {
    double largest = 0.0;
    for (std::size_t i = 0; i < a.states.size(); ++i) {
        largest = std::max(largest, std::abs(a.states[i] - b.states[i]));
    }
    return largest;
}

void check_order(const cpu::KernelSet& kernels) {
    const Inputs in = mixed();
    const Solution exact = solve(kernels, in, method(dopri5(), 1e-12));
    for (const Tableau<double>& tableau : {trbdf2(), embedded_sdirk2(), embedded_radau3()}) {
        const auto error = [&](double size) {
            const Solution found = solve(kernels, in, with_cubic(of_equal_steps(tableau, size)));
            CHECK(found.outcome.status == cpu::Status::done);
            CHECK(found.outcome.unconverged == 0);
            return largest_difference(found, exact);
        };
        CHECK(std::abs(std::log2(error(0.02) / error(0.01)) - tableau.order) < 0.15);
    }
}

void check_chosen_steps(const cpu::KernelSet& kernels) {
    const Inputs in = mixed();
    const Solution exact = solve(kernels, in, method(dopri5(), 1e-12));
    for (const Tableau<double>& tableau : {trbdf2(), embedded_sdirk2(), embedded_radau3()}) {
        double before = 1.0;
        for (const double tolerance : {1e-3, 1e-5, 1e-7}) {
            const Solution found = solve(kernels, in, with_cubic(adaptive(tableau, tolerance)));
            CHECK(found.outcome.status == cpu::Status::done);
            const double error = largest_difference(found, exact);
            CHECK(error < 20 * std::pow(tolerance, 2.0 / 3));  // of second order, from an estimate of third
            CHECK(error < before / 5);
            before = error;
        }
    }
    // Stability limits an explicit method to hundreds of steps here.
    const Solution found = solve(kernels, stiff(), with_cubic(adaptive(trbdf2(), 1e-3)));
    CHECK(std::abs(found.states[2] - std::sin(0.3)) < 3e-3);
    CHECK(found.outcome.accepted + found.outcome.rejected < 50);
}

// A step whose equations Newton's method does not solve is rejected, for as long as there are smaller ones.
void check_rejections(const cpu::KernelSet& kernels) {
    const Inputs in = mixed();
    cpu::Method how = with_cubic(adaptive(trbdf2(), 1e-2));
    how.first_step = 1.0;
    const Solution easy = solve(kernels, in, how);
    how.newton.max_iterations = 4;
    const Solution found = solve(kernels, in, how);
    CHECK(found.outcome.status == cpu::Status::done);
    CHECK(found.outcome.rejected > easy.outcome.rejected);
    CHECK(found.outcome.unconverged == 0);
    how.newton.max_iterations = 1;
    how.controller.min_step = 0.1;
    const Solution failed = solve(kernels, in, how);
    CHECK(failed.outcome.status == cpu::Status::underflow);
    CHECK(failed.outcome.accepted == 0);
    CHECK(failed.outcome.rejected == 3);  // steps of 1, 0.2 and 0.1
    CHECK(failed.outcome.t == in.times[0]);
}

TEST_CASE("order of methods that estimate their error") { on_every_instruction_set(check_order, false); }

TEST_CASE("steps chosen by an error") { on_every_instruction_set(check_chosen_steps, false); }

TEST_CASE("chosen steps whose equations are not solved") {
    on_every_instruction_set(check_rejections, false);
}

TEST_CASE("gradients of chosen steps are those of differences") {
    on_every_instruction_set(
        [](const cpu::KernelSet& kernels) {
            for (const Tableau<double>& tableau : {trbdf2(), embedded_sdirk2(), embedded_radau3()}) {
                const cpu::Method quartic = of_equal_steps(tableau, 0.06);
                cpu::Method jumping = quartic;
                jumping.jump_t = {0.21, 0.3};
                check_against_differences(kernels, mixed_in_small_steps(1.0), quartic);
                check_against_differences(kernels, mixed_in_small_steps(-1.0), with_cubic(quartic));
                check_against_differences(kernels, mixed_in_small_steps(1.0), jumping);
                check_against_differences(kernels, mixed_in_small_steps(1.0), with_cubic(jumping));
            }
        },
        false);
}

// Both approach the gradient of the solution itself.
TEST_CASE("continuous gradients by chosen steps") {
    on_every_instruction_set(
        [](const cpu::KernelSet& kernels) {
            const Inputs in = mixed();
            const Gradient exact = discrete(kernels, in, method(dopri5(), 1e-12), weights(in));
            for (const Tableau<double>& tableau : {trbdf2(), embedded_sdirk2(), embedded_radau3()}) {
                const Gradient found =
                    continuous(kernels, in, with_cubic(adaptive(tableau, 1e-6)), weights(in));
                for (std::size_t i = 0; i < exact.y0.size(); ++i) {
                    check_gradient("y0", found.y0[i], exact.y0[i], 1e-3);
                }
                for (std::size_t i = 0; i < exact.times.size(); ++i) {
                    check_gradient("t", found.times[i], exact.times[i], 1e-3);
                }
                for (std::size_t p = 0; p < exact.parameters.size(); ++p) {
                    for (std::size_t i = 0; i < exact.parameters[p].size(); ++i) {
                        check_gradient("parameter", found.parameters[p][i], exact.parameters[p][i], 1e-3);
                    }
                }
            }
        },
        false);
}

}  // namespace
