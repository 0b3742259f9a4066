// What the systems of the forward solve and of the adjoint equations have in common: a system of
// solve/loops.hpp over tiles. All threads of all blocks run the loop, on the same numbers: what they decide
// by are sums over all of them. Where values are not finite the host finds.
//
// Dynamics, beside what tiles.hpp says of a field, offers
//   width, Segments              rows that are integrated, and which of them count in error norms
//   put(row, lane, value, used)  hands over the state that the rates are wanted of
//   evaluate(t, stage)           the rates, after all threads have put theirs
//   rate(row, lane)              hands out one
// Quadrature integrates along with the tiles what none of them has and none of the rates depends on:
//   clear(first, last), close(first, last)   before and after all tiles' rates of these stages
//   norm_state(), norm_slope(), norm_probe(), attempt(dt, dense), fixed_step(dt), advance()
// each but the last two given the slots in which blocks meet.
#pragma once

#include <cstdint>

#include "cuda/arguments.hpp"
#include "cuda/tiles.hpp"
#include "numerics/error_norm.hpp"
#include "numerics/step.hpp"
#include "solve/interpolation.hpp"
#include "solve/loops.hpp"

namespace flashode::cuda {

// Nothing to integrate beside the tiles.
struct NoQuadrature {
    FLASHODE_DEVICE void clear(int, int) {}
    FLASHODE_DEVICE void close(int, int, Slots&) {}
    FLASHODE_DEVICE double norm_state(Slots&) { return 0.0; }
    FLASHODE_DEVICE double norm_slope(Slots&) { return 0.0; }
    FLASHODE_DEVICE double norm_probe(Slots&) { return 0.0; }
    template <class Real>
    FLASHODE_DEVICE double attempt(Real, bool, Slots&) {
        return 0.0;
    }
    template <class Real>
    FLASHODE_DEVICE void fixed_step(Real) {}
    FLASHODE_DEVICE void advance() {}
};

template <class Dynamics, class Quadrature, solve::Control Chosen>
class TileSystem {
   protected:
    using Field = typename Dynamics::Field;
    using Real = typename Field::Real;
    using Over = Tiles<Field, Dynamics::width>;
    using Squares = SegmentSquares<Real, typename Dynamics::Segments, Field::threads>;
    static constexpr int size = Over::size;

   public:
    static constexpr solve::Control control = Chosen;

    FLASHODE_DEVICE TileSystem(const SystemArguments<Real>& q, const Dynamics& dynamics,
                               const Quadrature& quadrature, int half)
        : q_(q),
          dynamics_(dynamics),
          quadrature_(quadrature),
          tiles_{q.batch.trajectories},
          slots_{q.slots, q.round},
          half_(half) {}

    FLASHODE_DEVICE bool start(double t) { return evaluate_start(static_cast<Real>(t)); }
    FLASHODE_DEVICE bool start_after(double t) {
        return evaluate_start(solve::just_after(static_cast<Real>(t)));
    }

    FLASHODE_DEVICE double norm_y0() {
        const double norm = norm_at_start([&](std::int64_t tile, int e) { return state(tile)[e]; });
        return larger_norm(norm, quadrature_.norm_state(slots_));
    }
    FLASHODE_DEVICE double norm_f0() {
        const double norm = norm_at_start([&](std::int64_t tile, int e) { return slope(tile)[e]; });
        return larger_norm(norm, quadrature_.norm_slope(slots_));
    }

    FLASHODE_DEVICE double probe(double t, double h) {
        const Real step = static_cast<Real>(h);
        Squares squares;
        over_tiles(1, 2, [&](std::int64_t tile) {
            const Real* y = state(tile);
            const Real* f = slope(tile);
            put(tile, [&](int e) { return y[e] + step * f[e]; });
            dynamics_.evaluate(static_cast<Real>(t + h), 1);
            Over::own([&](int e, int row, int lane) {
                see(squares, tile, row, lane, dynamics_.rate(row, lane) - f[e], y[e], y[e]);
            });
        });
        return larger_norm(squares.norm(tiles_.batch, slots_), quadrature_.norm_probe(slots_));
    }

    FLASHODE_DEVICE double attempt(const Step& step, bool dense) {
        const Real dt = static_cast<Real>(step.dt);
        Squares squares;
        over_tiles(1, tableau().stages, [&](std::int64_t tile) {
            const Real* y0 = state(tile);
            const Real* y1 = end(tile);
            Real* k = stages();
            const Real* f0 = slope(tile);
            Over::own([&](int e, int, int) { k[e] = f0[e]; });
            run_stages(tile, step);
            Real* f1 = end_slope(tile);
            Real* y_mid = middle(tile);
            Over::own([&](int e, int row, int lane) {
                if (tableau().carried) f1[e] = k[(tableau().stages - 1) * size + e];
                if (dense) y_mid[e] = Over::combine(y0[e], dt, tableau().b_mid, tableau().stages, k + e);
                const Real error = Over::combine(Real(0), dt, tableau().b_error, tableau().stages, k + e);
                see(squares, tile, row, lane, error, y0[e], y1[e]);
            });
        });
        return larger_norm(squares.norm(tiles_.batch, slots_), quadrature_.attempt(dt, dense, slots_));
    }

    FLASHODE_DEVICE bool fixed_step(const Step& step) {
        const Real at = static_cast<Real>(step.start);
        const Real start = q_.method.perturb ? solve::just_after(at) : at;
        bool end_finite = true;
        bool slopes_finite = true;
        over_tiles(0, tableau().stages, [&](std::int64_t tile) {
            const Real* y0 = state(tile);
            Real* k = stages();
            put(tile, [&](int e) { return y0[e]; });
            dynamics_.evaluate(start, 0);
            Real* f0 = slope(tile);
            Over::own([&](int e, int row, int lane) { f0[e] = k[e] = dynamics_.rate(row, lane); });
            run_stages(tile, step);
            const Real* y1 = end(tile);
            Over::own([&](int e, int row, int) {
                if (!counts(row)) return;
                if (!is_finite(y1[e])) end_finite = false;
                for (int i = 0; i < tableau().stages; ++i) {
                    if (!is_finite(k[i * size + e])) slopes_finite = false;
                }
            });
        });
        double failures[2] = {end_finite ? 0.0 : 1.0, slopes_finite ? 0.0 : 1.0};
        sum_of_blocks<Field::threads>(failures, slots_);
        quadrature_.fixed_step(static_cast<Real>(step.dt));
        slopes_finite_ = failures[1] == 0.0;
        return failures[0] == 0.0;
    }

    FLASHODE_DEVICE void count(const Step&, Outcome& outcome) const {
        // The first stage of a step that an error chooses is in place.
        outcome.evaluations += tableau().stages - (tableau().control == solve::Control::error ? 1 : 0);
    }

    FLASHODE_DEVICE bool starts_finite() {
        return !start_has([](Real y) { return !is_finite(y); });
    }
    FLASHODE_DEVICE bool slopes_finite() const { return slopes_finite_; }

    FLASHODE_DEVICE bool evaluate_end(const Step& step) {
        return finite_everywhere([&](std::int64_t tile, bool& finite) {
            const Real* y = end(tile);
            Real* f = end_slope(tile);
            put(tile, [&](int e) { return y[e]; });
            dynamics_.evaluate(solve::end_time<Real>(q_.method, step), 0);
            take_slope(f, finite);
        });
    }

    FLASHODE_DEVICE void advance() {
        half_ = 1 - half_;
        quadrature_.advance();
    }

    // Sums of stages, whose weights reach some ten, are not finite when states are this large.
    FLASHODE_DEVICE bool near_overflow(Outcome&) {
        constexpr Real most = numerics::FloatFormat<Real>::largest / Real(64);
        return start_has([](Real y) { return !(numerics::magnitude(y) <= most); });
    }
    FLASHODE_DEVICE void locate_nonfinite(Outcome&) const {}
    FLASHODE_DEVICE void locate_nonfinite_end(Outcome&) const {}

   protected:
    FLASHODE_DEVICE static bool is_finite(Real x) { return x - x == Real(0); }

    FLASHODE_DEVICE const numerics::Tableau<Real>& tableau() const { return q_.tableau; }

    // The rows of a tile, at the start of the step, at its end and between.
    FLASHODE_DEVICE Real* rows(int which, std::int64_t tile) const {
        return q_.rows + which * tiles_.total() + tile * size;
    }
    FLASHODE_DEVICE Real* state(std::int64_t tile) const { return rows(half_, tile); }
    FLASHODE_DEVICE Real* end(std::int64_t tile) const { return rows(1 - half_, tile); }
    FLASHODE_DEVICE Real* slope(std::int64_t tile) const { return rows(2 + half_, tile); }
    FLASHODE_DEVICE Real* end_slope(std::int64_t tile) const { return rows(3 - half_, tile); }
    FLASHODE_DEVICE Real* middle(std::int64_t tile) const { return rows(4, tile); }

    // (stages, width, lanes) of the tile at hand.
    FLASHODE_DEVICE Real* stages() const {
        if constexpr (Field::stages_in_shared) {
            return shared_memory<Real>() + Field::elements;
        } else {
            return q_.stages + std::int64_t{block()} * tableau().stages * size;
        }
    }

    // Calls visit(tile) for those of the block, for the rates of the stages first … last - 1.
    template <class Visit>
    FLASHODE_DEVICE void over_tiles(int first, int last, const Visit& visit) {
        quadrature_.clear(first, last);
        tiles_.each([&](std::int64_t tile) {
            tiles_.load_context(tile, q_.c);
            visit(tile);
        });
        quadrature_.close(first, last, slots_);
    }

    // The same for visits that find out whether rates of the first stage are finite.
    template <class Visit>
    FLASHODE_DEVICE bool finite_everywhere(const Visit& visit) {
        bool finite = true;
        over_tiles(0, 1, [&](std::int64_t tile) { visit(tile, finite); });
        return !anywhere<Field::threads>(!finite, slots_);
    }

    // Hands over a state, element by element.
    template <class Value>
    FLASHODE_DEVICE void put(std::int64_t tile, const Value& value) {
        Over::own(
            [&](int e, int row, int lane) { dynamics_.put(row, lane, value(e), tiles_.used(tile, lane)); });
    }

    FLASHODE_DEVICE void take_slope(Real* f, bool& finite) const {
        Over::own([&](int e, int row, int lane) {
            f[e] = dynamics_.rate(row, lane);
            if (counts(row) && !is_finite(f[e])) finite = false;
        });
    }

    // Whether a row is in a segment.
    FLASHODE_DEVICE static bool counts(int row) {
        using Segments = typename Dynamics::Segments;
        bool within = false;
#pragma unroll
        for (int s = 0; s < Segments::count; ++s) {
            if (row >= Segments::begin(s) && row < Segments::end(s)) within = true;
        }
        return within;
    }

    // The value of dense output at weights `w` of the step, with size dt.
    FLASHODE_DEVICE Real interpolated(std::int64_t tile, int e, const numerics::DenseWeights<Real>& w,
                                      Real dt) const {
        Real value;
        solve::dense_output(
            q_.method.interpolant, 1, w, dt,
            {state(tile) + e, end(tile) + e, middle(tile) + e, slope(tile) + e, end_slope(tile) + e}, &value);
        return value;
    }

    // The stages after the first, which is in place, and the end of the step.
    FLASHODE_DEVICE void run_stages(std::int64_t tile, const Step& step) {
        const Real* y0 = state(tile);
        Real* y1 = end(tile);
        Real* k = stages();
        const Real dt = static_cast<Real>(step.dt);
        const Real last_time = solve::last_stage_time<Real>(q_.method, step);
        const int last = tableau().stages - 1;
#pragma unroll 1
        for (int i = 1; i <= last; ++i) {
            const bool at_end = i == last && tableau().fsal;
            put(tile, [&](int e) {
                const Real y = Over::combine(y0[e], dt, tableau().a[i], i, k + e);
                if (at_end) y1[e] = y;
                return y;
            });
            dynamics_.evaluate(numerics::stage_time(q_.method.tableau, i, step.start, step.dt, last_time), i);
            Over::own([&](int e, int row, int lane) { k[i * size + e] = dynamics_.rate(row, lane); });
        }
        if (tableau().fsal) return;
        Over::own(
            [&](int e, int, int) { y1[e] = Over::combine(y0[e], dt, tableau().b, tableau().stages, k + e); });
    }

    FLASHODE_DEVICE bool evaluate_start(Real t) {
        return finite_everywhere([&](std::int64_t tile, bool& finite) {
            const Real* y = state(tile);
            Real* f = slope(tile);
            put(tile, [&](int e) { return y[e]; });
            dynamics_.evaluate(t, 0);
            Over::own([&](int e, int row, int) {
                if (counts(row) && !is_finite(y[e])) finite = false;
            });
            take_slope(f, finite);
        });
    }

    FLASHODE_DEVICE void see(Squares& squares, std::int64_t tile, int row, int lane, Real error, Real y0,
                             Real y1) const {
        if (!tiles_.used(tile, lane)) return;
        numerics::Tolerance<Real> tolerance{static_cast<Real>(q_.method.rtol),
                                            static_cast<Real>(q_.method.atol)};
        if (q_.rtol != nullptr || q_.atol != nullptr) {
            const std::int64_t at = tiles_.place(row, tiles_.trajectory(tile, lane));
            if (q_.rtol != nullptr) tolerance.relative = global_memory<Real>(q_.rtol)[at];
            if (q_.atol != nullptr) tolerance.absolute = global_memory<Real>(q_.atol)[at];
        }
        squares.add(row, numerics::scaled_error(tolerance, error, y0, y1));
    }

    // Of what stands at the start.
    template <class Value>
    FLASHODE_DEVICE double norm_at_start(const Value& value) {
        Squares squares;
        tiles_.each([&](std::int64_t tile) {
            const Real* y = state(tile);
            Over::own(
                [&](int e, int row, int lane) { see(squares, tile, row, lane, value(tile, e), y[e], y[e]); });
        });
        return squares.norm(tiles_.batch, slots_);
    }

    // Whether any element of the state at the start is such.
    template <class Is>
    FLASHODE_DEVICE bool start_has(const Is& is) {
        bool has = false;
        tiles_.each([&](std::int64_t tile) {
            const Real* y = state(tile);
            Over::own([&](int e, int row, int) {
                if (counts(row) && is(y[e])) has = true;
            });
        });
        return anywhere<Field::threads>(has, slots_);
    }

    const SystemArguments<Real>& q_;
    Dynamics dynamics_;
    Quadrature quadrature_;
    Over tiles_;
    Slots slots_;
    int half_;
    bool slopes_finite_ = true;
};

}  // namespace flashode::cuda
