// Programs: lists of operations, validated once, never changed after.
#include "program/program.hpp"

#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/checks.hpp"

namespace py = pybind11;

namespace flashode::bindings {

namespace {

using program::Op;
using program::OpKind;
using program::Program;

OpKind kind_of(const std::string& name) {
    static const std::map<std::string, OpKind> kinds = {
        {"dense", OpKind::dense},         {"dense_dynamic", OpKind::dense_dynamic},
        {"gather", OpKind::gather},       {"unary", OpKind::unary},
        {"binary", OpKind::binary},       {"select", OpKind::select},
        {"parameter", OpKind::parameter}, {"segment_sum", OpKind::segment_sum},
        {"bucketize", OpKind::bucketize}, {"lookup", OpKind::lookup},
        {"constant", OpKind::constant}};
    const auto named = kinds.find(name);
    require(named != kinds.end(), "unknown operation '", name, "'");
    return named->second;
}

// Of these numbers only those count that the kind has a use for.
Op make_op(const std::string& kind, int out, std::vector<int> inputs, std::vector<int> index,
           std::vector<double> constants, const std::string& fn, int parameter, std::optional<int> bias,
           int blocks, int repeats, int features_in, int features_out, int stride, int count, bool right) {
    require(!bias || *bias >= 0, "bias is no parameter");
    Op op{kind_of(kind),
          out,
          std::move(inputs),
          std::move(index),
          std::move(constants),
          {},
          {},
          parameter,
          bias.value_or(-1),
          blocks,
          repeats,
          features_in,
          features_out,
          stride,
          count,
          right};
    if (op.kind == OpKind::unary) {
        const auto known = program::unary_from_name(fn);
        if (!known) throw std::invalid_argument("unknown unary function '" + fn + "'");
        op.unary = *known;
    } else if (op.kind == OpKind::binary) {
        const auto known = program::binary_from_name(fn);
        if (!known) throw std::invalid_argument("unknown binary function '" + fn + "'");
        op.binary = *known;
    }
    return op;
}

std::shared_ptr<Program> make_program(std::vector<int> widths, std::vector<std::int64_t> parameter_sizes,
                                      std::vector<Op> ops, int output, int shared) {
    Program program{std::move(widths), std::move(ops), output, std::move(parameter_sizes), shared};
    flashode::program::validate(program);
    return std::make_shared<Program>(std::move(program));
}

}  // namespace

void bind_program(const py::module_& m) {
    using py::arg;
    m.attr("MAX_ROWS") = program::MAX_ROWS;
    m.attr("MAX_PARAMETER_ELEMENTS") = program::MAX_PARAMETER_ELEMENTS;
    py::class_<Op>(m, "Op").def(py::init(&make_op), py::kw_only(), arg("kind"), arg("out"), arg("inputs"),
                                arg("index") = std::vector<int>{}, arg("constants") = std::vector<double>{},
                                arg("fn") = "", arg("parameter") = -1, arg("bias") = py::none(),
                                arg("blocks") = 1, arg("repeats") = 1, arg("features_in") = 0,
                                arg("features_out") = 0, arg("stride") = 1, arg("count") = 0,
                                arg("right") = false);
    py::class_<Program, std::shared_ptr<Program>>(m, "Program")
        .def(py::init(&make_program), py::kw_only(), arg("widths"), arg("parameter_sizes"), arg("ops"),
             arg("output"), arg("shared") = 0)
        .def_property_readonly("width", &Program::width);
}

}  // namespace flashode::bindings
