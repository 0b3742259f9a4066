// Newton's method on the equations of a step's stages, over all tiles of a batch.
//
// The whole batch iterates together and stops together, so that the number of evaluations is one that a
// caller who evaluates a batch at a time would count; the matrices are those of single trajectories. It stops
// where rounding does: gradients take the stages for exact solutions.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/engine.hpp"
#include "cpu/implicit/stages.hpp"
#include "numerics/combine.hpp"
#include "numerics/newton.hpp"
#include "numerics/step.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

template <class Real>
class StageSolver {
   public:
    // A step of the batch. Of a tile at its start `y0` leads to the first rows, those of the solver's `rows`;
    // others may follow them.
    struct Start {
        const Real* y0;
        std::size_t stride;  // from tile to tile
        Real time;
        numerics::StepTimes<Real> times;
    };

    // `tableau`, `rows`, `context` and `policy` outlive this.
    StageSolver(const numerics::Tableau<Real>& tableau, const Tiles<Real>& rows, const Context<Real>& context,
                const numerics::Newton& policy)
        : tableau_(tableau),
          rows_(rows),
          context_(context),
          policy_(policy),
          equations_(tableau, rows),
          tile_stages_(static_cast<std::size_t>(tableau.stages) * static_cast<std::size_t>(rows.size())),
          stages_(tile_stages_ * tile_count()),
          unknowns_(equations_.vector_size() * tile_count()),
          pivots_(unknowns_.size()),
          matrices_(equations_.matrix_size() * tile_count()),
          argument_(static_cast<std::size_t>(rows.size())),
          change_(argument_.size()) {}

    // Solves for the stages of all tiles, from the slope at the start of the step, which `slope(tile, k)`
    // writes after the field has entered the tile. The field keeps the values of every stage.
    template <class Slope>
    void solve(TileField<Real>& field, const Start& start, const Slope& slope) {
        evaluations_ = 0;
        for (std::int64_t tile = 0; tile < rows_.count(); ++tile) {
            Real* k = stages(tile);
            field.enter_tile(context_.of(tile));
            slope(tile, k);
            for (int stage = 1; stage < tableau_.stages; ++stage) {
                std::copy_n(k, rows_.size(), k + stage * rows_.size());
            }
        }
        converged_ = true;
        for (const StageRange& range : equations_.ranges()) {
            if (!range.is_explicit) converged_ = solve_range(field, range, start) && converged_;
        }
    }

    // (stages, width, lanes)
    Real* stages(std::int64_t tile) { return &stages_[static_cast<std::size_t>(tile) * tile_stages_]; }
    // The same of all tiles.
    const Rows<Real>& all_stages() const { return stages_; }
    // Of the last step, that of the slope at its start left out.
    std::int64_t evaluations() const { return evaluations_; }
    bool converged() const { return converged_; }

    // What the field sees at a stage.
    static Real stage_time(const numerics::Tableau<Real>& tableau, const Start& start, int stage) {
        return tableau.c[stage] == Real(0) ? start.time : start.times.stages[stage];
    }

   private:
    std::size_t tile_count() const { return static_cast<std::size_t>(rows_.count()); }
    static const Real* y0(const Start& start, std::int64_t tile) {
        return start.y0 + static_cast<std::size_t>(tile) * start.stride;
    }
    Real* unknowns(std::int64_t tile) {
        return &unknowns_[static_cast<std::size_t>(tile) * equations_.vector_size()];
    }
    int* pivots(std::int64_t tile) {
        return &pivots_[static_cast<std::size_t>(tile) * equations_.vector_size()];
    }
    Real* matrix(std::int64_t tile) {
        return &matrices_[static_cast<std::size_t>(tile) * equations_.matrix_size()];
    }

    // Whether the stages of the range converged; they are the last iterate in any case.
    bool solve_range(TileField<Real>& field, const StageRange& range, const Start& start) {
        numerics::NewtonProgress<Real> progress(policy_);
        for (int iteration = 0; iteration < policy_.max_iterations; ++iteration) {
            bool regular = true;
            numerics::NewtonUpdate<Real> update;
            for (std::int64_t tile = 0; tile < rows_.count(); ++tile) {
                evaluate(field, tile, range, start, update);
                if (!progress.fresh()) continue;
                equations_.linearise(field, range, start.times.dt, matrix(tile));
                regular =
                    numerics::factor<LANES<Real>>(equations_.unknowns(range), matrix(tile), pivots(tile)) &&
                    regular;
            }
            evaluations_ += range.count();
            if (!regular) {
                for (std::int64_t tile = 0; tile < rows_.count(); ++tile) adopt_nonfinite(tile, range);
                return false;
            }
            for (std::int64_t tile = 0; tile < rows_.count(); ++tile) {
                improve(tile, range, start.times.dt, update);
            }
            if (!update.finite) return false;
            if (progress.converged(update)) return true;
        }
        return false;
    }

    // unknowns = what is missing of the equations
    void evaluate(TileField<Real>& field, std::int64_t tile, const StageRange& range, const Start& start,
                  numerics::NewtonUpdate<Real>& update) {
        const int n = rows_.size();
        const Real* from = y0(start, tile);
        const Real* k = stages(tile);
        field.enter_tile(context_.of(tile));
        for (int i = range.first; i < range.last; ++i) {
            numerics::combine(n, from, start.times.dt, tableau_.a[i], tableau_.stages, k, argument_.data());
            see_size(argument_.data(), update);
            Real* rate = unknowns(tile) + (i - range.first) * n;
            field(i, stage_time(tableau_, start, i), argument_.data(), rate);
            numerics::add_scaled(n, Real(-1), k + i * n, rate);
        }
        see_size(from, update);
    }

    // Rates that are NaN must show in the stages: the last iterate would hide them.
    void adopt_nonfinite(std::int64_t tile, const StageRange& range) {
        bool finite = true;
        const int size = equations_.unknowns(range) * LANES<Real>;
        largest(size, unknowns(tile), Real(0), finite);
        if (!finite) add_to_stages(tile, range, unknowns(tile));
    }

    void add_to_stages(std::int64_t tile, const StageRange& range, const Real* x) {
        numerics::add_scaled(equations_.unknowns(range) * LANES<Real>, Real(1), x,
                             stages(tile) + range.first * rows_.size());
    }

    // Adds the solution of the linear equations to the stages.
    void improve(std::int64_t tile, const StageRange& range, Real dt, numerics::NewtonUpdate<Real>& update) {
        const int size = equations_.unknowns(range);
        const int one = rows_.size();
        Real* x = unknowns(tile);
        numerics::solve<LANES<Real>>(size, matrix(tile), pivots(tile), x);
        add_to_stages(tile, range, x);
        const Real* none = nullptr;
        for (int i = range.first; i < range.last; ++i) {
            numerics::combine(one, none, dt, tableau_.a[i] + range.first, range.count(), x, change_.data());
            update.change = largest(one, change_.data(), update.change, update.finite);
        }
    }

    void see_size(const Real* y, numerics::NewtonUpdate<Real>& update) {
        update.size = largest(rows_.size(), y, update.size, update.finite);
    }

    // The largest magnitude, `least` if none is larger.
    static Real largest(int n, const Real* values, Real least, bool& finite) {
        Real lanes[LANES<Real>] = {};
        Real residue = Real(0);  // NaN from an infinity or a NaN
        for (int row = 0; row < n; row += LANES<Real>) {
            for (int l = 0; l < LANES<Real>; ++l) {
                const Real size = numerics::magnitude(values[row + l]);
                residue += size - size;
                lanes[l] = size > lanes[l] ? size : lanes[l];
            }
        }
        finite = finite && residue == Real(0);
        return std::max(least, *std::max_element(lanes, lanes + LANES<Real>));
    }

    const numerics::Tableau<Real>& tableau_;
    const Tiles<Real>& rows_;
    const Context<Real>& context_;
    const numerics::Newton& policy_;
    StageEquations<Real> equations_;
    std::size_t tile_stages_;  // scalars of one tile's stages
    Rows<Real> stages_;        // (tiles, stages, width, lanes)
    Rows<Real> unknowns_;      // (tiles, unknowns, lanes): what is missing of the equations, then the update
    std::vector<int> pivots_;
    Rows<Real> matrices_;  // (tiles, unknowns, unknowns, lanes): factors
    Rows<Real> argument_;  // of one tile and stage
    Rows<Real> change_;
    std::int64_t evaluations_ = 0;
    bool converged_ = true;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
