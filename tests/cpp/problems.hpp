// Methods and fields that the tests of the engine share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "cpu/engine.hpp"

namespace flashode::testing {

using numerics::Tableau;

inline void set(double* to, std::initializer_list<double> values) {
    for (const double value : values) *to++ = value;
}

inline void chooses_steps(Tableau<double>& t) {
    t.control = numerics::Control::error;
    t.carried = true;
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
    chooses_steps(t);
    t.fsal = true;
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
    chooses_steps(t);
    t.fsal = true;
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
    chooses_steps(t);
    set(t.a[1], {1.0});
    set(t.b, {0.5, 0.5});
    set(t.c, {0.0, 1.0});
    set(t.b_error, {0.5, -0.5});
    set(t.b_mid, {0.5, 0.0});
    return t;
}

inline numerics::FirstStep hairer() { return {0.01, 1e-5, 1e-6, 1e-15, 1e-3, 100.0}; }

inline numerics::InterpolantWeights quartic() {
    return {4,
            {{1, 0, -11, 18, -8}},
            {{0, 0, -5, 14, -8}},
            {{0, 0, 16, -32, 16}},
            {{0, 1, -4, 5, -2}},
            {{0, 0, 1, -3, 2}}};
}

inline cpu::Method method(const Tableau<double>& tableau, double tolerance) {
    cpu::Method made;
    made.tableau = tableau;
    made.controller = {0.0, 1e300, 0.9, 10.0, 0.2};
    made.automatic_first_step = hairer();
    if (tableau.control == numerics::Control::error) {
        made.interpolant = numerics::Interpolant::quartic;
        made.interpolant_weights = quartic();
    } else {
        made.interpolant_weights = {1, {{1, -1}}, {{0, 1}}, {}, {}, {}};
    }
    made.max_num_steps = 1'000'000;
    made.rtol = made.atol = tolerance;
    return made;
}

// The same with Hermite's cubic inside its steps.
inline cpu::Method with_cubic(cpu::Method method) {
    method.interpolant = numerics::Interpolant::cubic;
    method.interpolant_weights.degree = 3;
    return method;
}

// Builds a program operation by operation; each writes the next value.
class Builder {
   public:
    explicit Builder(int width, std::vector<std::int64_t> parameter_sizes = {}, int context_width = 0) {
        program_.widths = {1, width, context_width};
        program_.parameter_sizes = std::move(parameter_sizes);
    }

    program::Op& add(program::OpKind kind, int width, std::vector<int> inputs) {
        program_.widths.push_back(width);
        program::Op& op = program_.ops.emplace_back();
        op.kind = kind;
        op.out = static_cast<int>(program_.widths.size()) - 1;
        op.inputs = std::move(inputs);
        return op;
    }
    int last() const { return program_.ops.back().out; }

    int dense(int x, int width, int weight, int bias) {
        program::Op& op = add(program::OpKind::dense, width, {x});
        op.parameter = weight;
        op.bias = bias;
        op.features_in = program_.widths[static_cast<std::size_t>(x)];
        op.features_out = width;
        return op.out;
    }
    int dense_dynamic(int x, int weight, int width, int blocks, int repeats) {
        program::Op& op = add(program::OpKind::dense_dynamic, width, {x, weight});
        op.blocks = blocks;
        op.repeats = repeats;
        return op.out;
    }
    int unary(numerics::UnaryFn fn, int x) {
        add(program::OpKind::unary, program_.widths[static_cast<std::size_t>(x)], {x}).unary = fn;
        return last();
    }
    int binary(numerics::BinaryFn fn, int a, int b) {
        add(program::OpKind::binary, program_.widths[static_cast<std::size_t>(a)], {a, b}).binary = fn;
        return last();
    }
    int gather(std::vector<int> inputs, std::vector<int> index) {
        add(program::OpKind::gather, static_cast<int>(index.size()), std::move(inputs)).index =
            std::move(index);
        return last();
    }
    int segment_sum(int x, int width, std::vector<int> index) {
        add(program::OpKind::segment_sum, width, {x}).index = std::move(index);
        return last();
    }
    int select(int condition, int a, int b) {
        add(program::OpKind::select, program_.widths[static_cast<std::size_t>(a)], {condition, a, b});
        return last();
    }
    // Among the knots of a value, or of a parameter where that is negative.
    int bucketize(int x, int knots, int parameter, int groups) {
        program::Op& op = add(program::OpKind::bucketize, program_.widths[static_cast<std::size_t>(x)], {x});
        op.blocks = groups;
        return reads(op, knots, parameter);
    }
    int lookup(int index, int table, int parameter, std::vector<int> starts, int stride, int count) {
        program::Op& op = add(program::OpKind::lookup, static_cast<int>(starts.size()), {index});
        op.index = std::move(starts);
        op.stride = stride;
        op.count = count;
        return reads(op, table, parameter);
    }
    int parameter(int index) {
        const auto size = program_.parameter_sizes[static_cast<std::size_t>(index)];
        add(program::OpKind::parameter, static_cast<int>(size), {}).parameter = index;
        return last();
    }
    int constant(std::vector<double> values) {
        add(program::OpKind::constant, static_cast<int>(values.size()), {}).constants = std::move(values);
        return last();
    }

    // The operations so far are the same for all trajectories.
    void share() { program_.shared = static_cast<int>(program_.ops.size()); }

    program::Program finish() {
        program_.output = last();
        program::validate(program_);
        return program_;
    }

   private:
    static int reads(program::Op& op, int value, int parameter) {
        op.parameter = parameter;
        if (value >= 0) op.inputs.push_back(value);
        return op.out;
    }

    program::Program program_;
};

// dy/dt = W2 tanh(W1 y + b1) + sin(t) * y * scale and more, with every kind of operation in it; width 3,
// hidden 5.
//   parameters: W1 (5, 3), b1 (5), W2 (3, 5), scale (1)
inline program::Program mixed_program() {
    using numerics::BinaryFn;
    using numerics::UnaryFn;
    using program::VALUE_T;
    using program::VALUE_Y;
    Builder b(3, {15, 5, 15, 1});
    const int wave = b.unary(UnaryFn::sin, VALUE_T);
    const int waves = b.gather({wave}, {0, 0, 0});
    const int scale = b.parameter(3);
    const int scales = b.gather({scale, wave}, {0, 0, 0});
    b.share();
    const int hidden = b.unary(UnaryFn::tanh, b.dense(VALUE_Y, 5, 0, 1));
    const int network = b.dense(hidden, 3, 2, -1);
    const int product = b.binary(BinaryFn::mul, waves, VALUE_Y);
    const int sum = b.segment_sum(product, 1, {0, 0, 0});
    const int mixture = b.binary(BinaryFn::mul, b.gather({sum, product}, {0, 2, 3}), scales);
    const int static_part = b.binary(BinaryFn::add, network, mixture);
    const int matrix = b.gather({hidden, scales, wave}, {0, 1, 2, 3, 4, 5, 6, 7, 8});
    const int dynamic_part = b.dense_dynamic(VALUE_Y, matrix, 3, 1, 1);
    const int mask = b.constant({2.0, 0.0, -1.0});
    const int sums = b.binary(BinaryFn::add, b.select(mask, dynamic_part, static_part), static_part);
    const int row = b.lookup(b.bucketize(mask, -1, 1, 1), -1, 0, {0, 1, 2}, 2, 6);
    // Beyond all that the matrix may hold, so that no row jumps.
    const int beyond = b.constant({3.0, -3.0, 3.0});
    const int other_row = b.lookup(b.bucketize(beyond, matrix, -1, 3), matrix, -1, {0, 1, 2}, 2, 4);
    b.binary(BinaryFn::add, b.binary(BinaryFn::add, sums, row), other_row);
    return b.finish();
}

}  // namespace flashode::testing
