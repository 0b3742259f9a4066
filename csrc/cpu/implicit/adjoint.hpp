// The continuous adjoint by an implicit method.
//
// The state's stages do not depend on the adjoint's and are solved for first. Those of the adjoint,
//   A_i = -J_i^T α_i   with   α_i = a + ds * sum_j a[i][j] A_j,
// are linear: α obeys α_i + ds * sum_j a[i][j] J_j^T α_j = a, whose transposed matrix has the rows of J_i in
// its row i. Nothing depends on the gradients in parameters and c: they follow from evaluations at α.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "cpu/continuous_vjp.hpp"
#include "cpu/implicit/forward.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

template <class Real>
class ImplicitAdjointSystem : public AdjointSystem<Real> {
    using Base = AdjointSystem<Real>;
    using Base::method_, Base::tableau_, Base::tiles_, Base::context_, Base::rows_, Base::y0_, Base::y1_,
        Base::f0_, Base::quadrature_;

   public:
    ImplicitAdjointSystem(const ContinuousRequest<Real>& request, const Field& reversed,
                          const Tape<Real>& tape, StageAccumulators<Real>& accumulators, TileGroups groups,
                          Team& team)
        : Base(request, reversed, tape, accumulators, groups, team, request.method->tableau.stages),
          solver_(tableau_, rows_, context_, method_.newton),
          equations_(tableau_, rows_),
          inputs_(this->own().stages.size()),
          scratch_stages_(inputs_.size() / 2) {}

    bool fixed_step(const Step& step) {
        const auto start = implicit_start<Real>(method_, step, y0_.data(), tiles_.size());
        solver_.solve(field().of_state(), start, [&](std::int64_t i, Real* slope) {
            field().of_state()(0, start.time, &y0_[tiles_.offset(i)], slope);
        });
        const bool finite = this->finite_everywhere(
            0, tableau_.stages, [&](auto&, std::int64_t i) { return complete_step(i, start); });
        quadrature_.fixed_step(start.times.dt);
        return finite;
    }

    double attempt(const Step& step, bool dense) {
        const auto start = implicit_start<Real>(method_, step, y0_.data(), tiles_.size());
        this->forget_nonfinite();
        solver_.solve(field().of_state(), start, [&](std::int64_t i, Real* slope) {
            std::copy_n(&f0_[tiles_.offset(i)], rows_.size(), slope);
        });
        if (!solver_.converged()) return std::numeric_limits<double>::quiet_NaN();
        this->over_tiles(0, tableau_.stages, [&](auto& own, std::int64_t i) {
            complete_step(i, start);
            this->finish_attempt(own, i, start.times.dt, stage(0), dense);
        });
        return this->error_norm(start.times.dt, dense);
    }

    void count(const Step& step, Outcome& outcome) const {
        count_implicit(solver_, method_, step, outcome);
        outcome.evaluations += tableau_.stages;
    }

   private:
    AugmentedTileField<Real>& field() { return this->own().field; }

    using Start = typename StageSolver<Real>::Start;

    // The adjoint's stages of a tile whose state's are solved for, and the end of the step; whether that is
    // finite.
    bool complete_step(std::int64_t tile, const Start& start) {
        const std::size_t at = tiles_.offset(tile);
        evaluate_state(tile, start);
        for (const StageRange& range : equations_.ranges()) solve_adjoint(tile, range, start);
        numerics::combine(tiles_.size(), &y0_[at], start.times.dt, tableau_.b, tableau_.stages, stage(0),
                          &y1_[at]);
        const bool finite = tiles_.finite(&y1_[at]);
        if (!finite) this->note_nonfinite(tile, stage(0));
        return finite;
    }

    // The state's part of the stages and of their arguments, and what the field keeps there.
    void evaluate_state(std::int64_t tile, const Start& start) {
        const int n = rows_.size();
        const Real* y0 = &y0_[tiles_.offset(tile)];
        const Real* k = solver_.stages(tile);
        for (int i = 0; i < tableau_.stages; ++i) {
            Real* y = input(i);
            numerics::combine(n, y0, start.times.dt, tableau_.a[i], tableau_.stages, k, y);
            std::copy_n(k + i * n, n, stage(i));
            field().of_state()(i, StageSolver<Real>::stage_time(tableau_, start, i), y,
                               scratch_stages_.data());
        }
    }

    // The adjoint's part of the stages of a range.
    void solve_adjoint(std::int64_t tile, const StageRange& range, const Start& start) {
        const int n = rows_.size();
        const Real* a0 = &y0_[tiles_.offset(tile)] + n;
        for (int i = range.first; i < range.last; ++i) {
            Real* alpha = scratch_stages_.data() + (i - range.first) * n;
            std::copy_n(a0, n, alpha);
            for (int j = 0; j < range.first; ++j) {
                numerics::add_scaled(n, start.times.dt * tableau_.a[i][j], stage(j) + n, alpha);
            }
        }
        if (!range.is_explicit) {
            equations_.solve(field().of_state(), range, -start.times.dt, scratch_stages_.data(), true);
        }
        for (int i = range.first; i < range.last; ++i) {
            std::copy_n(scratch_stages_.data() + (i - range.first) * n, n, input(i) + n);
            field().adjoint_rate(i, input(i), stage(i));
        }
    }

    // Of the tile at hand.
    Real* stage(int i) { return this->own().stages.data() + i * tiles_.size(); }
    Real* input(int i) { return inputs_.data() + i * tiles_.size(); }

    StageSolver<Real> solver_;
    TransposedEquations<Real> equations_;
    Rows<Real> inputs_;
    Rows<Real> scratch_stages_;  // (stages, width, lanes)
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
