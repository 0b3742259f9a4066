// Methods and fields that the tests of the engine share.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "cpu/engine.hpp"

namespace flashode::testing {

using numerics::Tableau;

inline void set(double* to, std::initializer_list<double> values) {
    for (const double value : values) *to++ = value;
}

// The 3/8 rule.
inline Tableau<double> rk4() {
    Tableau<double> t;
    t.stages = t.order = 4;
    set(t.a[1], {1.0 / 3});
    set(t.a[2], {-1.0 / 3, 1.0});
    set(t.a[3], {1.0, -1.0, 1.0});
    set(t.b, {0.125, 0.375, 0.375, 0.125});
    set(t.c, {0.0, 1.0 / 3, 2.0 / 3, 1.0});
    return t;
}

// Bogacki and Shampine's 3(2): the last stage is the first of the next step.
inline Tableau<double> bosh3() {
    Tableau<double> t;
    t.stages = 4;
    t.order = 3;
    t.adaptive = t.fsal = true;
    set(t.a[1], {0.5});
    set(t.a[2], {0.0, 0.75});
    set(t.a[3], {2.0 / 9, 1.0 / 3, 4.0 / 9});
    set(t.b, {2.0 / 9, 1.0 / 3, 4.0 / 9, 0.0});
    set(t.c, {0.0, 0.5, 0.75, 1.0});
    set(t.b_error, {2.0 / 9 - 7.0 / 24, 1.0 / 3 - 0.25, 4.0 / 9 - 1.0 / 3, -0.125});
    set(t.b_mid, {0.0, 0.5, 0.0, 0.0});
    return t;
}

// Dormand and Prince's 5(4) with Shampine's midpoint: dense output accurate enough to differentiate.
inline Tableau<double> dopri5() {
    Tableau<double> t;
    t.stages = 7;
    t.order = 5;
    t.adaptive = t.fsal = true;
    set(t.a[1], {1.0 / 5});
    set(t.a[2], {3.0 / 40, 9.0 / 40});
    set(t.a[3], {44.0 / 45, -56.0 / 15, 32.0 / 9});
    set(t.a[4], {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729});
    set(t.a[5], {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656});
    set(t.a[6], {35.0 / 384, 0.0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84});
    set(t.b, {35.0 / 384, 0.0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84, 0.0});
    set(t.c, {0.0, 0.2, 0.3, 0.8, 8.0 / 9, 1.0, 1.0});
    set(t.b_error, {71.0 / 57600, 0.0, -71.0 / 16695, 71.0 / 1920, -17253.0 / 339200, 22.0 / 525, -1.0 / 40});
    set(t.b_mid, {6025192743.0 / 30085553152.0 / 2, 0.0, 51252292925.0 / 65400821598.0 / 2,
                  -2691868925.0 / 45128329728.0 / 2, 187940372067.0 / 1594534317056.0 / 2,
                  -1776094331.0 / 19743644256.0 / 2, 11237099.0 / 235043384.0 / 2});
    return t;
}

// Heun's 2(1): its last stage is reused though it is evaluated beside the solution.
inline Tableau<double> adaptive_heun() {
    Tableau<double> t;
    t.stages = t.order = 2;
    t.adaptive = true;
    set(t.a[1], {1.0});
    set(t.b, {0.5, 0.5});
    set(t.c, {0.0, 1.0});
    set(t.b_error, {0.5, -0.5});
    set(t.b_mid, {0.5, 0.0});
    return t;
}

inline cpu::Method method(const Tableau<double>& tableau, double tolerance) {
    cpu::Method made;
    made.tableau = tableau;
    made.controller.max_step = 1e300;
    made.max_num_steps = 1'000'000;
    made.rtol = made.atol = tolerance;
    return made;
}

// dy/dt = W2 tanh(W1 y + b1) + sin(t) * y * scale, with every kind of operation in it; width 3, hidden 5.
//   parameters: W1 (5, 3), b1 (5), W2 (3, 5), scale (1)
inline program::Program mixed_program() {
    using program::Op;
    using program::OpKind;
    program::Program p;
    p.widths = {1, 3, 5, 5, 3, 1, 3, 1, 3, 3, 1, 3, 3, 3};
    p.parameter_sizes = {15, 5, 15, 1};
    const auto add = [&](OpKind kind, int out, std::vector<int> inputs) -> Op& {
        Op& op = p.ops.emplace_back();
        op.kind = kind;
        op.out = out;
        op.inputs = std::move(inputs);
        return op;
    };
    const auto dense = [&](int out, int x, int weight, int bias, int in, int to) {
        Op& op = add(OpKind::dense, out, {x});
        op.parameter = weight;
        op.bias = bias;
        op.features_in = in;
        op.features_out = to;
    };
    dense(2, 1, 0, 1, 3, 5);
    add(OpKind::unary, 3, {2}).unary = numerics::UnaryFn::tanh;
    dense(4, 3, 2, -1, 5, 3);
    add(OpKind::unary, 5, {0}).unary = numerics::UnaryFn::sin;
    add(OpKind::gather, 6, {5}).index = {0, 0, 0};
    add(OpKind::parameter, 7, {}).parameter = 3;
    add(OpKind::gather, 8, {7, 5}).index = {0, 0, 0};
    add(OpKind::binary, 9, {6, 1}).binary = numerics::BinaryFn::mul;
    add(OpKind::segment_sum, 10, {9}).index = {0, 0, 0};
    add(OpKind::gather, 11, {10, 9}).index = {0, 2, 3};
    add(OpKind::binary, 12, {11, 8}).binary = numerics::BinaryFn::mul;
    add(OpKind::binary, 13, {4, 12}).binary = numerics::BinaryFn::add;
    p.output = 13;
    return p;
}

}  // namespace flashode::testing
