#include "program/program.hpp"

#include <cstddef>
#include <stdexcept>

namespace flashode::program {

namespace {

class Validator {
   public:
    explicit Validator(const Program& program)
        : program_(program), written_(program.widths.size(), false), shared_(written_) {}

    void run() {
        require(program_.widths.size() >= 3, "a program needs the values t, y and c");
        std::int64_t rows = 0;
        for (std::size_t value = 0; value < program_.widths.size(); ++value) {
            require(program_.widths[value] >= (value == VALUE_C ? 0 : 1), "a value of a program has no rows");
            rows += program_.widths[value];
        }
        require_at_most(MAX_ROWS, rows, "rows");
        std::int64_t elements = 0;
        for (const std::int64_t size : program_.parameter_sizes) {
            require(size >= 0, "a parameter of fewer than no elements");
            require_at_most(MAX_PARAMETER_ELEMENTS, size, "parameter elements");
            elements += size;
        }
        require_at_most(MAX_PARAMETER_ELEMENTS, elements, "parameter elements");
        require(program_.widths[VALUE_T] == 1, "value 0 (t) must have width 1");
        require(program_.shared >= 0 && static_cast<std::size_t>(program_.shared) <= program_.ops.size(),
                "more operations of a program are shared than there are");
        written_[VALUE_T] = written_[VALUE_Y] = written_[VALUE_C] = true;
        shared_[VALUE_T] = true;
        for (position_ = 0; position_ < program_.ops.size(); ++position_) check(program_.ops[position_]);
        require_here(readable(program_.output), "the output is never written");
        require_here(width(program_.output) == program_.width(), "the output is not as wide as the state");
    }

   private:
    static void require(bool holds, const std::string& what) {
        if (!holds) throw std::invalid_argument(what);
    }
    static void require_at_most(std::int64_t limit, std::int64_t count, const std::string& of_what) {
        require(count <= limit, "a program of " + std::to_string(count) + " " + of_what + ", more than " +
                                    std::to_string(limit));
    }
    // Of the operation at hand.
    void require_here(bool holds, const char* what) const {
        if (!holds) require(false, "operation " + std::to_string(position_) + " of the program: " + what);
    }

    bool exists(int value) const {
        return value >= 0 && static_cast<std::size_t>(value) < program_.widths.size();
    }
    bool readable(int value) const { return exists(value) && written_[static_cast<std::size_t>(value)]; }
    int width(int value) const { return program_.widths[static_cast<std::size_t>(value)]; }

    void require_parameter(int parameter, std::int64_t elements) const {
        require_here(parameter >= 0 && static_cast<std::size_t>(parameter) < program_.parameter_sizes.size(),
                     "no such parameter");
        require_here(program_.parameter_sizes[static_cast<std::size_t>(parameter)] == elements,
                     "a parameter has another number of elements than its use needs");
    }

    // Of the input after the first, or else of the parameter.
    std::int64_t elements(const Op& op, const char* otherwise) const {
        const bool parameter = op.parameter >= 0;
        require_here(op.inputs.size() == (parameter ? 1U : 2U), otherwise);
        if (!parameter) return width(op.inputs[1]);
        require_here(static_cast<std::size_t>(op.parameter) < program_.parameter_sizes.size(),
                     "no such parameter");
        return program_.parameter_sizes[static_cast<std::size_t>(op.parameter)];
    }

    void require_inputs(const Op& op, std::size_t count) const {
        require_here(op.inputs.size() == count, "wrong number of inputs");
    }

    void check(const Op& op) {
        require_here(exists(op.out) && !written_[static_cast<std::size_t>(op.out)], "writes no fresh value");
        for (const int input : op.inputs)
            require_here(readable(input), "reads a value that is not there yet");
        check_kind(op, width(op.out));
        if (position_ < static_cast<std::size_t>(program_.shared)) {
            for (const int input : op.inputs) {
                require_here(shared_[static_cast<std::size_t>(input)],
                             "is shared, and reads a trajectory's own rows");
            }
            shared_[static_cast<std::size_t>(op.out)] = true;
        }
        written_[static_cast<std::size_t>(op.out)] = true;
    }

    void check_kind(const Op& op, int out) const {
        switch (op.kind) {
            case OpKind::dense:
                require_inputs(op, 1);
                require_here(op.repeats >= 1 && op.features_in >= 1 && op.features_out >= 1, "empty dense");
                require_here(width(op.inputs[0]) == std::int64_t{op.repeats} * op.features_in,
                             "input width of dense");
                require_here(out == std::int64_t{op.repeats} * op.features_out, "output width of dense");
                require_parameter(op.parameter, std::int64_t{op.features_in} * op.features_out);
                if (op.bias >= 0) require_parameter(op.bias, op.features_out);
                break;
            case OpKind::dense_dynamic: {
                require_inputs(op, 2);
                require_here(op.blocks >= 1 && op.repeats >= 1, "empty dense_dynamic");
                const std::int64_t groups = std::int64_t{op.blocks} * op.repeats;
                require_here(width(op.inputs[0]) % groups == 0, "input width of dense_dynamic");
                require_here(out % groups == 0, "output width of dense_dynamic");
                const std::int64_t elements = (width(op.inputs[0]) / groups) * (out / groups);
                require_here(width(op.inputs[1]) == op.blocks * elements, "weight width of dense_dynamic");
                break;
            }
            case OpKind::gather: {
                std::int64_t rows = 0;
                for (const int input : op.inputs) rows += width(input);
                require_index(op, static_cast<std::size_t>(out), rows);
                break;
            }
            case OpKind::unary:
                require_inputs(op, 1);
                require_here(width(op.inputs[0]) == out, "widths of an element-wise operation");
                require_here(op.constants.size() == static_cast<std::size_t>(constants_of(op.unary)),
                             "number of constants");
                break;
            case OpKind::binary:
                require_inputs(op, 2);
                require_here(width(op.inputs[0]) == out && width(op.inputs[1]) == out,
                             "widths of an element-wise operation");
                break;
            case OpKind::select:
                require_inputs(op, 3);
                for (const int input : op.inputs) {
                    require_here(width(input) == out, "widths of an element-wise operation");
                }
                break;
            case OpKind::segment_sum:
                require_inputs(op, 1);
                require_index(op, static_cast<std::size_t>(width(op.inputs[0])), out);
                break;
            case OpKind::bucketize: {
                const std::int64_t knots = elements(op, "reads knots of two kinds, or of none");
                require_here(op.blocks >= 1 && out % op.blocks == 0, "groups of bucketize");
                require_here(knots >= 1 && knots % op.blocks == 0, "number of knots");
                require_here(width(op.inputs[0]) == out, "widths of bucketize");
                break;
            }
            case OpKind::lookup: {
                const std::int64_t size = elements(op, "reads tables of two kinds, or of none");
                require_here(out % width(op.inputs[0]) == 0, "output width of lookup");
                require_here(op.stride >= 1 && op.count >= 1, "an empty table");
                const std::int64_t last = std::int64_t{op.stride} * (op.count - 1);
                require_index(op, static_cast<std::size_t>(out), size - last);
                break;
            }
            case OpKind::parameter:
                require_inputs(op, 0);
                require_parameter(op.parameter, out);
                break;
            case OpKind::constant:
                require_inputs(op, 0);
                require_here(op.constants.size() == static_cast<std::size_t>(out), "number of constants");
                break;
        }
    }

    void require_index(const Op& op, std::size_t entries, std::int64_t bound) const {
        require_here(op.index.size() == entries, "number of indices");
        for (const int row : op.index) require_here(row >= 0 && row < bound, "an index is out of range");
    }

    const Program& program_;
    std::vector<bool> written_;
    std::vector<bool> shared_;  // by value
    std::size_t position_ = 0;
};

}  // namespace

void validate(const Program& program) { Validator(program).run(); }

bool passes_gradient(const Op& op, std::size_t input) {
    switch (op.kind) {
        case OpKind::unary:
            return !numerics::is_flat(op.unary);
        case OpKind::binary:
            return !numerics::is_flat(op.binary);
        case OpKind::select:
        case OpKind::lookup:
            return input != 0;
        case OpKind::bucketize:
            return false;
        default:
            return true;
    }
}

}  // namespace flashode::program
