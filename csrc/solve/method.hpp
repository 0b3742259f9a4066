// A method and the settings of its steps, as every engine receives them.
#pragma once

#include <cstdint>

#include "numerics/controller.hpp"
#include "numerics/tableau.hpp"

namespace flashode::solve {

struct Method {
    numerics::Tableau<double> tableau;
    numerics::Controller controller;
    double first_step = 0.0;         // 0: automatic
    std::int64_t max_num_steps = 0;  // to an output time, or by a fixed-step method to an event
    double rtol = 0.0;
    double atol = 0.0;
    int max_iterations = 0;  // implicit methods: of Newton's method for one system of stages
    bool perturb = false;    // fixed-step methods: look just inside the step at both of its ends
    bool cubic = false;      // fixed-step methods: Hermite's cubic between the ends of a step, not a line
};

}  // namespace flashode::solve
