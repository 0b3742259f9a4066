// A Program laid out for tiles: offsets of values, gradient accumulators, and the order in which gradients
// are first written.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "cpu/tape/dense.hpp"
#include "cpu/tape/dense_dynamic.hpp"
#include "cpu/tape/tables.hpp"
#include "cpu/vectors/simd.hpp"
#include "program/program.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// Where the gradient of a parameter is accumulated. A weight's sum over lanes is done as it
// accumulates, a bias's and a row's only when it is folded into the parameter's gradient.
template <class Real>
struct GradientSlot {
    int parameter = -1;
    std::size_t offset = 0;
    int rows = 0;
    int columns = 0;  // of the parameter itself
    int padded = 0;   // row length in the accumulator: padded columns, or lanes
    bool by_lanes = false;
};

// One operation with everything an execution needs resolved.
template <class Real>
struct TapeOp {
    const program::Op* op = nullptr;
    std::size_t out = 0;              // offset of the output in a values buffer
    std::vector<std::size_t> inputs;  // offsets of the inputs
    std::vector<std::size_t> index;   // gather: offset of each source row
    std::vector<Real> constants;
    DynamicShape dynamic;       // dense_dynamic
    TableShape table;           // bucketize, lookup
    std::vector<bool> assigns;  // for each input: the reverse sweep writes its gradient first here
    bool live = false;          // the output depends on it
    int weight_slot = -1;
    int bias_slot = -1;
};

template <class Real>
class TapeLayout {
    static_assert(LANES<Real> <= program::MAX_LANES);

   public:
    // `wants_gradient[p]` tells for which parameters a reverse sweep accumulates.
    TapeLayout(const program::Program& program, const void* const* parameters,
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
        plan_reverse();
    }
    TapeLayout(const TapeLayout&) = delete;  // it points into itself
    TapeLayout& operator=(const TapeLayout&) = delete;

    int width() const { return program_.width(); }
    int context_width() const { return program_.context_width(); }
    std::size_t values_size() const { return values_size_; }
    std::size_t accumulator_size() const { return accumulator_size_; }
    std::size_t transpose_size() const { return transpose_size_; }
    std::size_t y_offset() const { return offset(program::VALUE_Y); }
    std::size_t c_offset() const { return offset(program::VALUE_C); }
    std::size_t t_offset() const { return offset(program::VALUE_T); }
    std::size_t output_offset() const { return offset(program_.output); }
    bool uses_y() const { return receives_gradient_[program::VALUE_Y]; }
    bool uses_c() const { return receives_gradient_[program::VALUE_C]; }
    bool uses_t() const { return receives_gradient_[program::VALUE_T]; }
    bool has_shared() const { return program_.shared > 0; }
    // Of the gradients of shared values and t.
    std::size_t shared_size() const { return shared_size_; }
    // Over how many tiles to sum these: as many as bring reverse_shared() to half the work of reverse(), up
    // to 32. One where it is little from the start, or leads to no parameter whose gradient is wanted.
    int tiles_sharing() const { return tiles_sharing_; }

    // Adds what an accumulator holds to the parameters' gradients; those not wanted may be null.
    template <class Total>
    void fold(const Real* accumulator, Total* const* gradients) const {
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

   protected:
    std::size_t offset(int value) const { return offsets_[static_cast<std::size_t>(value)]; }
    int rows(int value) const { return program_.widths[static_cast<std::size_t>(value)]; }
    const Real* parameter(int index) const { return parameters_[static_cast<std::size_t>(index)]; }

    const program::Program& program_;
    std::vector<TapeOp<Real>> ops_;
    std::vector<GradientSlot<Real>> slots_;
    // The operations through which a gradient passes, in reverse: each trajectory's own, then those shared.
    std::vector<const TapeOp<Real>*> reverse_own_;
    std::vector<const TapeOp<Real>*> reverse_shared_;
    std::vector<int> handed_over_;  // values whose gradients the former leave to the latter

   private:
    int add_slot(const GradientSlot<Real>& slot) {
        if (slot.parameter < 0 || !wants_gradient_[static_cast<std::size_t>(slot.parameter)]) return -1;
        // What uses a parameter more than once adds to one place, which stays in the cache.
        for (std::size_t s = 0; s < slots_.size(); ++s) {
            const GradientSlot<Real>& known = slots_[s];
            if (known.parameter == slot.parameter && known.by_lanes == slot.by_lanes &&
                known.columns == slot.columns) {
                return static_cast<int>(s);
            }
        }
        slots_.push_back(slot);
        slots_.back().offset = accumulator_size_;
        accumulator_size_ += static_cast<std::size_t>(slot.rows) * static_cast<std::size_t>(slot.padded);
        return static_cast<int>(slots_.size()) - 1;
    }

    int add_weight_slot(int parameter, int rows, int columns) {
        if (weight_by_lanes(columns, rows)) return add_row_slot(parameter, rows * columns);
        return add_slot({parameter, 0, rows, columns, padded_features<Real>(columns), false});
    }

    // Numbers in their order, of which an operation adds to some.
    int add_table_slot(int parameter) {
        if (parameter < 0) return -1;
        const auto size = static_cast<int>(program_.parameter_sizes[static_cast<std::size_t>(parameter)]);
        return add_slot({parameter, 0, 1, size, padded_features<Real>(size), false});
    }

    int add_row_slot(int parameter, int rows) { return add_slot({parameter, 0, rows, 1, LANES<Real>, true}); }

    void resolve(const program::Op& op) {
        using program::OpKind;
        TapeOp<Real> resolved;
        resolved.op = &op;
        resolved.out = offset(op.out);
        for (const int input : op.inputs) resolved.inputs.push_back(offset(input));
        for (const double c : op.constants) resolved.constants.push_back(static_cast<Real>(c));
        if (op.kind == OpKind::dense) {
            resolved.weight_slot = add_weight_slot(op.parameter, op.features_out, op.features_in);
            resolved.bias_slot = add_row_slot(op.bias, op.features_out);
            transpose_size_ =
                std::max(transpose_size_,
                         static_cast<std::size_t>(padded_features<Real>(op.features_in) * LANES<Real>));
        } else if (op.kind == OpKind::dense_dynamic) {
            const int groups = op.blocks * op.repeats;
            resolved.dynamic = {op.blocks, op.repeats, rows(op.inputs[0]) / groups, rows(op.out) / groups};
        } else if (op.kind == OpKind::bucketize) {
            const std::int64_t knots = op.parameter < 0
                                           ? rows(op.inputs[1])
                                           : program_.parameter_sizes[static_cast<std::size_t>(op.parameter)];
            resolved.table = {op.blocks, static_cast<int>(knots) / op.blocks, op.right, 1, 1};
        } else if (op.kind == OpKind::lookup) {
            resolved.weight_slot = add_table_slot(op.parameter);
            resolved.table = {1, op.count, false, op.stride, rows(op.out) / rows(op.inputs[0])};
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

    // Walks backwards once to find which operations the output depends on, which values receive a gradient,
    // and which operation is the first to write it: that one assigns, so no buffer is cleared in a reverse
    // sweep.
    void plan_reverse() {
        std::vector<bool> needed(program_.widths.size(), false);
        receives_gradient_.assign(program_.widths.size(), false);
        needed[static_cast<std::size_t>(program_.output)] = true;
        receives_gradient_[static_cast<std::size_t>(program_.output)] = true;
        const auto shared = ops_.begin() + program_.shared;
        for (auto op = ops_.end(); op != shared;) plan_reverse(*--op, needed, reverse_own_);
        const auto hand_over = [&](int value) {
            if (!receives_gradient_[static_cast<std::size_t>(value)]) return;
            handed_over_.push_back(value);
            shared_size_ += static_cast<std::size_t>(rows(value) * LANES<Real>);
        };
        hand_over(program::VALUE_T);
        for (auto op = ops_.begin(); op != shared; ++op) hand_over(op->op->out);
        for (auto op = shared; op != ops_.begin();) plan_reverse(*--op, needed, reverse_shared_);
        plan_sharing();
    }

    void plan_reverse(TapeOp<Real>& op, std::vector<bool>& needed, std::vector<const TapeOp<Real>*>& order) {
        const program::Op& what = *op.op;
        op.live = needed[static_cast<std::size_t>(what.out)];
        const bool receives = receives_gradient_[static_cast<std::size_t>(what.out)];
        bool reversed = receives && (what.inputs.empty() || op.weight_slot >= 0);
        for (std::size_t i = 0; i < what.inputs.size(); ++i) {
            const auto value = static_cast<std::size_t>(what.inputs[i]);
            const bool passes = receives && program::passes_gradient(what, i);
            op.assigns.push_back(passes && !receives_gradient_[value]);
            if (op.live) needed[value] = true;
            if (passes) reversed = receives_gradient_[value] = true;
        }
        if (reversed) order.push_back(&op);
    }

    // Rows that an operation computes, times what each takes.
    double cost(const TapeOp<Real>& op) const {
        constexpr double FUNCTION = 8.0;  // of an elementary function, in multiply-adds
        const program::Op& what = *op.op;
        const double out = rows(what.out);
        if (what.kind == program::OpKind::dense) return out * what.features_in;
        if (what.kind == program::OpKind::dense_dynamic) return out * op.dynamic.features_in;
        return what.kind == program::OpKind::unary ? FUNCTION * out : out;
    }

    void plan_sharing() {
        constexpr double MOST = 32.0;
        double own = 1.0;
        double shared = 0.0;
        bool wanted = false;
        for (const TapeOp<Real>* op : reverse_own_) own += cost(*op);
        for (const TapeOp<Real>* op : reverse_shared_) {
            shared += cost(*op);
            wanted = wanted || op->weight_slot >= 0 || op->bias_slot >= 0;
        }
        if (wanted) tiles_sharing_ = static_cast<int>(std::clamp(2.0 * shared / own, 1.0, MOST));
    }

    std::vector<const Real*> parameters_;
    std::vector<bool> wants_gradient_;
    std::vector<std::size_t> offsets_;
    std::vector<bool> receives_gradient_;  // by value
    std::size_t shared_size_ = 0;
    int tiles_sharing_ = 1;
    std::size_t values_size_ = 0;
    std::size_t accumulator_size_ = 0;
    std::size_t transpose_size_ = 0;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
