// Executing a tape over one tile: every value forward, every gradient in reverse.
#pragma once

#include <algorithm>

#include "cpu/tape/tape.hpp"
#include "numerics/combine.hpp"
#include "numerics/functions.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

namespace detail {

template <class Real>
inline void fill_row(Real* row, Real value) {
    for (int l = 0; l < LANES<Real>; ++l) row[l] = value;
}

// to = from, or to += from, over n scalars
template <class Real>
inline void put(bool assign, int n, const Real* from, Real* to) {
    if (assign) {
        std::copy(from, from + n, to);
    } else {
        for (int e = 0; e < n; ++e) to[e] += from[e];
    }
}

template <class Real>
inline void unary_forward(numerics::UnaryFn fn, int n, const Real* x, const Real* constants, Real* out) {
    numerics::visit_unary(fn,
                          [&]<numerics::UnaryFn F>() { numerics::unary_values<F>(n, x, constants, out); });
}

// What a slope makes of a gradient. Where none passes it is zero whatever the two are: zero times infinity,
// which the root's slope is at zero, would be NaN.
template <class Real>
inline Real chained(bool passes, Real grad, Real slope) {
    return passes ? grad * slope : Real(0);
}

template <class Real>
inline void unary_reverse(numerics::UnaryFn fn, bool assign, int n, const Real* x, const Real* y,
                          const Real* constants, const Real* grad_y, Real* grad_x) {
    numerics::visit_unary(fn, [&]<numerics::UnaryFn F>() {
        if constexpr (!numerics::is_flat(F)) {
            Real slope[LINE<Real>];
            const auto reverse = [&](int begin, int count) {
                numerics::unary_derivatives<F>(count, x + begin, y + begin, constants, slope);
                const auto through = [&](int e) {
                    return chained(numerics::unary_passes<F>(x[begin + e], constants), grad_y[begin + e],
                                   slope[e]);
                };
                if (assign) {
                    for (int e = 0; e < count; ++e) grad_x[begin + e] = through(e);
                } else {
                    for (int e = 0; e < count; ++e) grad_x[begin + e] += through(e);
                }
            };
            int e = 0;
            for (; e + LINE<Real> <= n; e += LINE<Real>) reverse(e, LINE<Real>);
            if (LANES<Real> < LINE<Real> && e < n) reverse(e, n - e);
        }
    });
}

template <class Real>
inline void binary_forward(numerics::BinaryFn fn, int n, const Real* a, const Real* b, Real* out) {
    numerics::visit_binary(fn, [&]<numerics::BinaryFn F>() {
        for (int e = 0; e < n; ++e) out[e] = numerics::binary_value<F>(a[e], b[e]);
    });
}

// `a` and `b` may be one value: then the second gradient adds to the first.
template <class Real>
inline void binary_reverse(numerics::BinaryFn fn, bool assign_a, bool assign_b, int n, const Real* a,
                           const Real* b, const Real* y, const Real* grad_y, Real* grad_a, Real* grad_b) {
    if (assign_a) std::fill(grad_a, grad_a + n, Real(0));
    if (assign_b) std::fill(grad_b, grad_b + n, Real(0));
    numerics::visit_binary(fn, [&]<numerics::BinaryFn F>() {
        if constexpr (!numerics::is_flat(F)) {
            for (int e = 0; e < n; ++e) {
                Real da;
                Real db;
                numerics::binary_derivatives<F>(a[e], b[e], y[e], da, db);
                bool to_a;
                bool to_b;
                numerics::binary_passes<F>(a[e], b[e], to_a, to_b);
                // Torch multiplies the gradient by the logarithm as the function does its first argument.
                if constexpr (numerics::multiplies_logarithm(F)) {
                    to_a = to_a & ((grad_y[e] != Real(0)) | (b[e] != b[e]));
                }
                grad_a[e] += chained(to_a, grad_y[e], da);
                grad_b[e] += chained(to_b, grad_y[e], db);
            }
        }
    });
}

template <class Real>
inline void select_forward(int n, const Real* condition, const Real* a, const Real* b, Real* out) {
    for (int e = 0; e < n; ++e) out[e] = condition[e] != Real(0) ? a[e] : b[e];
}

// A gradient goes to the one that was taken, whatever it is: a product with a mask would make NaN of
// infinity. `a` and `b` may be one value, as in binary_reverse.
template <class Real>
inline void select_reverse(bool assign_a, bool assign_b, int n, const Real* condition, const Real* grad_out,
                           Real* grad_a, Real* grad_b) {
    if (assign_a) std::fill(grad_a, grad_a + n, Real(0));
    if (assign_b) std::fill(grad_b, grad_b + n, Real(0));
    for (int e = 0; e < n; ++e) grad_a[e] += condition[e] != Real(0) ? grad_out[e] : Real(0);
    for (int e = 0; e < n; ++e) grad_b[e] += condition[e] != Real(0) ? Real(0) : grad_out[e];
}

}  // namespace detail

template <class Real>
void Tape<Real>::prepare(Real* values) const {
    for (const TapeOp<Real>& op : ops_) {
        const int n = rows(op.op->out);
        if (op.op->kind == program::OpKind::parameter) {
            const Real* source = parameter(op.op->parameter);
            for (int r = 0; r < n; ++r) detail::fill_row(values + op.out + r * LANES<Real>, source[r]);
        } else if (op.op->kind == program::OpKind::constant) {
            for (int r = 0; r < n; ++r) {
                detail::fill_row(values + op.out + r * LANES<Real>,
                                 op.constants[static_cast<std::size_t>(r)]);
            }
        }
    }
}

template <class Real>
void Tape<Real>::forward(Real* values, bool uniform) const {
    for (const TapeOp<Real>& op : ops_) {
        if (op.live && (uniform || !op.uniform)) forward_op(op, values);
    }
}

template <class Real>
void Tape<Real>::forward_op(const TapeOp<Real>& resolved, Real* values) const {
    using program::OpKind;
    const program::Op& op = *resolved.op;
    const int n = rows(op.out) * LANES<Real>;
    Real* out = values + resolved.out;
    switch (op.kind) {
        case OpKind::dense:
            forward_dense(resolved, values);
            break;
        case OpKind::dense_dynamic:
            dense_dynamic(resolved.dynamic, values + resolved.inputs[1], values + resolved.inputs[0], out);
            break;
        case OpKind::gather:
            for (const std::size_t row : resolved.index) {
                std::copy(values + row, values + row + LANES<Real>, out);
                out += LANES<Real>;
            }
            break;
        case OpKind::unary:
            detail::unary_forward(op.unary, n, values + resolved.inputs[0], resolved.constants.data(), out);
            break;
        case OpKind::binary:
            detail::binary_forward(op.binary, n, values + resolved.inputs[0], values + resolved.inputs[1],
                                   out);
            break;
        case OpKind::select:
            detail::select_forward(n, values + resolved.inputs[0], values + resolved.inputs[1],
                                   values + resolved.inputs[2], out);
            break;
        case OpKind::segment_sum: {
            std::fill(out, out + n, Real(0));
            const Real* x = values + resolved.inputs[0];
            for (const int row : op.index) {
                numerics::add_scaled(LANES<Real>, Real(1), x, out + row * LANES<Real>);
                x += LANES<Real>;
            }
            break;
        }
        case OpKind::parameter:
        case OpKind::constant:
            break;  // prepare() has written them
    }
}

template <class Real>
void Tape<Real>::forward_dense(const TapeOp<Real>& resolved, Real* values) const {
    const program::Op& op = *resolved.op;
    const Real* bias = op.bias >= 0 ? parameter(op.bias) : nullptr;
    const Real* x = values + resolved.inputs[0];
    Real* out = values + resolved.out;
    for (int g = 0; g < op.repeats; ++g) {
        dense(parameter(op.parameter), bias, op.features_in, op.features_out,
              x + g * op.features_in * LANES<Real>, out + g * op.features_out * LANES<Real>);
    }
}

template <class Real>
void Tape<Real>::reverse_apart(const Real* values, Real* grads, Real* transposed, Real* accumulator,
                               Real* uniform) const {
    reverse_ops(reverse_apart_, values, grads, transposed, accumulator);
    for (const int value : handed_over_) {
        const int n = rows(value) * LANES<Real>;
        detail::put(false, n, grads + offset(value), uniform);
        uniform += n;
    }
}

template <class Real>
void Tape<Real>::reverse_uniform(const Real* values, Real* uniform, Real* grads, Real* transposed,
                                 Real* accumulator) const {
    for (const int value : handed_over_) {
        const int n = rows(value) * LANES<Real>;
        std::copy(uniform, uniform + n, grads + offset(value));
        std::fill(uniform, uniform + n, Real(0));
        uniform += n;
    }
    reverse_ops(reverse_uniform_, values, grads, transposed, accumulator);
}

template <class Real>
void Tape<Real>::reverse_ops(const std::vector<const TapeOp<Real>*>& order, const Real* values, Real* grads,
                             Real* transposed, Real* accumulator) const {
    for (const TapeOp<Real>* op : order) {
        if (op->op->kind == program::OpKind::dense) {
            reverse_dense(*op, values, grads, transposed, accumulator);
        } else if (op->op->kind == program::OpKind::dense_dynamic) {
            reverse_dense_dynamic(*op, values, grads);
        } else if (op->op->kind == program::OpKind::gather) {
            reverse_gather(*op, grads);
        } else if (op->op->kind == program::OpKind::parameter) {
            if (accumulator != nullptr && op->weight_slot >= 0) {
                detail::put(false, rows(op->op->out) * LANES<Real>, grads + op->out,
                            accumulator + slots_[static_cast<std::size_t>(op->weight_slot)].offset);
            }
        } else {
            reverse_op(*op, values, grads);
        }
    }
}

template <class Real>
void Tape<Real>::reverse_dense(const TapeOp<Real>& resolved, const Real* values, Real* grads,
                               Real* transposed, Real* accumulator) const {
    const program::Op& op = *resolved.op;
    const Real* weight = parameter(op.parameter);
    for (int g = 0; g < op.repeats; ++g) {
        const Real* x = values + resolved.inputs[0] + g * op.features_in * LANES<Real>;
        const Real* grad_out = grads + resolved.out + g * op.features_out * LANES<Real>;
        if (accumulator != nullptr && resolved.weight_slot >= 0) {
            const GradientSlot<Real>& slot = slots_[static_cast<std::size_t>(resolved.weight_slot)];
            if (slot.by_lanes) {
                dense_vjp_weight_by_lanes(op.features_in, op.features_out, x, false, grad_out,
                                          accumulator + slot.offset);
            } else {
                dense_vjp_weight(op.features_in, op.features_out, x, grad_out, transposed,
                                 accumulator + slot.offset);
            }
        }
        if (accumulator != nullptr && resolved.bias_slot >= 0) {
            detail::put(false, op.features_out * LANES<Real>, grad_out,
                        accumulator + slots_[static_cast<std::size_t>(resolved.bias_slot)].offset);
        }
        Real* grad_x = grads + resolved.inputs[0] + g * op.features_in * LANES<Real>;
        dense_vjp_input(weight, op.features_in, op.features_out, resolved.assigns[0], grad_out, grad_x);
    }
}

template <class Real>
void Tape<Real>::reverse_op(const TapeOp<Real>& resolved, const Real* values, Real* grads) const {
    using program::OpKind;
    const program::Op& op = *resolved.op;
    const int n = rows(op.out) * LANES<Real>;
    const Real* grad_out = grads + resolved.out;
    if (op.kind == OpKind::unary) {
        detail::unary_reverse(op.unary, resolved.assigns[0], n, values + resolved.inputs[0],
                              values + resolved.out, resolved.constants.data(), grad_out,
                              grads + resolved.inputs[0]);
    } else if (op.kind == OpKind::binary) {
        detail::binary_reverse(op.binary, resolved.assigns[0], resolved.assigns[1], n,
                               values + resolved.inputs[0], values + resolved.inputs[1],
                               values + resolved.out, grad_out, grads + resolved.inputs[0],
                               grads + resolved.inputs[1]);
    } else if (op.kind == OpKind::select) {
        detail::select_reverse(resolved.assigns[1], resolved.assigns[2], n, values + resolved.inputs[0],
                               grad_out, grads + resolved.inputs[1], grads + resolved.inputs[2]);
    } else if (op.kind == OpKind::segment_sum) {
        Real* grad_x = grads + resolved.inputs[0];
        for (const int row : op.index) {
            detail::put(resolved.assigns[0], LANES<Real>, grad_out + row * LANES<Real>, grad_x);
            grad_x += LANES<Real>;
        }
    }
}

// `x` and the weight may be one value: then the second gradient adds to the first.
template <class Real>
void Tape<Real>::reverse_dense_dynamic(const TapeOp<Real>& resolved, const Real* values, Real* grads) const {
    const Real* grad_out = grads + resolved.out;
    dense_dynamic_vjp_input(resolved.dynamic, values + resolved.inputs[1], resolved.assigns[0], grad_out,
                            grads + resolved.inputs[0]);
    dense_dynamic_vjp_weight(resolved.dynamic, values + resolved.inputs[0], resolved.assigns[1], grad_out,
                             grads + resolved.inputs[1]);
}

template <class Real>
void Tape<Real>::reverse_gather(const TapeOp<Real>& resolved, Real* grads) const {
    const program::Op& op = *resolved.op;
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
        Real* grad_x = grads + resolved.inputs[i];
        if (resolved.assigns[i]) std::fill(grad_x, grad_x + rows(op.inputs[i]) * LANES<Real>, Real(0));
    }
    const Real* grad_out = grads + resolved.out;
    for (const std::size_t row : resolved.index) {
        detail::put(false, LANES<Real>, grad_out, grads + row);
        grad_out += LANES<Real>;
    }
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
