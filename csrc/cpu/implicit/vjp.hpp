// The exact reverse of one implicit step, given its stages, by the implicit function theorem.
//
// With M = I - dt * a[i][j] J_i, the derivative of the stages' equations, the cotangents k' of the stages
// obey M^T λ = k', and then, as for an explicit step,
//   y_i' = J_i^T λ_i,   y0' += y_i',   k_j' += dt * a[i][j] * y_i' for stages j solved before.
// Hairer and Wanner, "Solving Ordinary Differential Equations II", IV.8 for the equations.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/implicit/stages.hpp"
#include "numerics/combine.hpp"
#include "numerics/step_vjp.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

template <class Real>
class ImplicitStepVjp {
   public:
    ImplicitStepVjp(const numerics::Tableau<Real>& tableau, const Tiles<Real>& rows)
        : tableau_(tableau), equations_(tableau, rows) {}

    // As numerics::step_vjp; `field` holds what it kept of the stages.
    numerics::StepTimeGradients<Real> operator()(TileField<Real>& field, Real dt, int n, const Real* k,
                                                 const numerics::StepCotangents<Real>& from, Real* grad_k,
                                                 Real* grad_stage, Real* grad_y0) {
        numerics::StepTimeGradients<Real> grad_times;
        for (int i = 0; i < tableau_.stages; ++i) {
            numerics::seed_stage(tableau_, from, dt, n, i, grad_k + i * n);
            grad_times.dt += tableau_.b[i] * numerics::dot(n, from.y1, k + i * n);
            if (from.y_mid != nullptr) {
                grad_times.dt += tableau_.b_mid[i] * numerics::dot(n, from.y_mid, k + i * n);
            }
        }
        std::copy(from.y1, from.y1 + n, grad_y0);
        if (from.y_mid != nullptr) numerics::add_scaled(n, Real(1), from.y_mid, grad_y0);
        const std::vector<StageRange>& ranges = equations_.ranges();
        for (auto range = ranges.rbegin(); range != ranges.rend(); ++range) {
            if (!range->is_explicit) equations_.solve(field, *range, dt, grad_k + range->first * n);
            for (int i = range->first; i < range->last; ++i) {
                const Real grad_t = field.vjp(i, grad_k + i * n, grad_stage);
                grad_times.start += grad_t;
                grad_times.dt += tableau_.c[i] * grad_t;
                numerics::add_scaled(n, Real(1), grad_stage, grad_y0);
                for (int j = 0; j < tableau_.stages; ++j) {
                    const Real a = tableau_.a[i][j];
                    if (a == Real(0)) continue;
                    grad_times.dt += a * numerics::dot(n, grad_stage, k + j * n);
                    if (j < range->first) numerics::add_scaled(n, dt * a, grad_stage, grad_k + j * n);
                }
            }
        }
        return grad_times;
    }

   private:
    const numerics::Tableau<Real>& tableau_;
    TransposedEquations<Real> equations_;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
