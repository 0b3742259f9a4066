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
        : tableau_(tableau),
          equations_(tableau, rows),
          matrix_(equations_.matrix_size()),
          unknowns_(equations_.vector_size()),
          pivots_(unknowns_.size()) {}

    // `field` holds what it kept of the stages and accumulates nothing; `reversed` is the same field, and
    // accumulates. Writes grad_y0 (n); grad_k (stages, n), which stands in place, and grad_stage (n) are
    // scratch.
    template <class Reversed>
    numerics::StepTimeGradients<Real> operator()(TileField<Real>& field, Reversed& reversed, Real dt, int n,
                                                 const Real* k, const Real* grad_y1, Real* accumulator,
                                                 Real* grad_k, Real* grad_stage, Real* grad_y0) {
        numerics::StepTimeGradients<Real> grad_times;
        for (int i = 0; i < tableau_.stages; ++i) {
            for (int e = 0; e < n; ++e) grad_k[i * n + e] = dt * tableau_.b[i] * grad_y1[e];
            grad_times.dt += tableau_.b[i] * numerics::dot(n, grad_y1, k + i * n);
        }
        std::copy(grad_y1, grad_y1 + n, grad_y0);
        const std::vector<StageRange>& ranges = equations_.ranges();
        for (auto range = ranges.rbegin(); range != ranges.rend(); ++range) {
            if (!range->is_explicit) {
                field.accumulate_into(nullptr);
                solve(field, *range, dt, grad_k + range->first * n);
                field.accumulate_into(accumulator);
            }
            for (int i = range->first; i < range->last; ++i) {
                const Real grad_t = reversed.vjp(i, grad_k + i * n, grad_stage);
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
    void solve(TileField<Real>& field, const StageRange& range, Real dt, Real* cotangents) {
        const int n = equations_.unknowns(range);
        equations_.linearise(field, range, dt, matrix_.data());
        numerics::factor<LANES<Real>>(n, matrix_.data(), pivots_.data());
        equations_.gather(range, cotangents, unknowns_.data());
        numerics::solve_transposed<LANES<Real>>(n, matrix_.data(), pivots_.data(), unknowns_.data());
        equations_.scatter(range, unknowns_.data(), cotangents);
    }

    const numerics::Tableau<Real>& tableau_;
    StageEquations<Real> equations_;
    Rows<Real> matrix_;
    Rows<Real> unknowns_;
    std::vector<int> pivots_;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
