// A Program bound to the parameters of one solve and laid out for tiles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cpu/tape/dense.hpp"
#include "cpu/tape/dense_dynamic.hpp"
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
    std::vector<bool> assigns;  // for each input: the reverse sweep writes its gradient first here
    bool live = false;          // the output depends on it
    bool uniform = false;       // it depends on t and parameters alone: all trajectories have the same
    int weight_slot = -1;
    int bias_slot = -1;
};

template <class Real>
class Tape {
    static_assert(LANES<Real> <= program::MAX_LANES);

   public:
    // `wants_gradient[p]` tells for which parameters a reverse sweep accumulates.
    Tape(const program::Program& program, const void* const* parameters,
         const std::vector<bool>& wants_gradient);
    Tape(const Tape&) = delete;  // it points into itself
    Tape& operator=(const Tape&) = delete;

    int width() const { return program_.width(); }
    std::size_t values_size() const { return values_size_; }
    std::size_t accumulator_size() const { return accumulator_size_; }
    std::size_t transpose_size() const { return transpose_size_; }
    std::size_t y_offset() const { return offset(program::VALUE_Y); }
    std::size_t t_offset() const { return offset(program::VALUE_T); }
    std::size_t output_offset() const { return offset(program_.output); }
    bool uses_y() const { return receives_gradient_[program::VALUE_Y]; }
    bool uses_t() const { return receives_gradient_[program::VALUE_T]; }

    // Writes the rows that are the same at every evaluation (parameters and literals) into a fresh values
    // buffer.
    void prepare(Real* values) const;
    // Computes every value from t and y, which stand in the buffer already; with `uniform` false all but
    // those that are the same for all trajectories, which stand there, too.
    void forward(Real* values, bool uniform) const;
    // Whether there are any, and they take work.
    bool has_uniform_work() const { return has_uniform_work_; }
    // From the output's gradient, which stands in `grads` already, to those of y and t (written, not added)
    // and of the parameters (added to `accumulator`; null to leave them out).
    void reverse(const Real* values, Real* grads, Real* transposed, Real* accumulator) const {
        reverse_ops(reverse_apart_, values, grads, transposed, accumulator);
        reverse_ops(reverse_uniform_, values, grads, transposed, accumulator);
    }
    // The same in two halves, the second once for many tiles whose uniform values are the same: first to the
    // gradient of y, and to those of uniform values, added to `uniform`; then from these, which are cleared,
    // to those of t and of the parameters.
    void reverse_apart(const Real* values, Real* grads, Real* transposed, Real* accumulator,
                       Real* uniform) const;
    void reverse_uniform(const Real* values, Real* uniform, Real* grads, Real* transposed,
                         Real* accumulator) const;
    std::size_t uniform_size() const { return uniform_size_; }
    // How many tiles are to share the second half: as many as bring it to half the work of the first, up to
    // 32. One where it is little from the start, or leads to no parameter whose gradient is wanted.
    int tiles_sharing() const { return tiles_sharing_; }
    // Adds what an accumulator holds to the parameters' gradients; those not wanted may be null.
    template <class Total>
    void fold(const Real* accumulator, Total* const* gradients) const;

   private:
    std::size_t offset(int value) const { return offsets_[static_cast<std::size_t>(value)]; }
    int rows(int value) const { return program_.widths[static_cast<std::size_t>(value)]; }
    const Real* parameter(int index) const { return parameters_[static_cast<std::size_t>(index)]; }
    int add_weight_slot(int parameter, int rows, int columns);
    int add_row_slot(int parameter, int rows);
    int add_slot(const GradientSlot<Real>& slot);
    void resolve(const program::Op& op);
    void find_uniform();
    void plan_reverse();
    void plan_reverse(bool uniform, std::vector<bool>& needed, std::vector<const TapeOp<Real>*>& order);
    void plan_sharing();
    double cost(const TapeOp<Real>& op) const;
    void reverse_ops(const std::vector<const TapeOp<Real>*>& order, const Real* values, Real* grads,
                     Real* transposed, Real* accumulator) const;
    void forward_op(const TapeOp<Real>& op, Real* values) const;
    void forward_dense(const TapeOp<Real>& op, Real* values) const;
    void reverse_dense(const TapeOp<Real>& op, const Real* values, Real* grads, Real* transposed,
                       Real* accumulator) const;
    void reverse_op(const TapeOp<Real>& op, const Real* values, Real* grads) const;
    void reverse_dense_dynamic(const TapeOp<Real>& op, const Real* values, Real* grads) const;
    void reverse_gather(const TapeOp<Real>& op, Real* grads) const;

    const program::Program& program_;
    std::vector<const Real*> parameters_;
    std::vector<bool> wants_gradient_;
    std::vector<std::size_t> offsets_;
    std::vector<TapeOp<Real>> ops_;
    std::vector<GradientSlot<Real>> slots_;
    std::vector<bool> is_uniform_;         // by value
    std::vector<bool> receives_gradient_;  // likewise
    // Of the operations through which a gradient passes, those of each trajectory, then those of all.
    std::vector<const TapeOp<Real>*> reverse_apart_;
    std::vector<const TapeOp<Real>*> reverse_uniform_;
    std::vector<int> handed_over_;  // uniform values whose gradients the former leave to the latter
    std::size_t uniform_size_ = 0;
    int tiles_sharing_ = 1;
    std::size_t values_size_ = 0;
    std::size_t accumulator_size_ = 0;
    std::size_t transpose_size_ = 0;
    bool has_uniform_work_ = false;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA

#include "cpu/tape/tape_build.hpp"
#include "cpu/tape/tape_run.hpp"
