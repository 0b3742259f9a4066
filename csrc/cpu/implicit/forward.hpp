// The forward solve of an implicit method.
#pragma once

#include "cpu/forward.hpp"
#include "cpu/implicit/solver.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// What the solver needs to know of a step.
template <class Real>
inline typename StageSolver<Real>::Start implicit_start(const Method& method, const Step& step,
                                                        const Real* y0, int tile_size) {
    const numerics::StepTimes<Real> times = solve::rounded_times<Real>(method, step);
    return {y0, static_cast<std::size_t>(tile_size),
            method.perturb ? solve::just_after(times.start) : times.start, times};
}

// Adds what a step cost to the outcome.
template <class Real>
inline void count_implicit(const StageSolver<Real>& solver, const Step& step, Outcome& outcome) {
    outcome.evaluations += solver.evaluations();
    if (!solver.converged() && outcome.unconverged++ == 0) outcome.unconverged_t = step.start;
}

template <class Real>
class ImplicitSystem : public ForwardSystem<Real> {
    using Base = ForwardSystem<Real>;
    using Base::method_, Base::tableau_, Base::tiles_, Base::context_, Base::y0_, Base::y1_, Base::f0_;

   public:
    static constexpr bool MAY_CHOOSE_STEPS = false;

    ImplicitSystem(const ForwardRequest<Real>& request, const Tape<Real>& tape, Record<Real>& record,
                   TileGroups groups, Team& team)
        : Base(request, tape, record, groups, team, request.method->tableau.stages),
          solver_(tableau_, tiles_, context_, method_.newton) {}

    bool fixed_step(const Step& step) {
        const auto start = implicit_start<Real>(method_, step, y0_.data(), tiles_.size());
        solver_.solve(this->own().field, start, [&](std::int64_t tile, const Real* slope) {
            std::copy_n(slope, tiles_.size(), &f0_[tiles_.offset(tile)]);
        });
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

    void count(const Step& step, Outcome& outcome) const { count_implicit(solver_, step, outcome); }

    void write_checkpoint(Real* to) {
        to = std::copy(y0_.begin(), y0_.end(), to);
        std::copy(solver_.all_stages().begin(), solver_.all_stages().end(), to);
    }

   private:
    StageSolver<Real> solver_;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
