// A system of solve/loops.hpp and solve/forward.hpp over tiles. All threads of all blocks run the loop, on
// the same numbers: what they decide by are sums over all of them. Where values are not finite the host
// finds.
#pragma once

#include <cstdint>

#include "cuda/arguments.hpp"
#include "cuda/tiles.hpp"
#include "numerics/error_norm.hpp"
#include "numerics/step.hpp"
#include "solve/interpolation.hpp"

namespace flashode::cuda {

template <class Field>
class TileSystem {
    using Real = typename Field::Real;
    using Arguments = ForwardArguments<Real>;
    using Over = Tiles<Field>;
    static constexpr int size = Over::size;

   public:
    FLASHODE_DEVICE TileSystem(const Arguments& q, const void* const* parameters, const Stand& stand)
        : q_(q),
          parameters_(parameters),
          tiles_{q.batch.trajectories},
          slots_{q.slots, q.round},
          half_(stand.half) {}

    FLASHODE_DEVICE void load() {
        tiles_.each([&](std::int64_t tile) {
            Real* y = state(tile);
            Over::own([&](int e, int row, int lane) {
                y[e] = q_.request.y0[tiles_.place(row, tiles_.trajectory(tile, lane))];
            });
        });
    }

    // Where the solve stands, but for its progress.
    FLASHODE_DEVICE void save(Stand& stand) const {
        stand.round = slots_.round;
        stand.half = half_;
    }

    FLASHODE_DEVICE bool start(double t) { return evaluate_start(static_cast<Real>(t)); }
    FLASHODE_DEVICE bool start_after(double t) {
        return evaluate_start(solve::just_after(static_cast<Real>(t)));
    }

    FLASHODE_DEVICE double norm_y0() {
        return norm_at_start([&](std::int64_t tile, int e) { return state(tile)[e]; });
    }
    FLASHODE_DEVICE double norm_f0() {
        return norm_at_start([&](std::int64_t tile, int e) { return slope(tile)[e]; });
    }

    FLASHODE_DEVICE double probe(double t, double h) {
        const Real step = static_cast<Real>(h);
        SegmentSquares<Field> squares;
        tiles_.each([&](std::int64_t tile) {
            const Real* y = state(tile);
            const Real* f = slope(tile);
            tiles_.load_context(tile, q_.request.c);
            Over::own([&](int e, int row, int lane) { Field::Input::at(row, lane) = y[e] + step * f[e]; });
            evaluate(static_cast<Real>(t + h));
            Over::own([&](int e, int row, int lane) {
                see(squares, tile, row, lane, rate(row, lane) - f[e], y[e], y[e]);
            });
        });
        return squares.norm(tiles_.batch, slots_);
    }

    FLASHODE_DEVICE double attempt(const Step& step, bool dense) {
        const Real dt = static_cast<Real>(step.dt);
        SegmentSquares<Field> squares;
        tiles_.each([&](std::int64_t tile) {
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
        return squares.norm(tiles_.batch, slots_);
    }

    FLASHODE_DEVICE bool fixed_step(const Step& step) {
        const Real at = static_cast<Real>(step.start);
        const Real start = q_.method.perturb ? solve::just_after(at) : at;
        bool end_finite = true;
        bool slopes_finite = true;
        tiles_.each([&](std::int64_t tile) {
            const Real* y0 = state(tile);
            Real* k = stages();
            tiles_.load_context(tile, q_.request.c);
            Over::own([&](int e, int row, int lane) { Field::Input::at(row, lane) = y0[e]; });
            evaluate(start);
            Real* f0 = slope(tile);
            Over::own([&](int e, int row, int lane) { f0[e] = k[e] = rate(row, lane); });
            run_stages(tile, step);
            const Real* y1 = end(tile);
            Over::own([&](int e, int, int) {
                if (!is_finite(y1[e])) end_finite = false;
                for (int i = 0; i < tableau().stages; ++i) {
                    if (!is_finite(k[i * size + e])) slopes_finite = false;
                }
            });
        });
        double failures[2] = {end_finite ? 0.0 : 1.0, slopes_finite ? 0.0 : 1.0};
        sum_of_blocks<Field::threads>(failures, slots_);
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
        bool finite = true;
        tiles_.each([&](std::int64_t tile) {
            const Real* y = end(tile);
            Real* f = end_slope(tile);
            tiles_.load_context(tile, q_.request.c);
            Over::own([&](int e, int row, int lane) { Field::Input::at(row, lane) = y[e]; });
            evaluate(solve::end_time<Real>(q_.method, step));
            Over::own([&](int e, int row, int lane) {
                f[e] = rate(row, lane);
                if (!is_finite(f[e])) finite = false;
            });
        });
        return !anywhere<Field>(!finite, slots_);
    }

    FLASHODE_DEVICE void advance() { half_ = 1 - half_; }

    // Sums of stages, whose weights reach some ten, are not finite when states are this large.
    FLASHODE_DEVICE bool near_overflow(Outcome&) {
        constexpr Real most = numerics::FloatFormat<Real>::largest / Real(64);
        return start_has([](Real y) { return !(numerics::magnitude(y) <= most); });
    }
    FLASHODE_DEVICE void locate_nonfinite(Outcome&) const {}
    FLASHODE_DEVICE void locate_nonfinite_end(Outcome&) const {}

    FLASHODE_DEVICE void output(std::int64_t j, double x, const Step& step) {
        state_at(x, step, output_memory(j));
    }
    FLASHODE_DEVICE void output_start(std::int64_t j) { start_state(output_memory(j)); }

    FLASHODE_DEVICE void state_at(double x, const Step& step, Real* memory) {
        const auto w = solve::dense_weights<Real>(q_.method, x);
        const Real dt = static_cast<Real>(step.dt);
        const solve::Interpolant kind = q_.method.interpolant;
        store(memory, [&](std::int64_t tile, int e) {
            Real value;
            solve::dense_output(
                kind, 1, w, dt,
                {state(tile) + e, end(tile) + e, middle(tile) + e, slope(tile) + e, end_slope(tile) + e},
                &value);
            return value;
        });
    }
    FLASHODE_DEVICE void end_state(Real* memory) {
        store(memory, [&](std::int64_t tile, int e) { return end(tile)[e]; });
    }
    FLASHODE_DEVICE void start_state(Real* memory) {
        store(memory, [&](std::int64_t tile, int e) { return state(tile)[e]; });
    }

    // The state at the start of the step, and its slope where that is another step's last stage.
    FLASHODE_DEVICE void write_checkpoint(Real* to) const {
        const bool with_slope = tableau().carried && !tableau().fsal;
        tiles_.each([&](std::int64_t tile) {
            const Real* y = state(tile);
            const Real* f = slope(tile);
            Real* at = to + tile * size;
            Over::own([&](int e, int, int) {
                at[e] = y[e];
                if (with_slope) at[tiles_.total() + e] = f[e];
            });
        });
    }

   private:
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

    FLASHODE_DEVICE Real* output_memory(std::int64_t j) const {
        return q_.request.states + j * tiles_.batch * Field::width;
    }

    // The field at solver time, for the input in place.
    FLASHODE_DEVICE void evaluate(Real t) const { Field::evaluate(direction() * t, parameters_); }
    FLASHODE_DEVICE Real rate(int row, int lane) const { return direction() * Field::Output::at(row, lane); }
    FLASHODE_DEVICE Real direction() const { return static_cast<Real>(q_.batch.direction); }

    // The stages after the first, which is in place, and the end of the step.
    FLASHODE_DEVICE void run_stages(std::int64_t tile, const Step& step) const {
        const Real* y0 = state(tile);
        Real* y1 = end(tile);
        Real* k = stages();
        const Real dt = static_cast<Real>(step.dt);
        const Real last_time = solve::last_stage_time<Real>(q_.method, step);
        const int last = tableau().stages - 1;
        tiles_.load_context(tile, q_.request.c);
#pragma unroll 1
        for (int i = 1; i <= last; ++i) {
            const bool at_end = i == last && tableau().fsal;
            Over::own([&](int e, int row, int lane) {
                const Real y = Over::combine(y0[e], dt, tableau().a[i], i, k + e);
                Field::Input::at(row, lane) = y;
                if (at_end) y1[e] = y;
            });
            evaluate(numerics::stage_time(q_.method.tableau, i, step.start, step.dt, last_time));
            Over::own([&](int e, int row, int lane) { k[i * size + e] = rate(row, lane); });
        }
        if (tableau().fsal) return;
        Over::own(
            [&](int e, int, int) { y1[e] = Over::combine(y0[e], dt, tableau().b, tableau().stages, k + e); });
    }

    FLASHODE_DEVICE bool evaluate_start(Real t) {
        bool finite = true;
        tiles_.each([&](std::int64_t tile) {
            const Real* y = state(tile);
            Real* f = slope(tile);
            tiles_.load_context(tile, q_.request.c);
            Over::own([&](int e, int row, int lane) {
                Field::Input::at(row, lane) = y[e];
                if (!is_finite(y[e])) finite = false;
            });
            evaluate(t);
            Over::own([&](int e, int row, int lane) {
                f[e] = rate(row, lane);
                if (!is_finite(f[e])) finite = false;
            });
        });
        return !anywhere<Field>(!finite, slots_);
    }

    FLASHODE_DEVICE void see(SegmentSquares<Field>& squares, std::int64_t tile, int row, int lane, Real error,
                             Real y0, Real y1) const {
        if (!tiles_.used(tile, lane)) return;
        numerics::Tolerance<Real> tolerance{static_cast<Real>(q_.method.rtol),
                                            static_cast<Real>(q_.method.atol)};
        if (q_.rtol != nullptr || q_.atol != nullptr) {
            const std::int64_t at = tiles_.place(row, tiles_.trajectory(tile, lane));
            if (q_.rtol != nullptr) tolerance.relative = q_.rtol[at];
            if (q_.atol != nullptr) tolerance.absolute = q_.atol[at];
        }
        squares.add(row, numerics::scaled_error(tolerance, error, y0, y1));
    }

    // Of what stands at the start.
    template <class Value>
    FLASHODE_DEVICE double norm_at_start(const Value& value) {
        SegmentSquares<Field> squares;
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
            Over::own([&](int e, int, int) {
                if (is(y[e])) has = true;
            });
        });
        return anywhere<Field>(has, slots_);
    }

    // Into the caller's memory.
    template <class Value>
    FLASHODE_DEVICE void store(Real* memory, const Value& value) const {
        tiles_.each([&](std::int64_t tile) {
            Over::own([&](int e, int row, int lane) {
                if (tiles_.used(tile, lane))
                    memory[tiles_.place(row, tile * Over::lanes + lane)] = value(tile, e);
            });
        });
    }

    const Arguments& q_;
    const void* const* parameters_;
    Over tiles_;
    Slots slots_;
    int half_;
    bool slopes_finite_ = true;
};

}  // namespace flashode::cuda
