// A method and the settings of its steps, as every engine receives them.
#pragma once

#include <cstdint>

#include "numerics/controller.hpp"
#include "numerics/dense_output.hpp"
#include "numerics/newton.hpp"
#include "numerics/tableau.hpp"

namespace flashode::solve {

using numerics::Control;
using numerics::Equations;
using numerics::Interpolant;

struct Method {
    numerics::Tableau<double> tableau;
    numerics::Controller controller;
    double first_step = 0.0;  // 0: automatic
    numerics::FirstStep automatic_first_step;
    std::int64_t max_num_steps = 0;  // to an output time, or by a fixed-step method to an event
    double rtol = 0.0;
    double atol = 0.0;
    numerics::Newton newton;
    Interpolant interpolant = Interpolant::linear;
    numerics::InterpolantWeights interpolant_weights;
    bool perturb = false;  // given steps: look just inside the step at both of its ends
};

}  // namespace flashode::solve
