// Methods: a tableau and the settings of its step size control.
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/checks.hpp"
#include "cpu/engine.hpp"

namespace py = pybind11;

namespace flashode::bindings {

namespace {

using Row = std::vector<double>;

void require_finite(const char* name, const Row& numbers) {
    require(std::all_of(numbers.begin(), numbers.end(), [](double x) { return std::isfinite(x); }),
            std::string(name) + " holds what is no finite number");
}

numerics::Tableau<double> tableau(int order, bool adaptive, bool fsal, const std::vector<Row>& a,
                                  const Row& b, const Row& c, const Row& b_error, const Row& b_mid) {
    const std::size_t stages = b.size();
    const bool implicit = !a.empty() && !a.front().empty();
    require(order >= 1, "order is not positive");
    for (const Row& row : a) require_finite("a", row);
    require_finite("b", b);
    require_finite("c", c);
    require_finite("b_error", b_error);
    require_finite("b_mid", b_mid);
    if (stages < 1 || stages > static_cast<std::size_t>(numerics::MAX_STAGES)) {
        throw std::invalid_argument("a tableau has 1 to " + std::to_string(numerics::MAX_STAGES) + " stages");
    }
    if (a.size() != stages || c.size() != stages)
        throw std::invalid_argument("a, b and c disagree in length");
    if (adaptive && (stages < 2 || b_error.size() != stages || b_mid.size() != stages)) {
        throw std::invalid_argument(
            "an adaptive tableau needs an error weight and a midpoint weight for each stage");
    }
    numerics::Tableau<double> made;
    made.stages = static_cast<int>(stages);
    made.order = order;
    made.adaptive = adaptive;
    made.fsal = fsal;
    made.implicit = implicit;
    for (std::size_t i = 0; i < stages; ++i) {
        if (a[i].size() != (implicit ? stages : i)) {
            throw std::invalid_argument(
                "row i of a must have i entries, those of an implicit tableau one a stage");
        }
        std::copy(a[i].begin(), a[i].end(), made.a[i]);
    }
    std::copy(b.begin(), b.end(), made.b);
    std::copy(c.begin(), c.end(), made.c);
    if (adaptive) {
        std::copy(b_error.begin(), b_error.end(), made.b_error);
        std::copy(b_mid.begin(), b_mid.end(), made.b_mid);
    }
    return made;
}

// Controllers that break these rules might never come to an end.
void require_settings(const cpu::Method& method) {
    const auto at_least = [](const char* name, double value, double least) {
        require(value >= least,
                std::string(name) + " is " + std::to_string(value) + ", less than " + std::to_string(least));
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
    require(method.max_iterations >= (method.tableau.implicit ? 1 : 0), "max_iterations is too small");
}

Row increasing(const char* name, Row times) {
    require_finite(name, times);
    require(std::is_sorted(times.begin(), times.end()), std::string(name) + " must not decrease");
    return times;
}

}  // namespace

void bind_method(const py::module_& m) {
    py::class_<cpu::Method>(m, "Method")
        .def(py::init([](int order, bool adaptive, bool fsal, const std::vector<Row>& a, const Row& b,
                         const Row& c, const Row& b_error, const Row& b_mid, double rtol, double atol,
                         double first_step, double min_step, double max_step, double safety, double ifactor,
                         double dfactor, std::int64_t max_num_steps, bool perturb, Row step_t, Row jump_t,
                         bool cubic, int max_iterations) {
                 cpu::Method method;
                 method.tableau = tableau(order, adaptive, fsal, a, b, c, b_error, b_mid);
                 method.controller = {min_step, max_step, safety, ifactor, dfactor};
                 method.first_step = first_step;
                 method.max_num_steps = max_num_steps;
                 method.rtol = rtol;
                 method.atol = atol;
                 method.perturb = perturb;
                 method.step_t = increasing("step_t", std::move(step_t));
                 method.jump_t = increasing("jump_t", std::move(jump_t));
                 method.cubic = cubic;
                 method.max_iterations = max_iterations;
                 require_settings(method);
                 return method;
             }),
             py::kw_only(), py::arg("order"), py::arg("adaptive"), py::arg("fsal"), py::arg("a"),
             py::arg("b"), py::arg("c"), py::arg("b_error"), py::arg("b_mid"), py::arg("rtol"),
             py::arg("atol"), py::arg("first_step"), py::arg("min_step"), py::arg("max_step"),
             py::arg("safety"), py::arg("ifactor"), py::arg("dfactor"), py::arg("max_num_steps"),
             py::arg("perturb"), py::arg("step_t") = Row{}, py::arg("jump_t") = Row{},
             py::arg("cubic") = false, py::arg("max_iterations") = 0);
}

}  // namespace flashode::bindings
