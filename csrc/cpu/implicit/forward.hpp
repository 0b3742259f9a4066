// The forward solve of an implicit method.
#pragma once

#include <limits>

#include "cpu/forward.hpp"
#include "cpu/implicit/solver.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// What the solver needs to know of a step.
template <class Real>
inline typename StageSolver<Real>::Start implicit_start(const Method& method, const Step& step,
                                                        const Real* y0, int tile_size) {
    const numerics::StepTimes<Real> times = solve::rounded_times<Real>(method, step);
    const bool after = method.perturb || step.fresh;
    return {y0, static_cast<std::size_t>(tile_size), after ? solve::just_after(times.start) : times.start,
            times};
}

// Adds what a step cost to the outcome. One that an error chooses has the slope at its start in place, and is
// rejected if its equations were not solved.
template <class Real>
inline void count_implicit(const StageSolver<Real>& solver, const Method& method, const Step& step,
                           Outcome& outcome) {
    outcome.evaluations += solver.evaluations();
    if (method.tableau.control == Control::error) return;
    ++outcome.evaluations;
    if (!solver.converged() && outcome.unconverged++ == 0) outcome.unconverged_t = step.start;
}

template <class Real>
class ImplicitSystem : public ForwardSystem<Real> {
    using Base = ForwardSystem<Real>;
    using Base::method_, Base::tableau_, Base::tiles_, Base::context_, Base::y0_, Base::y1_, Base::f0_;

   public:
    ImplicitSystem(const ForwardRequest<Real>& request, const Tape<Real>& tape, Record<Real>& record,
                   TileGroups groups, Team& team)
        : Base(request, tape, record, groups, team, request.method->tableau.stages),
          solver_(tableau_, tiles_, context_, method_.newton) {}

    bool fixed_step(const Step& step) {
        const auto start = implicit_start<Real>(method_, step, y0_.data(), tiles_.size());
        return solve_step(start, [&](std::int64_t tile, Real* slope) {
            const std::size_t at = tiles_.offset(tile);
            this->own().field(0, start.time, &y0_[at], slope);
            std::copy_n(slope, tiles_.size(), &f0_[at]);
        });
    }

    double attempt(const Step& step, bool dense) {
        const auto start = implicit_start<Real>(method_, step, y0_.data(), tiles_.size());
        this->forget_nonfinite();
        solve_step(start, [&](std::int64_t tile, Real* slope) {
            std::copy_n(&f0_[tiles_.offset(tile)], tiles_.size(), slope);
        });
        if (!solver_.converged()) return std::numeric_limits<double>::quiet_NaN();
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            this->finish_attempt(this->own(), i, start.times.dt, solver_.stages(i), dense);
        }
        return this->error_norm(start.times.dt, dense);
    }

    void count(const Step& step, Outcome& outcome) const { count_implicit(solver_, method_, step, outcome); }

    void write_checkpoint(Real* to) {
        to = std::copy(y0_.begin(), y0_.end(), to);
        std::copy(solver_.all_stages().begin(), solver_.all_stages().end(), to);
    }

   private:
    // The stages and the end of a step; whether that is finite. `slope` as of the solver.
    template <class Slope>
    bool solve_step(const typename StageSolver<Real>::Start& start, const Slope& slope) {
        solver_.solve(this->own().field, start, slope);
        bool finite = true;
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            const std::size_t at = tiles_.offset(i);
            numerics::combine(tiles_.size(), &y0_[at], start.times.dt, tableau_.b, tableau_.stages,
                              solver_.stages(i), &y1_[at]);
            if (tiles_.finite(&y1_[at])) continue;
            finite = false;
            this->note_nonfinite(i, solver_.stages(i));
        }
        return finite;
    }

    StageSolver<Real> solver_;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
