// A solve that depends on everything a solve can depend on, and its derivatives by differences.
#pragma once

#include <cmath>
#include <cstdio>
#include <vector>

#include "check.hpp"
#include "solves.hpp"

namespace flashode::testing {

inline constexpr int WIDTH = 3;
inline constexpr int BATCH = 13;  // a multiple of no number of lanes

inline Inputs mixed(double direction = 1.0) {
    Inputs in;
    in.program = mixed_program();
    in.segments = {WIDTH};
    in.batch = BATCH;
    in.direction = direction;
    in.times = {0.0, 0.35, 0.4, 1.1};
    in.y0.resize(BATCH * WIDTH);
    in.parameters = {std::vector<double>(15), std::vector<double>(5), std::vector<double>(15), {0.8}};
    double phase = 0.0;
    const auto fill = [&](std::vector<double>& values, double size) {
        for (double& value : values) value = size * std::sin(phase += 1.7);
    };
    fill(in.y0, 1.0);
    for (std::size_t p = 0; p < 3; ++p) fill(in.parameters[p], 0.6);
    return in;
}

inline std::vector<double> weights(const Inputs& in) { return waves(in.times.size() * in.state_size()); }

// Of as many outputs as a solve finds.
inline double weighted_sum(const Solution& solution) {
    const std::vector<double> w = waves(solution.states.size());
    double sum = 0.0;
    for (std::size_t i = 0; i < w.size(); ++i) sum += w[i] * solution.states[i];
    return sum;
}

inline double loss(const cpu::KernelSet& kernels, const Inputs& in, const cpu::Method& how) {
    return weighted_sum(solve(kernels, in, how));
}

inline void check_gradient(const char* what, double got, double wanted, double tolerance) {
    CHECK_MESSAGE(std::abs(got - wanted) <= tolerance * (1.0 + std::abs(wanted)), what, ": ", got,
                  ", wanted ", wanted);
}

template <class Loss, class Change>
double central_difference(const Loss& loss, const Inputs& in, Change change) {
    const double eps = 1e-6;
    Inputs up = in;
    Inputs down = in;
    change(up, eps);
    change(down, -eps);
    return (loss(up) - loss(down)) / (2 * eps);
}

// Central differences of the discrete solve. With min_step == max_step the steps do not depend on the inputs,
// which is what "step sizes are constants of differentiation" means.
inline void check_against_differences(const cpu::KernelSet& kernels, const Inputs& in,
                                      const cpu::Method& how) {
    const Gradient gradient = discrete(kernels, in, how, weights(in));
    const auto difference = [&](auto change) {
        return central_difference([&](const Inputs& x) { return loss(kernels, x, how); }, in, change);
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

}  // namespace flashode::testing
