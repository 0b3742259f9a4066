// A system of solve/loops.hpp spread over tiles: what the forward solve and the adjoint solve have in common.
//
// `Fields` is called as numerics/step.hpp asks. `Quadrature` integrates along with the tiles what none of
// them owns and none of the rates depends on; the forward solve has nothing of the kind.
#pragma once

#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <tuple>
#include <type_traits>
#include <vector>

#include "cpu/engine.hpp"
#include "cpu/systems/error_measure.hpp"
#include "cpu/tape/tape.hpp"
#include "cpu/tiles/tile_field.hpp"
#include "cpu/tiles/tiles.hpp"
#include "cpu/workers/workers.hpp"
#include "numerics/step.hpp"
#include "solve/interpolation.hpp"
#include "solve/loops.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// What one worker needs for the tile at hand.
template <class Real, class Fields>
struct Workspace {
    Fields field;
    Rows<Real> scratch;  // (width, lanes)
    Rows<Real> stages;   // (stages, width, lanes)
};

// Nothing to integrate beside the tiles.
struct NoQuadrature {
    void clear(int, int, int) {}
    double norm_state() { return 0.0; }
    double norm_slope() { return 0.0; }
    double norm_probe() { return 0.0; }
    template <class Real>
    double attempt(Real, bool) {
        return 0.0;
    }
    template <class Real>
    void fixed_step(Real) {}
    void advance() {}
};

inline double larger_norm(double a, double b) { return std::isnan(a) || a > b ? a : b; }

template <class Real, class Fields, class Quadrature>
class TiledSystem {
   public:
    // `measure` may be null. Each worker of the team, which outlives this, has a copy of `field`.
    TiledSystem(const Method& method, Tiles<Real> tiles, Context<Real> context, const Fields& field,
                Quadrature quadrature, const Measure<Real>* measure, TileGroups groups, Team& team)
        : method_(method),
          tableau_(numerics::rounded<Real>(method.tableau)),
          tiles_(std::move(tiles)),
          context_(std::move(context)),
          y0_(tiles_.total()),
          y1_(tiles_.total()),
          f0_(tiles_.total()),
          f1_(tiles_.total()),
          y_mid_(tiles_.total()),
          quadrature_(std::move(quadrature)),
          team_(team),
          groups_(groups),
          measure_(method, tiles_, measure) {
        const auto size = static_cast<std::size_t>(tiles_.size());
        const auto stages = static_cast<std::size_t>(tableau_.stages);
        for (int worker = 0; worker < team.size(); ++worker) {
            workspaces_.push_back({field, Rows<Real>(size), Rows<Real>(stages * size)});
        }
    }

    bool start(double t) { return evaluate_start(static_cast<Real>(t)); }
    bool start_after(double t) { return evaluate_start(solve::just_after(static_cast<Real>(t))); }

    double norm_y0() {
        const double norm = norm_over_tiles([&](std::size_t at, int e) { return y0_[at + e]; });
        return larger_norm(norm, quadrature_.norm_state());
    }

    double norm_f0() {
        const double norm = norm_over_tiles([&](std::size_t at, int e) { return f0_[at + e]; });
        return larger_norm(norm, quadrature_.norm_slope());
    }

    double probe(double t, double h) {
        const Real step = static_cast<Real>(h);
        over_tiles(1, 2, [&](Space& own, std::int64_t i) {
            const std::size_t at = tiles_.offset(i);
            for (int e = 0; e < tiles_.size(); ++e) own.scratch[e] = y0_[at + e] + step * f0_[at + e];
            own.field(1, static_cast<Real>(t + h), own.scratch.data(), &f1_[at]);
        });
        const double norm = norm_over_tiles([&](std::size_t at, int e) { return f1_[at + e] - f0_[at + e]; });
        return larger_norm(norm, quadrature_.norm_probe());
    }

    double attempt(const Step& step, bool dense) {
        const numerics::StepTimes<Real> times = solve::rounded_times<Real>(method_, step);
        attempted_ = times;
        over_tiles(1, tableau_.stages,
                   [&](Space& own, std::int64_t i) { attempt_tile(own, i, times, dense); });
        return error_norm(times.dt, dense);
    }

    bool fixed_step(const Step& step) {
        const numerics::StepTimes<Real> times = solve::rounded_times<Real>(method_, step);
        const Real start = method_.perturb ? solve::just_after(times.start) : times.start;
        const bool finite = finite_everywhere(0, tableau_.stages, [&](Space& own, std::int64_t i) {
            const std::size_t at = tiles_.offset(i);
            own.field(0, start, &y0_[at], own.stages.data());
            if (method_.interpolant == Interpolant::cubic)
                std::copy_n(own.stages.data(), tiles_.size(), &f0_[at]);
            run_stages(own, i, times);
            const bool end_finite = tiles_.finite(&y1_[at]);
            if (!end_finite) note_nonfinite(i, own.stages.data());
            return end_finite;
        });
        quadrature_.fixed_step(times.dt);
        return finite;
    }

    void count(const Step&, Outcome& outcome) const {
        outcome.evaluations += tableau_.stages - (chooses_steps() ? 1 : 0);  // the first is in place
    }

    bool starts_finite() const {
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            if (!tiles_.finite(&y0_[tiles_.offset(i)])) return false;
        }
        return true;
    }

    bool slopes_finite() const { return nonfinite_.stage == tableau_.stages; }

    bool evaluate_end(const Step& step) {
        // The stages' rates are still needed where the step is interpolated.
        const int slot = chooses_steps() ? tableau_.stages : 0;
        return finite_everywhere(slot, slot + 1, [&](Space& own, std::int64_t i) {
            const std::size_t at = tiles_.offset(i);
            own.field(slot, solve::end_time<Real>(method_, step), &y1_[at], &f1_[at]);
            return tiles_.finite(&f1_[at]);
        });
    }

    void advance() {
        y0_.swap(y1_);
        f0_.swap(f1_);
        quadrature_.advance();
    }

    // Sums of stages, whose weights reach some ten, are not finite when states are this large.
    bool near_overflow(Outcome& outcome) const {
        const Real most = std::numeric_limits<Real>::max() / Real(64);
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            const Culprit culprit = tiles_.first_beyond(i, &y0_[tiles_.offset(i)], most);
            if (culprit.trajectory < 0) continue;
            name(Status::nonfinite_state, culprit, outcome);
            return true;
        }
        return false;
    }

    // Where the last evaluation or step left the numbers: in the state or its slope, else in the first stage
    // of the step that does, else in its end.
    void locate_nonfinite(Outcome& outcome) {
        if (locate_in(y0_, Status::nonfinite_state, outcome)) return;
        if (locate_in(f0_, Status::nonfinite_field, outcome)) return;
        if (chooses_steps() && tableau_.equations == Equations::none) {
            // Of the step tried last only one tile's stages are left.
            for (std::int64_t i = 0; i < tiles_.count(); ++i) {
                Space& own = workspaces_.front();
                own.field.enter_tile(context_.of(i));
                std::copy_n(&f0_[tiles_.offset(i)], tiles_.size(), own.stages.data());
                run_stages(own, i, attempted_);
                note_nonfinite(i, own.stages.data());
            }
        }
        if (nonfinite_.at.trajectory < 0) return;
        name(slopes_finite() ? Status::nonfinite_state : Status::nonfinite_field, nonfinite_.at, outcome);
    }

    // The same for the slope that evaluate_end found.
    void locate_nonfinite_end(Outcome& outcome) const { locate_in(f1_, Status::nonfinite_field, outcome); }

   protected:
    using Space = Workspace<Real, Fields>;

    // That of the calling thread.
    Space& own() { return workspaces_.front(); }

    // Calls visit(workspace, tile) for every tile, and hands the quadrature what the field's evaluations for
    // the stages first … last - 1 leave for it.
    template <class Visit>
    void over_tiles(int first, int last, const Visit& visit) {
        team_.run(groups_.count(), [&](int worker, int group) {
            Space& space = workspaces_[static_cast<std::size_t>(worker)];
            quadrature_.clear(group, first, last);
            space.field.enter(group);
            for (std::int64_t i = groups_.begin(group); i < groups_.end(group); ++i) {
                space.field.enter_tile(context_.of(i));
                visit(space, i);
            }
            space.field.leave(first, last);
        });
        if constexpr (!std::is_same_v<Quadrature, NoQuadrature>) {
            team_.run(last - first, [&](int, int stage) { quadrature_.close(first + stage); });
        }
    }

    // The same for visits that tell whether what they find is finite.
    template <class Visit>
    bool finite_everywhere(int first, int last, const Visit& visit) {
        std::atomic<bool> finite{true};
        over_tiles(first, last, [&](Space& space, std::int64_t i) {
            if (!visit(space, i)) finite = false;
        });
        return finite;
    }

    bool chooses_steps() const { return tableau_.control == Control::error; }

    // What a step leaves beside its end `y1_`, which is in place, from the stages `k` of a tile: the slope
    // there, the middle, and its part of the error.
    void finish_attempt(Space& space, std::int64_t tile, Real dt, const Real* k, bool dense) {
        const int n = tiles_.size();
        const std::size_t at = tiles_.offset(tile);
        const Real* y0 = &y0_[at];
        const Real* y1 = &y1_[at];
        if (tableau_.carried) copy_rows(n, k + (tableau_.stages - 1) * n, &f1_[at]);
        if (dense) numerics::combine(n, y0, dt, tableau_.b_mid, tableau_.stages, k, &y_mid_[at]);
        const Real* none = nullptr;
        numerics::combine(n, none, dt, tableau_.b_error, tableau_.stages, k, space.scratch.data());
        measure_.see(tile, [&](int e) { return space.scratch[e]; }, y0, y1);
    }
    // Of all tiles.
    double error_norm(Real dt, bool dense) {
        return larger_norm(measure_.norm(), quadrature_.attempt(dt, dense));
    }

    // The state at dense-output weights `w`, of one tile, in scratch.
    Real* interpolate(std::int64_t tile, const numerics::DenseWeights<Real>& w, Real dt) {
        const std::size_t at = tiles_.offset(tile);
        solve::dense_output(method_.interpolant, tiles_.size(), w, dt,
                            {&y0_[at], &y1_[at], &y_mid_[at], &f0_[at], &f1_[at]}, own().scratch.data());
        return own().scratch.data();
    }

    // Nothing of the steps before counts any more.
    void forget_nonfinite() { nonfinite_ = {}; }

    void note_nonfinite(std::int64_t tile, const Real* stages) {
        const std::lock_guard<std::mutex> held(noting_);
        for (int stage = 0; stage < tableau_.stages; ++stage) {
            consider(tile, stage, stages + stage * tiles_.size(), nonfinite_);
        }
        consider(tile, tableau_.stages, &y1_[tiles_.offset(tile)], nonfinite_);
    }

    const Method& method_;
    numerics::Tableau<Real> tableau_;
    Tiles<Real> tiles_;
    Context<Real> context_;
    Rows<Real> y0_;
    Rows<Real> y1_;
    Rows<Real> f0_;
    Rows<Real> f1_;
    Rows<Real> y_mid_;
    Quadrature quadrature_;

   private:
    // The first value of a step that is not finite, in the order of its stages; its end counts as one more.
    struct FirstNonfinite {
        int stage = 0;
        Culprit at;
    };

    static bool precedes(const FirstNonfinite& a, const FirstNonfinite& b) {
        return std::tie(a.stage, a.at.segment, a.at.trajectory) <
               std::tie(b.stage, b.at.segment, b.at.trajectory);
    }

    static void name(Status status, const Culprit& culprit, Outcome& outcome) {
        outcome.status = status;
        outcome.trajectory = culprit.trajectory;
        outcome.row = culprit.row;
    }

    bool locate_in(const Rows<Real>& values, Status status, Outcome& outcome) const {
        FirstNonfinite first;
        for (std::int64_t i = 0; i < tiles_.count(); ++i) consider(i, 0, &values[tiles_.offset(i)], first);
        if (first.at.trajectory < 0) return false;
        name(status, first.at, outcome);
        return true;
    }

    void consider(std::int64_t tile, int stage, const Real* values, FirstNonfinite& first) const {
        const FirstNonfinite found{stage, tiles_.first_nonfinite(tile, values)};
        if (found.at.trajectory < 0) return;
        if (first.at.trajectory < 0 || precedes(found, first)) first = found;
    }

    // The stages after the first, which is in place, and the end of a step.
    void run_stages(Space& space, std::int64_t tile, const numerics::StepTimes<Real>& times) {
        const std::size_t at = tiles_.offset(tile);
        numerics::step(tableau_, space.field, times, tiles_.size(), &y0_[at], space.stages.data(),
                       space.scratch.data(), 0, true, &y1_[at]);
    }

    bool evaluate_start(Real t) {
        return finite_everywhere(0, 1, [&](Space& space, std::int64_t i) {
            const std::size_t at = tiles_.offset(i);
            space.field(0, t, &y0_[at], &f0_[at]);
            return tiles_.finite(&y0_[at]) && tiles_.finite(&f0_[at]);
        });
    }

    void attempt_tile(Space& space, std::int64_t tile, const numerics::StepTimes<Real>& times, bool dense) {
        copy_rows(tiles_.size(), &f0_[tiles_.offset(tile)], space.stages.data());
        run_stages(space, tile, times);
        finish_attempt(space, tile, times.dt, space.stages.data(), dense);
    }

    // Of what stands at the start.
    template <class Value>
    double norm_over_tiles(const Value& value) {
        for (std::int64_t i = 0; i < tiles_.count(); ++i) {
            const std::size_t at = tiles_.offset(i);
            measure_.see(i, [&](int e) { return value(at, e); }, &y0_[at], &y0_[at]);
        }
        return measure_.norm();
    }

    Team& team_;
    TileGroups groups_;
    std::vector<Space> workspaces_;  // one a worker
    ErrorMeasure<Real> measure_;
    numerics::StepTimes<Real> attempted_{};
    FirstNonfinite nonfinite_;
    std::mutex noting_;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
