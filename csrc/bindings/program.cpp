// Programs: built operation by operation, validated once, never changed after.
#include "program/program.hpp"

#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"

namespace py = pybind11;

namespace flashode::bindings {

namespace {

using program::Op;
using program::OpKind;
using program::Program;

class Builder {
   public:
    Builder(std::vector<int> widths, std::vector<std::int64_t> parameter_sizes) {
        program_.widths = std::move(widths);
        program_.parameter_sizes = std::move(parameter_sizes);
    }

    void dense(int out, int x, int weight, std::optional<int> bias, int repeats, int features_in,
               int features_out) {
        Op& op = add(OpKind::dense, out, {x});
        op.parameter = weight;
        if (bias && *bias < 0) throw std::invalid_argument("bias is no parameter");
        op.bias = bias.value_or(-1);
        op.repeats = repeats;
        op.features_in = features_in;
        op.features_out = features_out;
    }

    void dense_dynamic(int out, int x, int weight, int blocks, int repeats) {
        Op& op = add(OpKind::dense_dynamic, out, {x, weight});
        op.blocks = blocks;
        op.repeats = repeats;
    }

    void gather(int out, std::vector<int> inputs, std::vector<int> index) {
        add(OpKind::gather, out, std::move(inputs)).index = std::move(index);
    }

    void unary(int out, int x, const std::string& fn, std::vector<double> constants) {
        Op& op = add(OpKind::unary, out, {x});
        const auto known = numerics::unary_from_name(fn);
        if (!known) throw std::invalid_argument("unknown unary function '" + fn + "'");
        op.unary = *known;
        op.constants = std::move(constants);
    }

    void binary(int out, int a, int b, const std::string& fn) {
        Op& op = add(OpKind::binary, out, {a, b});
        const auto known = numerics::binary_from_name(fn);
        if (!known) throw std::invalid_argument("unknown binary function '" + fn + "'");
        op.binary = *known;
    }

    void select(int out, int condition, int a, int b) { add(OpKind::select, out, {condition, a, b}); }

    void segment_sum(int out, int x, std::vector<int> segment) {
        add(OpKind::segment_sum, out, {x}).index = std::move(segment);
    }

    void parameter(int out, int parameter) { add(OpKind::parameter, out, {}).parameter = parameter; }

    void constant(int out, std::vector<double> values) {
        add(OpKind::constant, out, {}).constants = std::move(values);
    }

    std::shared_ptr<Program> finish(int output) {
        program_.output = output;
        program::validate(program_);
        return std::make_shared<Program>(std::move(program_));
    }

   private:
    Op& add(OpKind kind, int out, std::vector<int> inputs) {
        Op& op = program_.ops.emplace_back();
        op.kind = kind;
        op.out = out;
        op.inputs = std::move(inputs);
        return op;
    }

    Program program_;
};

}  // namespace

void bind_program(const py::module_& m) {
    m.attr("MAX_ROWS") = program::MAX_ROWS;
    m.attr("MAX_PARAMETER_ELEMENTS") = program::MAX_PARAMETER_ELEMENTS;
    py::class_<Program, std::shared_ptr<Program>>(m, "Program")
        .def_property_readonly("width", &Program::width);
    py::class_<Builder>(m, "ProgramBuilder")
        .def(py::init<std::vector<int>, std::vector<std::int64_t>>(), py::kw_only(), py::arg("widths"),
             py::arg("parameter_sizes"))
        .def("dense", &Builder::dense, py::kw_only(), py::arg("out"), py::arg("x"), py::arg("weight"),
             py::arg("bias"), py::arg("repeats"), py::arg("features_in"), py::arg("features_out"))
        .def("dense_dynamic", &Builder::dense_dynamic, py::kw_only(), py::arg("out"), py::arg("x"),
             py::arg("weight"), py::arg("blocks"), py::arg("repeats"))
        .def("gather", &Builder::gather, py::kw_only(), py::arg("out"), py::arg("inputs"), py::arg("index"))
        .def("unary", &Builder::unary, py::kw_only(), py::arg("out"), py::arg("x"), py::arg("fn"),
             py::arg("constants"))
        .def("binary", &Builder::binary, py::kw_only(), py::arg("out"), py::arg("a"), py::arg("b"),
             py::arg("fn"))
        .def("select", &Builder::select, py::kw_only(), py::arg("out"), py::arg("condition"), py::arg("a"),
             py::arg("b"))
        .def("segment_sum", &Builder::segment_sum, py::kw_only(), py::arg("out"), py::arg("x"),
             py::arg("segment"))
        .def("parameter", &Builder::parameter, py::kw_only(), py::arg("out"), py::arg("parameter"))
        .def("constant", &Builder::constant, py::kw_only(), py::arg("out"), py::arg("values"))
        .def("finish", &Builder::finish, py::kw_only(), py::arg("output"));
}

}  // namespace flashode::bindings
