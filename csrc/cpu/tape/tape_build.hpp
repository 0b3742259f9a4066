// Laying a Program out: offsets of values, gradient accumulators, and the order in which gradients are first
// written.
#pragma once

#include <algorithm>

#include "cpu/tape/tape.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

template <class Real>
Tape<Real>::Tape(const program::Program& program, const void* const* parameters,
                 const std::vector<bool>& wants_gradient)
    : program_(program), wants_gradient_(wants_gradient) {
    for (std::size_t p = 0; p < program.parameter_sizes.size(); ++p) {
        parameters_.push_back(static_cast<const Real*>(parameters[p]));
    }
    for (const int width : program.widths) {
        offsets_.push_back(values_size_);
        values_size_ += static_cast<std::size_t>(width * LANES<Real>);
    }
    ops_.reserve(program.ops.size());
    for (const program::Op& op : program.ops) resolve(op);
    find_uniform();
    plan_reverse();
}

template <class Real>
int Tape<Real>::add_slot(const GradientSlot<Real>& slot) {
    if (slot.parameter < 0 || !wants_gradient_[static_cast<std::size_t>(slot.parameter)]) return -1;
    // What uses a parameter more than once adds to one place, which stays in the cache.
    for (std::size_t s = 0; s < slots_.size(); ++s) {
        if (slots_[s].parameter == slot.parameter && slots_[s].by_lanes == slot.by_lanes) {
            return static_cast<int>(s);
        }
    }
    slots_.push_back(slot);
    slots_.back().offset = accumulator_size_;
    accumulator_size_ += static_cast<std::size_t>(slot.rows) * static_cast<std::size_t>(slot.padded);
    return static_cast<int>(slots_.size()) - 1;
}

template <class Real>
int Tape<Real>::add_weight_slot(int parameter, int rows, int columns) {
    if (weight_by_lanes(columns, rows)) return add_row_slot(parameter, rows * columns);
    return add_slot({parameter, 0, rows, columns, padded_features<Real>(columns), false});
}

template <class Real>
int Tape<Real>::add_row_slot(int parameter, int rows) {
    return add_slot({parameter, 0, rows, 1, LANES<Real>, true});
}

template <class Real>
void Tape<Real>::resolve(const program::Op& op) {
    using program::OpKind;
    TapeOp<Real> resolved;
    resolved.op = &op;
    resolved.out = offset(op.out);
    for (const int input : op.inputs) resolved.inputs.push_back(offset(input));
    for (const double c : op.constants) resolved.constants.push_back(static_cast<Real>(c));
    if (op.kind == OpKind::dense) {
        resolved.weight_slot = add_weight_slot(op.parameter, op.features_out, op.features_in);
        resolved.bias_slot = add_row_slot(op.bias, op.features_out);
        transpose_size_ = std::max(
            transpose_size_, static_cast<std::size_t>(padded_features<Real>(op.features_in) * LANES<Real>));
    } else if (op.kind == OpKind::dense_dynamic) {
        const int groups = op.blocks * op.repeats;
        resolved.dynamic = {op.blocks, op.repeats, rows(op.inputs[0]) / groups, rows(op.out) / groups};
    } else if (op.kind == OpKind::parameter) {
        resolved.weight_slot = add_row_slot(op.parameter, rows(op.out));
    } else if (op.kind == OpKind::gather) {
        std::vector<std::size_t> sources;
        resolved.index.reserve(op.index.size());
        for (const int input : op.inputs) {
            for (int r = 0; r < rows(input); ++r) {
                sources.push_back(offset(input) + static_cast<std::size_t>(r * LANES<Real>));
            }
        }
        for (const int row : op.index) resolved.index.push_back(sources[static_cast<std::size_t>(row)]);
    }
    ops_.push_back(std::move(resolved));
}

template <class Real>
void Tape<Real>::find_uniform() {
    is_uniform_.assign(program_.widths.size(), false);
    is_uniform_[program::VALUE_T] = true;
    for (TapeOp<Real>& op : ops_) {
        const std::vector<int>& inputs = op.op->inputs;
        op.uniform = std::all_of(inputs.begin(), inputs.end(),
                                 [&](int value) { return is_uniform_[static_cast<std::size_t>(value)]; });
        is_uniform_[static_cast<std::size_t>(op.op->out)] = op.uniform;
    }
}

// Walks backwards once to find which operations the output depends on, which values receive a gradient, and
// which operation is the first to write it: that one assigns, so no buffer is cleared in a reverse sweep. No
// uniform operation depends on another kind, so that they can come last.
template <class Real>
void Tape<Real>::plan_reverse() {
    std::vector<bool> needed(program_.widths.size(), false);
    receives_gradient_.assign(program_.widths.size(), false);
    needed[static_cast<std::size_t>(program_.output)] = true;
    receives_gradient_[static_cast<std::size_t>(program_.output)] = true;
    plan_reverse(false, needed, reverse_apart_);
    for (int value = 0; value < static_cast<int>(program_.widths.size()); ++value) {
        const auto at = static_cast<std::size_t>(value);
        if (!is_uniform_[at] || !receives_gradient_[at]) continue;
        handed_over_.push_back(value);
        uniform_size_ += static_cast<std::size_t>(rows(value) * LANES<Real>);
    }
    plan_reverse(true, needed, reverse_uniform_);
    plan_sharing();
}

// Rows that an operation computes, times what each takes.
template <class Real>
double Tape<Real>::cost(const TapeOp<Real>& op) const {
    constexpr double FUNCTION = 8.0;  // of an elementary function, in multiply-adds
    const program::Op& what = *op.op;
    const double out = rows(what.out);
    if (what.kind == program::OpKind::dense) return out * what.features_in;
    if (what.kind == program::OpKind::dense_dynamic) return out * op.dynamic.features_in;
    return what.kind == program::OpKind::unary ? FUNCTION * out : out;
}

template <class Real>
void Tape<Real>::plan_sharing() {
    constexpr double MOST = 32.0;
    double apart = 1.0;
    double uniform = 0.0;
    bool wanted = false;
    for (const TapeOp<Real>* op : reverse_apart_) apart += cost(*op);
    for (const TapeOp<Real>* op : reverse_uniform_) {
        uniform += cost(*op);
        wanted = wanted || op->weight_slot >= 0 || op->bias_slot >= 0;
    }
    if (wanted) tiles_sharing_ = static_cast<int>(std::clamp(2.0 * uniform / apart, 1.0, MOST));
}

template <class Real>
void Tape<Real>::plan_reverse(bool uniform, std::vector<bool>& needed,
                              std::vector<const TapeOp<Real>*>& order) {
    for (auto op = ops_.rbegin(); op != ops_.rend(); ++op) {
        if (op->uniform != uniform) continue;
        const program::Op& what = *op->op;
        op->live = needed[static_cast<std::size_t>(what.out)];
        has_uniform_work_ = has_uniform_work_ || (uniform && op->live && !what.inputs.empty());
        const bool receives = receives_gradient_[static_cast<std::size_t>(what.out)];
        bool reversed = receives && what.inputs.empty();
        for (std::size_t i = 0; i < what.inputs.size(); ++i) {
            const auto value = static_cast<std::size_t>(what.inputs[i]);
            const bool passes = receives && program::passes_gradient(what, i);
            op->assigns.push_back(passes && !receives_gradient_[value]);
            if (op->live) needed[value] = true;
            if (passes) reversed = receives_gradient_[value] = true;
        }
        if (reversed) order.push_back(&*op);
    }
}

template <class Real>
template <class Total>
void Tape<Real>::fold(const Real* accumulator, Total* const* gradients) const {
    for (const GradientSlot<Real>& slot : slots_) {
        Total* gradient = gradients[slot.parameter];
        const Real* from = accumulator + slot.offset;
        for (int r = 0; r < slot.rows; ++r, from += slot.padded) {
            if (slot.by_lanes) {
                gradient[r] += static_cast<Total>(sum_of_lanes(from));
            } else {
                for (int c = 0; c < slot.columns; ++c)
                    gradient[r * slot.columns + c] += static_cast<Total>(from[c]);
            }
        }
    }
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
