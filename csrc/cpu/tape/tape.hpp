// A Program bound to the parameters of one solve, executed over one tile: every value forward, every gradient
// in reverse.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "cpu/tape/elementwise.hpp"
#include "cpu/tape/layout.hpp"
#include "numerics/combine.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

template <class Real>
class Tape : public TapeLayout<Real> {
    using Base = TapeLayout<Real>;
    using Base::offset, Base::rows, Base::parameter;
    using Base::program_, Base::ops_, Base::slots_, Base::reverse_own_, Base::reverse_shared_,
        Base::handed_over_;

   public:
    using Base::Base;

    // Writes the rows that are the same at every evaluation (parameters and literals) into a fresh values
    // buffer.
    void prepare(Real* values) const {
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

    // The shared values, from t; and all others, from these and from y and c. What each starts from stands in
    // the buffer already.
    void forward_shared(Real* values) const {
        for (auto op = ops_.begin(); op != ops_.begin() + program_.shared; ++op) {
            if (op->live) forward_op(*op, values);
        }
    }

    void forward(Real* values) const {
        for (auto op = ops_.begin() + program_.shared; op != ops_.end(); ++op) {
            if (op->live) forward_op(*op, values);
        }
    }

    // From the output's gradient, which stands in `grads` already, to those of y, c, t and shared values
    // (written, not added) and of the parameters (added to `accumulator`; null to leave them out).
    void reverse(const Real* values, Real* grads, Real* transposed, Real* accumulator) const {
        for (const TapeOp<Real>* op : reverse_own_) reverse_op(*op, values, grads, transposed, accumulator);
    }
    // From the gradients of shared values to those of t and of the parameters.
    void reverse_shared(const Real* values, Real* grads, Real* transposed, Real* accumulator) const {
        for (const TapeOp<Real>* op : reverse_shared_)
            reverse_op(*op, values, grads, transposed, accumulator);
    }

    // Sums of the gradients of shared values and t over tiles: adds those of one; and moves them back.
    void add_shared(const Real* grads, Real* sums) const {
        for (const int value : handed_over_) {
            const int n = rows(value) * LANES<Real>;
            detail::put(false, n, grads + offset(value), sums);
            sums += n;
        }
    }

    void take_shared(Real* sums, Real* grads) const {
        for (const int value : handed_over_) {
            const int n = rows(value) * LANES<Real>;
            std::copy(sums, sums + n, grads + offset(value));
            std::fill(sums, sums + n, Real(0));
            sums += n;
        }
    }

   private:
    void forward_op(const TapeOp<Real>& resolved, Real* values) const {
        using program::OpKind;
        const program::Op& op = *resolved.op;
        const auto value = [&](std::size_t input) { return values + resolved.inputs[input]; };
        const int n = rows(op.out) * LANES<Real>;
        Real* out = values + resolved.out;
        switch (op.kind) {
            case OpKind::dense:
                for (int g = 0; g < op.repeats; ++g) {
                    dense(parameter(op.parameter), op.bias >= 0 ? parameter(op.bias) : nullptr,
                          op.features_in, op.features_out, value(0) + g * op.features_in * LANES<Real>,
                          out + g * op.features_out * LANES<Real>);
                }
                break;
            case OpKind::dense_dynamic:
                dense_dynamic(resolved.dynamic, value(1), value(0), out);
                break;
            case OpKind::gather:
                for (const std::size_t row : resolved.index) {
                    std::copy(values + row, values + row + LANES<Real>, out);
                    out += LANES<Real>;
                }
                break;
            case OpKind::unary:
                detail::unary_forward(op.unary, n, value(0), resolved.constants.data(), out);
                break;
            case OpKind::binary:
                detail::binary_forward(op.binary, n, value(0), value(1), out);
                break;
            case OpKind::select:
                detail::select_forward(n, value(0), value(1), value(2), out);
                break;
            case OpKind::segment_sum: {
                std::fill(out, out + n, Real(0));
                const Real* x = value(0);
                for (const int row : op.index) {
                    numerics::add_scaled(LANES<Real>, Real(1), x, out + row * LANES<Real>);
                    x += LANES<Real>;
                }
                break;
            }
            case OpKind::bucketize:
                bucketize(resolved.table, rows(op.out), numbers(resolved, values), value(0), out);
                break;
            case OpKind::lookup:
                lookup(resolved.table, rows(op.out), op.index.data(), value(0), numbers(resolved, values),
                       out);
                break;
            case OpKind::parameter:
            case OpKind::constant:
                break;  // prepare() has written them
        }
    }

    // Knots, or a table.
    Numbers<const Real> numbers(const TapeOp<Real>& resolved, const Real* values) const {
        if (resolved.op->parameter >= 0) return shared_by_lanes(parameter(resolved.op->parameter));
        return rows_of_tile(values + resolved.inputs[1]);
    }

    // Where an operation adds to a parameter's gradient; null where that is left out.
    Real* place(int slot, Real* accumulator) const {
        if (accumulator == nullptr || slot < 0) return nullptr;
        return accumulator + slots_[static_cast<std::size_t>(slot)].offset;
    }

    void reverse_op(const TapeOp<Real>& resolved, const Real* values, Real* grads, Real* transposed,
                    Real* accumulator) const {
        using program::OpKind;
        const program::Op& op = *resolved.op;
        const auto value = [&](std::size_t input) { return values + resolved.inputs[input]; };
        const auto grad = [&](std::size_t input) { return grads + resolved.inputs[input]; };
        const auto assigns = [&](std::size_t input) -> bool { return resolved.assigns[input]; };
        const int n = rows(op.out) * LANES<Real>;
        const Real* grad_out = grads + resolved.out;
        switch (op.kind) {
            case OpKind::dense:
                reverse_dense(resolved, values, grads, transposed, accumulator);
                break;
            case OpKind::dense_dynamic:  // the second gradient adds to the first where the inputs are one
                                         // value
                dense_dynamic_vjp_input(resolved.dynamic, value(1), assigns(0), grad_out, grad(0));
                dense_dynamic_vjp_weight(resolved.dynamic, value(0), assigns(1), grad_out, grad(1));
                break;
            case OpKind::gather:
                for (std::size_t i = 0; i < op.inputs.size(); ++i) {
                    if (assigns(i)) std::fill(grad(i), grad(i) + rows(op.inputs[i]) * LANES<Real>, Real(0));
                }
                for (const std::size_t row : resolved.index) {
                    detail::put(false, LANES<Real>, grad_out, grads + row);
                    grad_out += LANES<Real>;
                }
                break;
            case OpKind::unary:
                detail::unary_reverse(op.unary, assigns(0), n, value(0), values + resolved.out,
                                      resolved.constants.data(), grad_out, grad(0));
                break;
            case OpKind::binary:
                detail::binary_reverse(op.binary, assigns(0), assigns(1), n, value(0), value(1),
                                       values + resolved.out, grad_out, grad(0), grad(1));
                break;
            case OpKind::select:
                detail::select_reverse(assigns(1), assigns(2), n, value(0), grad_out, grad(1), grad(2));
                break;
            case OpKind::segment_sum: {
                Real* grad_x = grad(0);
                for (const int row : op.index) {
                    detail::put(assigns(0), LANES<Real>, grad_out + row * LANES<Real>, grad_x);
                    grad_x += LANES<Real>;
                }
                break;
            }
            case OpKind::bucketize:
                break;
            case OpKind::lookup:
                if (Real* to = place(resolved.weight_slot, accumulator)) {
                    lookup_vjp(resolved.table, rows(op.out), op.index.data(), value(0), grad_out,
                               shared_by_lanes(to));
                } else if (op.parameter < 0) {
                    if (assigns(1)) std::fill(grad(1), grad(1) + rows(op.inputs[1]) * LANES<Real>, Real(0));
                    lookup_vjp(resolved.table, rows(op.out), op.index.data(), value(0), grad_out,
                               rows_of_tile(grad(1)));
                }
                break;
            case OpKind::parameter:
                if (Real* to = place(resolved.weight_slot, accumulator)) detail::put(false, n, grad_out, to);
                break;
            case OpKind::constant:
                break;
        }
    }

    void reverse_dense(const TapeOp<Real>& resolved, const Real* values, Real* grads, Real* transposed,
                       Real* accumulator) const {
        const program::Op& op = *resolved.op;
        Real* to_weight = place(resolved.weight_slot, accumulator);
        Real* to_bias = place(resolved.bias_slot, accumulator);
        for (int g = 0; g < op.repeats; ++g) {
            const std::size_t input =
                resolved.inputs[0] + static_cast<std::size_t>(g * op.features_in * LANES<Real>);
            const Real* x = values + input;
            const Real* grad_out = grads + resolved.out + g * op.features_out * LANES<Real>;
            if (to_weight != nullptr) {
                if (weight_by_lanes(op.features_in, op.features_out)) {
                    dense_vjp_weight_by_lanes(op.features_in, op.features_out, x, false, grad_out, to_weight);
                } else {
                    dense_vjp_weight(op.features_in, op.features_out, x, grad_out, transposed, to_weight);
                }
            }
            if (to_bias != nullptr) detail::put(false, op.features_out * LANES<Real>, grad_out, to_bias);
            dense_vjp_input(parameter(op.parameter), op.features_in, op.features_out, resolved.assigns[0],
                            grad_out, grads + input);
        }
    }
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
