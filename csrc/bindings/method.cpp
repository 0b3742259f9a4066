// Methods: a tableau and the settings of its step size control.
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/checks.hpp"
#include "cpu/engine.hpp"

namespace py = pybind11;

namespace flashode::bindings {

namespace {

using cpu::Control;
using cpu::Equations;
using cpu::Interpolant;
using Row = std::vector<double>;

void require_finite(const char* name, const Row& numbers) {
    require(std::all_of(numbers.begin(), numbers.end(), [](double x) { return std::isfinite(x); }), name,
            " holds what is no finite number");
}

template <class Value>
const Value& entry(const char* what, const std::map<std::string, Value>& values, const std::string& name) {
    const auto named = values.find(name);
    require(named != values.end(), what, " has no ", name);
    return named->second;
}

// The numbers of a policy by their names.
using Policy = std::map<std::string, double>;

numerics::FirstStep automatic_first_step(const Policy& policy) {
    const auto number = [&](const char* name) { return entry("automatic_first_step", policy, name); };
    return {number("share"), number("least_norm"),  number("least_step"),
            number("flat"),  number("flat_growth"), number("most_growth")};
}

numerics::Newton newton(const Policy& policy) {
    const auto number = [&](const char* name) { return entry("newton", policy, name); };
    const double iterations = number("max_iterations");
    require(iterations >= 1.0 && iterations <= std::numeric_limits<int>::max(), "max_iterations is no count");
    return {static_cast<int>(iterations), number("roundings"), number("stagnation"), number("contraction")};
}

numerics::InterpolantWeights interpolant_weights(const std::map<std::string, Row>& rows) {
    numerics::InterpolantWeights weights;
    const auto polynomial = [&](const char* name) {
        const Row& row = entry("interpolant_weights", rows, name);
        require_finite(name, row);
        require(row.size() >= 2 && row.size() <= numerics::MAX_DEGREE + 1, name,
                " has another degree than any interpolant");
        weights.degree = std::max(weights.degree, static_cast<int>(row.size()) - 1);
        numerics::Polynomial weight;
        std::copy(row.begin(), row.end(), weight.coefficients);
        return weight;
    };
    weights.y0 = polynomial("y0"), weights.y1 = polynomial("y1"), weights.y_mid = polynomial("y_mid");
    weights.f0 = polynomial("f0"), weights.f1 = polynomial("f1");
    return weights;
}

numerics::Tableau<double> tableau(const numerics::TableauFacts& facts, const std::vector<Row>& a,
                                  const Row& b, const Row& c, const Row& b_error, const Row& b_mid) {
    const std::size_t stages = b.size();
    const bool chooses = facts.control == Control::error;
    const bool implicit = facts.equations != Equations::none;
    require(facts.order >= 1, "order is not positive");
    for (const Row& row : a) require_finite("a", row);
    require_finite("b", b);
    require_finite("c", c);
    require_finite("b_error", b_error);
    require_finite("b_mid", b_mid);
    require(stages >= 1 && stages <= static_cast<std::size_t>(numerics::MAX_STAGES), "a tableau has 1 to ",
            numerics::MAX_STAGES, " stages");
    require(a.size() == stages && c.size() == stages, "a, b and c disagree in length");
    require(!chooses || stages >= 2, "an error estimate needs two stages");
    require(b_error.size() == (chooses ? stages : 0),
            "b_error has one weight for each stage of a method that chooses its steps, and none of others");
    require(b_mid.empty() || b_mid.size() == stages, "b_mid has one weight for each stage, or none");
    require(
        facts.carried == (chooses && (facts.fsal || !implicit)),
        "those methods carry their last stage that choose their steps, implicit ones if it is at the end");
    numerics::Tableau<double> to{facts, {}, {}, {}, {}, {}};
    to.stages = static_cast<int>(stages);
    for (std::size_t i = 0; i < stages; ++i) {
        require(a[i].size() == (implicit ? stages : i),
                "row i of a must have i entries, those of an implicit tableau one a stage");
        std::copy(a[i].begin(), a[i].end(), to.a[i]);
    }
    std::copy(b.begin(), b.end(), to.b);
    std::copy(c.begin(), c.end(), to.c);
    std::copy(b_error.begin(), b_error.end(), to.b_error);
    std::copy(b_mid.begin(), b_mid.end(), to.b_mid);
    return to;
}

// Controllers that break these rules might never come to an end.
void require_settings(const cpu::Method& method) {
    const auto at_least = [](const char* name, double value, double least) {
        require(value >= least, name, " is ", value, ", less than ", least);
    };
    const numerics::Controller& controller = method.controller;
    at_least("rtol", method.rtol, 0.0);
    at_least("atol", method.atol, 0.0);
    at_least("first_step", method.first_step, 0.0);
    require(std::isfinite(method.first_step), "first_step is not finite");
    at_least("min_step", controller.min_step, 0.0);
    at_least("max_step", controller.max_step, controller.min_step);
    require(controller.safety > 0.0, "safety is not positive");
    at_least("ifactor", controller.ifactor, 1.0);
    require(controller.dfactor > 0.0 && controller.dfactor <= 1.0, "dfactor is not within (0, 1]");
    require(method.max_num_steps >= 0, "max_num_steps is negative");
}

Row increasing(const char* name, Row times) {
    require_finite(name, times);
    require(std::is_sorted(times.begin(), times.end()), name, " must not decrease");
    return times;
}

}  // namespace

void bind_method(const py::module_& m) {
    py::class_<cpu::Method>(m, "Method")
        .def(py::init([](int order, const std::string& control, const std::string& equations, bool carried,
                         bool fsal, const std::vector<Row>& a, const Row& b, const Row& c, const Row& b_error,
                         const Row& b_mid, const std::string& interpolant,
                         const std::map<std::string, Row>& weights, double rtol, double atol,
                         double first_step, const Policy& first_step_policy, double min_step, double max_step,
                         double safety, double ifactor, double dfactor, std::int64_t max_num_steps,
                         const Policy& newton_policy, bool perturb, Row step_t, Row jump_t) {
                 cpu::Method method;
                 method.tableau =
                     tableau({0, order,
                              entry<Control>("control",
                                             {{"fixed", Control::fixed}, {"error", Control::error}}, control),
                              entry<Equations>("equations",
                                               {{"none", Equations::none},
                                                {"diagonal", Equations::diagonal},
                                                {"full", Equations::full}},
                                               equations),
                              carried, fsal},
                             a, b, c, b_error, b_mid);
                 method.interpolant = entry<Interpolant>("interpolant",
                                                         {{"linear", Interpolant::linear},
                                                          {"cubic", Interpolant::cubic},
                                                          {"quartic", Interpolant::quartic}},
                                                         interpolant);
                 require(method.interpolant != Interpolant::quartic ||
                             (method.tableau.control == Control::error && !b_mid.empty()),
                         "the quartic goes through the middle of a step, with the slope at its end");
                 method.interpolant_weights = interpolant_weights(weights);
                 method.controller = {min_step, max_step, safety, ifactor, dfactor};
                 method.first_step = first_step;
                 method.automatic_first_step = automatic_first_step(first_step_policy);
                 method.max_num_steps = max_num_steps;
                 method.rtol = rtol;
                 method.atol = atol;
                 method.newton = newton(newton_policy);
                 method.perturb = perturb;
                 method.step_t = increasing("step_t", std::move(step_t));
                 method.jump_t = increasing("jump_t", std::move(jump_t));
                 require_settings(method);
                 return method;
             }),
             py::kw_only(), py::arg("order"), py::arg("control"), py::arg("equations"), py::arg("carried"),
             py::arg("fsal"), py::arg("a"), py::arg("b"), py::arg("c"), py::arg("b_error"), py::arg("b_mid"),
             py::arg("interpolant"), py::arg("interpolant_weights"), py::arg("rtol"), py::arg("atol"),
             py::arg("first_step"), py::arg("automatic_first_step"), py::arg("min_step"), py::arg("max_step"),
             py::arg("safety"), py::arg("ifactor"), py::arg("dfactor"), py::arg("max_num_steps"),
             py::arg("newton"), py::arg("perturb"), py::arg("step_t") = Row{}, py::arg("jump_t") = Row{});
}

}  // namespace flashode::bindings
