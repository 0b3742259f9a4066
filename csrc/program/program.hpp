// The vector field as a short list of row operations, as the kernels execute it.
//
// For each trajectory every value is a row of `width` scalars. Value 0 is t (width 1), value 1 is the state
// y, value 2 is c, what belongs to the trajectory and does not change during a solve, of any width; each
// operation writes one value. The Python package flashode.program defines the meaning of every operation and
// interprets it slowly.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "numerics/tableau.hpp"
#include "program/function_table.hpp"

namespace flashode::program {

// Kernels number the scalars of all stages of a tile, of y and its adjoint, with ints, and likewise those of
// all parameters' gradients at every stage or in every lane.
inline constexpr int MAX_LANES = 16;
inline constexpr std::int64_t MAX_ROWS =
    std::numeric_limits<int>::max() / (2 * numerics::MAX_STAGES * MAX_LANES);
inline constexpr std::int64_t MAX_PARAMETER_ELEMENTS =
    std::numeric_limits<int>::max() / std::max(numerics::MAX_STAGES, MAX_LANES) - 1;

inline constexpr int VALUE_T = 0;
inline constexpr int VALUE_Y = 1;
inline constexpr int VALUE_C = 2;

enum class OpKind : std::uint8_t {
    dense,
    dense_dynamic,
    gather,
    unary,
    binary,
    select,
    segment_sum,
    bucketize,
    lookup,
    parameter,
    constant
};

// One operation. Which members mean something depends on the kind:
//   dense          inputs {x}, parameter = weight (out, in), bias or -1, repeats, features_in, features_out
//   dense_dynamic  inputs {x, weight}, blocks, repeats; what remains of the widths are the features:
//                  x (blocks, repeats, in), weight (blocks, out, in), the output (blocks, repeats, out)
//   gather         index: (source value, row) pairs flattened to rows of the concatenated inputs
//   unary          inputs {x}, unary, constants
//   binary         inputs {a, b}, binary
//   select         inputs {condition, a, b}: a where the condition is not zero, else b
//   segment_sum    inputs {x}, index: the output row that each input row is added to
//   bucketize      inputs {x} or {x, knots}, parameter = knots or -1, blocks: as many equal parts of x have
//   knots of
//                  their own; right; the output is how many of them are less than x (or equal)
//   lookup         inputs {index} or {index, table}, parameter = table or -1, index: of each number of the
//   result
//                  where it is in the first row of the table, stride: from one row to the next, count: of
//                  rows
//   parameter      parameter: its elements become rows
//   constant       constants: the rows
struct Op {
    OpKind kind{};
    int out = 0;
    std::vector<int> inputs;
    std::vector<int> index;
    std::vector<double> constants;
    numerics::UnaryFn unary{};
    numerics::BinaryFn binary{};
    int parameter = -1;
    int bias = -1;
    int blocks = 1;
    int repeats = 1;
    int features_in = 0;
    int features_out = 0;
    int stride = 1;
    int count = 0;
    bool right = false;
};

struct Program {
    std::vector<int> widths;                    // of each value
    std::vector<Op> ops;                        // in order of execution
    int output = 0;                             // the value that is dy/dt
    std::vector<std::int64_t> parameter_sizes;  // elements of each external tensor
    // How many operations, the first ones, read neither y nor c nor what depends on them: their results are
    // the same for all trajectories.
    int shared = 0;

    int width() const { return widths[VALUE_Y]; }
    int context_width() const { return widths[VALUE_C]; }
};

// Throws std::invalid_argument naming the operation that is wrong: indices out of range, widths that
// disagree, a value used before it is written, a shared operation that reads a trajectory's own rows; or that
// the program is larger than kernels can number. A validated program cannot make a kernel read or write out
// of bounds.
void validate(const Program& program);

// Whether an operation has a gradient in its input of this number. Flat functions and searches have none, nor
// has the condition of a select, or the index of a lookup.
bool passes_gradient(const Op& op, std::size_t input);

}  // namespace flashode::program
