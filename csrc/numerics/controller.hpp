// Step size control, in double whatever the precision of the state.
#pragma once

#include "numerics/platform.hpp"
#include "numerics/root.hpp"

namespace flashode::numerics {

struct Controller {
    double min_step = 0.0;
    double max_step = 0.0;
    double safety = 0.0;   // aims below the tolerance by this factor
    double ifactor = 0.0;  // a step grows by at most this
    double dfactor = 0.0;  // a step shrinks by at most this
};

// How the automatic first step is chosen.
struct FirstStep {
    double share = 0.0;        // of y0 that the probe moves it by, and of the tolerance that the step takes
    double least_norm = 0.0;   // y0 or f0 are zero if their norm is less
    double least_step = 0.0;   // the probe where one of them is zero; the least step in a constant field
    double flat = 0.0;         // a field is constant if no norm is larger
    double flat_growth = 0.0;  // the step where it is, over the probe
    double most_growth = 0.0;  // the largest step over the probe
};

}  // namespace flashode::numerics

namespace flashode::numerics::inline FLASHODE_ISA {

FLASHODE_HD double clamp_step(const Controller& controller, double dt) {
    const double bounded = dt < controller.min_step ? controller.min_step : dt;
    return bounded > controller.max_step ? controller.max_step : bounded;
}

// `norm <= 1` is false for NaN, so a step that left the numbers is never accepted. A step already at its
// minimum is accepted by force when its error is a number.
FLASHODE_HD bool accept_step(const Controller& controller, double norm, double dt) {
    return norm <= 1.0 || (norm == norm && dt <= controller.min_step);
}

// The elementary controller of Hairer, Norsett, Wanner, "Solving Ordinary Differential Equations I", II.4
// (4.13), with no decrease after an accepted step. A norm that is NaN shrinks the step as much as is allowed.
FLASHODE_HD double next_step(const Controller& controller, double norm, double dt, int order) {
    if (norm == 0.0) return dt * controller.ifactor;
    if (!(norm == norm)) return dt * controller.dfactor;
    const double least = norm < 1.0 ? 1.0 : controller.dfactor;
    const double wanted = over_root(controller.safety, norm, order);
    const double raised = wanted > least ? wanted : least;
    return dt * (raised < controller.ifactor ? raised : controller.ifactor);
}

// The automatic first step of the same book, II.4: a probe of size h0 from the norms of y0 and f0 …
FLASHODE_HD double initial_probe(const FirstStep& policy, double norm_y0, double norm_f0) {
    const double least = policy.least_norm;
    const double probe = policy.share * norm_y0 / norm_f0;
    const bool usable = norm_y0 >= least && norm_f0 >= least && probe > 0.0 && probe - probe == 0.0;
    return usable ? probe : policy.least_step;
}

// … and the step itself once the norm of the second derivative, (f(t0 + h0, y0 + h0 f0) - f0) / h0, is known.
// `order` is the order of the method; its error estimate is one lower. Where the probe left the numbers or a
// norm overflowed, the probe itself is the step: rejections shrink it from there.
FLASHODE_HD double initial_step(const FirstStep& policy, double probe, double norm_f0, double norm_second,
                                int order) {
    if (!(norm_f0 - norm_f0 == 0.0) || !(norm_second - norm_second == 0.0)) return probe;
    double step;
    if (norm_f0 <= policy.flat && norm_second <= policy.flat) {
        const double grown = probe * policy.flat_growth;
        step = grown > policy.least_step ? grown : policy.least_step;
    } else {
        const double largest = norm_f0 > norm_second ? norm_f0 : norm_second;
        step = root(policy.share / largest, order);
    }
    return step < policy.most_growth * probe ? step : policy.most_growth * probe;
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
