// The step, its vjp, the controller and dense output on their own, as a GPU thread would call them.
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "numerics/controller.hpp"
#include "numerics/dense_output.hpp"
#include "numerics/error_norm.hpp"
#include "numerics/step.hpp"
#include "numerics/step_vjp.hpp"
#include "problems.hpp"

namespace {

namespace numerics = flashode::numerics;
using flashode::testing::hairer;
using flashode::testing::quartic;
using flashode::testing::Tableau;

// dy/dt = t * y0 * y1, cos(y0) + p * y1, keeping the arguments of its evaluations
struct Pendulum {
    double p;
    std::vector<double> t = std::vector<double>(16);
    std::vector<double> y = std::vector<double>(32);
    double grad_p = 0.0;

    void operator()(int stage, double at, const double* state, double* rate) {
        const auto s = static_cast<std::size_t>(stage);
        t[s] = at;
        y[2 * s] = state[0];
        y[2 * s + 1] = state[1];
        rate[0] = at * state[0] * state[1];
        rate[1] = std::cos(state[0]) + p * state[1];
    }

    double vjp(int stage, const double* cotangent, double* grad_y) {
        const auto s = static_cast<std::size_t>(stage);
        const double y0 = y[2 * s];
        const double y1 = y[2 * s + 1];
        grad_y[0] = cotangent[0] * t[s] * y1 - cotangent[1] * std::sin(y0);
        grad_y[1] = cotangent[0] * t[s] * y0 + cotangent[1] * p;
        grad_p += cotangent[1] * y1;
        return cotangent[0] * y0 * y1;
    }
};

// L = w . (y1 + 2 y_mid) after one step from (y0, t0) of size dt
double loss(const Tableau<double>& tableau, double y00, double y01, double t0, double dt, double p) {
    Pendulum field{p};
    const double y0[2] = {y00, y01};
    double k[32];
    double stages[2];
    double y1[2];
    double mid[2];
    field(0, t0, y0, k);
    numerics::step(tableau, field, numerics::step_times(tableau, t0, dt, t0 + dt), 2, y0, k, stages, 0, true,
                   y1);
    numerics::combine(2, y0, dt, tableau.b_mid, tableau.stages, k, mid);
    return 0.7 * (y1[0] + 2 * mid[0]) - 1.3 * (y1[1] + 2 * mid[1]);
}

void step_vjp_matches_finite_differences(const Tableau<double>& tableau) {
    const double y0[2] = {0.4, -0.9};
    const double t0 = 0.3;
    const double dt = 0.2;
    const double p = -0.6;
    Pendulum field{p};
    double k[32];
    double inputs[32];
    double y1[2];
    field(0, t0, y0, k);
    numerics::step(tableau, field, numerics::step_times(tableau, t0, dt, t0 + dt), 2, y0, k, inputs, 2, true,
                   y1);
    const double grad_y1[2] = {0.7, -1.3};
    const double grad_mid[2] = {1.4, -2.6};
    numerics::StepCotangents<double> from;
    from.y1 = grad_y1;
    if (tableau.control == numerics::Control::error) from.y_mid = grad_mid;
    double grad_k[32];
    double grad_stage[2];
    double grad_y0[2];
    auto times = numerics::step_vjp<true>(tableau, field, dt, 2, k, from, grad_k, grad_stage, grad_y0);
    times.start += field.vjp(0, grad_k, grad_stage);
    const double eps = 1e-6;
    const auto close = [](double a, double b) { return std::abs(a - b) < 1e-8; };
    const auto slope = [&](double dy0, double dy1, double ds, double dp) {
        return (loss(tableau, y0[0] + dy0, y0[1] + dy1, t0 + ds, dt, p + dp) -
                loss(tableau, y0[0] - dy0, y0[1] - dy1, t0 - ds, dt, p - dp)) /
               (2 * eps);
    };
    if (tableau.control == numerics::Control::fixed) {  // no midpoint: the loss above has y0 in its place
        grad_y0[0] += grad_mid[0];
        grad_y0[1] += grad_mid[1];
        const double by_dt =
            (loss(tableau, y0[0], y0[1], t0, dt + eps, p) - loss(tableau, y0[0], y0[1], t0, dt - eps, p)) /
            (2 * eps);
        CHECK(close(times.dt, by_dt));
    }
    CHECK(close(grad_y0[0] + grad_stage[0], slope(eps, 0, 0, 0)));
    CHECK(close(grad_y0[1] + grad_stage[1], slope(0, eps, 0, 0)));
    CHECK(close(times.start, slope(0, 0, eps, 0)));
    CHECK(close(field.grad_p, slope(0, 0, 0, eps)));
}

TEST_CASE("controller never accepts what is no number") {
    numerics::Controller controller{0.0, 1.0, 0.9, 10.0, 0.2};
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinity = std::numeric_limits<double>::infinity();
    CHECK(numerics::accept_step(controller, 1.0, 0.1));
    CHECK(!numerics::accept_step(controller, 1.0000001, 0.1));
    CHECK(!numerics::accept_step(controller, nan, 0.1));
    CHECK(!numerics::accept_step(controller, infinity, 0.1));
    controller.min_step = 0.1;
    CHECK(numerics::accept_step(controller, infinity, 0.1));
    CHECK(!numerics::accept_step(controller, nan, 0.1));
    CHECK(numerics::next_step(controller, 0.0, 0.5, 5) == 5.0);
    CHECK(numerics::next_step(controller, nan, 0.5, 5) == 0.1);
    CHECK(numerics::next_step(controller, 1e30, 0.5, 5) == 0.1);
    CHECK(numerics::next_step(controller, 0.99, 0.5, 5) == 0.5);  // never smaller after an accepted step
    CHECK(numerics::clamp_step(controller, 0.01) == 0.1);
    CHECK(numerics::clamp_step(controller, 3.0) == 1.0);
    CHECK(std::isnan(numerics::scaled_square(numerics::Tolerance<double>{1e-3, 1e-3}, nan, 1.0, 1.0)));
}

TEST_CASE("first step follows hairer") {
    // d0 = 2, d1 = 4: h0 = 0.005; d2 = 8, order 5: h1 = (0.01 / 8)^(1/5)
    CHECK(std::abs(numerics::initial_probe(hairer(), 2.0, 4.0) - 0.005) < 1e-15);
    CHECK(numerics::initial_probe(hairer(), 1e-6, 4.0) == 1e-6);
    CHECK(numerics::initial_probe(hairer(), 1.0, std::numeric_limits<double>::infinity()) == 1e-6);
    CHECK(std::abs(numerics::initial_step(hairer(), 0.005, 4.0, 8.0, 5) - std::pow(0.00125, 0.2)) < 1e-15);
    CHECK(numerics::initial_step(hairer(), 1e-6, 4.0, 8.0, 5) == 100.0 * 1e-6);
    CHECK(numerics::initial_step(hairer(), 1e-6, 0.0, 0.0, 5) == 1e-6);
    CHECK(numerics::initial_step(hairer(), 0.005, 4.0, std::numeric_limits<double>::quiet_NaN(), 5) == 0.005);
}

// 0.3 + 2/3 * (0.6 - 0.3) is one half when the product is rounded, and just below it when it is not.
TEST_CASE("stage times are rounded operation by operation") {
    Tableau<double> tableau;
    tableau.stages = 4;
    tableau.c[1] = 1.0 / 3.0;
    tableau.c[2] = 2.0 / 3.0;
    tableau.c[3] = 1.0;
    const double dt = 0.6 - 0.3;
    const auto times = numerics::step_times(tableau, 0.3, dt, 0.75);
    const auto rounded = numerics::step_times(tableau, 0.3, dt, 0.75F);
    CHECK(times.start == 0.3);
    CHECK(times.dt == dt);
    CHECK(times.stages[0] == 0.3);
    CHECK(times.stages[2] == 0.5);
    CHECK(std::fma(tableau.c[2], dt, 0.3) < 0.5);
    CHECK(times.stages[3] == 0.75);
    CHECK(rounded.stages[3] == 0.75F);
    for (int i = 0; i < 3; ++i) CHECK(rounded.stages[i] == static_cast<float>(times.stages[i]));
}

// The quartic reproduces quartics, and its derivative their slopes.
TEST_CASE("dense output is exact for quartics") {
    const auto y = [](double x) { return 1.0 + x * (-2.0 + x * (0.5 + x * (3.0 - 1.5 * x))); };
    const auto dy = [](double x) { return -2.0 + x * (1.0 + x * (9.0 - 6.0 * x)); };
    for (const double x : {0.0, 0.25, 0.5, 0.8, 1.0}) {
        const auto w = numerics::weights_at<double>(quartic(), x);
        const auto d = numerics::weights_derivative_at<double>(quartic(), x);
        const auto sum = [&](const numerics::DenseWeights<double>& v) {
            return v.y0 * y(0) + v.y1 * y(1) + v.y_mid * y(0.5) + v.f0 * dy(0) + v.f1 * dy(1);
        };
        CHECK(std::abs(sum(w) - y(x)) < 1e-14);
        CHECK(std::abs(sum(d) - dy(x)) < 1e-13);
    }
}

TEST_CASE("step vjp matches finite differences") {
    using namespace flashode::testing;
    for (const Tableau<double>& tableau : {rk4(), bosh3(), adaptive_heun(), dopri5()})
        step_vjp_matches_finite_differences(tableau);
}

}  // namespace
