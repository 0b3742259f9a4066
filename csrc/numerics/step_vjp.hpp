// The exact reverse of one step (`step.hpp`), given its stages.
//
// With y_i = y0 + dt * sum_j a[i][j] k_j, k_i = f(t_i, y_i) and y1 = y0 + dt * sum_i b[i] k_i, the cotangents
// obey, from the last stage to the first,
//   y_i' = J_i^T k_i',   k_j' += dt * a[i][j] * y_i',   y0' += y_i'.
// Hairer, Norsett, Wanner, "Solving Ordinary Differential Equations I", II.1 for the notation.
//
// `Field` is called as field.vjp(stage, cotangent, grad_y) -> grad_t; it holds what it kept of evaluation
// `stage`, writes J^T cotangent to grad_y and adds parameter gradients wherever it keeps them.
#pragma once

#include "numerics/combine.hpp"
#include "numerics/platform.hpp"
#include "numerics/tableau.hpp"

namespace flashode::numerics {

// Cotangents of what a step has computed. Null pointers stand for zero.
template <class Real>
struct StepCotangents {
    const Real* y1;
    const Real* y_mid = nullptr;
    const Real* k_first = nullptr;  // besides its use in the step: from dense output
    const Real* k_last = nullptr;   // from dense output and from the next step that reused it
};

template <class Real>
struct StepTimeGradients {
    Real start = Real(0);  // with dt held constant
    Real dt = Real(0);
};

}  // namespace flashode::numerics

namespace flashode::numerics::inline FLASHODE_ISA {

// The cotangent of stage i before any later stage has added to it; false when it is zero throughout.
template <class Real>
FLASHODE_HD bool seed_stage(const Tableau<Real>& tableau, const StepCotangents<Real>& from, Real dt, int n,
                            int i, Real* grad) {
    const Real b = dt * tableau.b[i];
    const Real b_mid = from.y_mid != nullptr ? dt * tableau.b_mid[i] : Real(0);
    const Real* extra = i == 0 ? from.k_first : (i == tableau.stages - 1 ? from.k_last : nullptr);
    for (int e = 0; e < n; ++e) grad[e] = b * from.y1[e];
    if (b_mid != Real(0)) add_scaled(n, b_mid, from.y_mid, grad);
    if (extra != nullptr) add_scaled(n, Real(1), extra, grad);
    return b != Real(0) || b_mid != Real(0) || extra != nullptr;
}

// Writes grad_y0 (n) and, for the evaluation that gave k[0], grad_k[0]; grad_k (stages, n) and grad_stage (n)
// are scratch. `WithDt` adds the derivative with respect to the step size, for steps whose end does not
// move with their start.
template <bool WithDt, class Real, class Field>
FLASHODE_HD StepTimeGradients<Real> step_vjp(const Tableau<Real>& tableau, Field& field, Real dt, int n,
                                             const Real* k, const StepCotangents<Real>& from, Real* grad_k,
                                             Real* grad_stage, Real* grad_y0) {
    StepTimeGradients<Real> grad_times;
    bool active[MAX_STAGES];
    for (int i = 0; i < tableau.stages; ++i) {
        active[i] = seed_stage(tableau, from, dt, n, i, grad_k + i * n);
        if (WithDt && tableau.b[i] != Real(0)) grad_times.dt += tableau.b[i] * dot(n, from.y1, k + i * n);
        if (WithDt && from.y_mid != nullptr && tableau.b_mid[i] != Real(0)) {
            grad_times.dt += tableau.b_mid[i] * dot(n, from.y_mid, k + i * n);
        }
    }
    for (int e = 0; e < n; ++e) grad_y0[e] = from.y1[e];
    if (from.y_mid != nullptr) add_scaled(n, Real(1), from.y_mid, grad_y0);

    for (int i = tableau.stages - 1; i >= 1; --i) {
        if (!active[i]) continue;
        const Real grad_t = field.vjp(i, grad_k + i * n, grad_stage);
        grad_times.start += grad_t;
        if (WithDt) grad_times.dt += tableau.c[i] * grad_t;
        add_scaled(n, Real(1), grad_stage, grad_y0);
        for (int j = 0; j < i; ++j) {
            const Real a = tableau.a[i][j];
            if (a == Real(0)) continue;
            add_scaled(n, dt * a, grad_stage, grad_k + j * n);
            if (WithDt) grad_times.dt += a * dot(n, grad_stage, k + j * n);
            active[j] = true;
        }
    }
    return grad_times;
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
