// The exact reverse of a solve's steps over tiles (numerics/step_vjp.hpp has the algebra): no block asks what
// another does. A Field offers, beside what tiles.hpp says,
//   GradOutput, GradInput, GradTime, GradContext   rows of gradients
//   vjp(accumulators)                              of the evaluation before it, between two barriers: from
//                                                  GradOutput the others, and gradients in parameters, added
//                                                  to the accumulators
//   accumulated, accumulators_in_shared            how many numbers these are, and where
//   Accumulators, gives_time                       theirs; whether there is a gradient in t
#pragma once

#include <cstdint>

#include "cuda/arguments.hpp"
#include "cuda/dense_vjp.hpp"
#include "cuda/tiles.hpp"
#include "numerics/step.hpp"
#include "solve/interpolation.hpp"
#include "solve/reverse.hpp"

namespace flashode::cuda {

template <class Field>
class TileReverse {
    using Real = typename Field::Real;
    using Arguments = DiscreteArguments<Real>;
    using Over = Tiles<Field>;
    static constexpr int size = Over::size;

   public:
    FLASHODE_DEVICE explicit TileReverse(const Arguments& q) : q_(q), tiles_{q.batch.trajectories} {}

    // All that the block has to do, or as much as the budget allows.
    FLASHODE_DEVICE void run() {
        const std::int64_t steps = q_.log.count > 0 ? q_.log.count : 1;
        clear_accumulators();
#pragma unroll 1
        for (std::int64_t left = q_.budget; left > 0;) {
            const std::int64_t done = q_.done + q_.budget - left;
            const std::int64_t tile = block() + done / steps * blocks();
            if (tile >= tiles_.count()) break;
            reverse_tile(tile, done % steps, left);
        }
        fold();
    }

   private:
    // In scratch, of the tile at hand: gradients in the state at the end of the step at hand, then at its
    // start, and in its last slope; what dense output adds at its start, to its middle, and to its first
    // slope; its end; the slope there.
    enum Row { GRAD_Y, GRAD_LAST, GRAD_START, GRAD_MIDDLE, GRAD_FIRST, END, END_SLOPE };
    static_assert(END_SLOPE + 1 == REVERSE_ROWS);

    FLASHODE_DEVICE const numerics::Tableau<Real>& tableau() const { return q_.tableau; }
    FLASHODE_DEVICE Real direction() const { return static_cast<Real>(q_.batch.direction); }

    FLASHODE_DEVICE Real* scratch() const {
        const std::int64_t rows = REVERSE_ROWS + 2 * tableau().stages;
        return q_.scratch + std::int64_t{block()} * (rows * size + context_size);
    }
    FLASHODE_DEVICE Real* row(Row which) const { return scratch() + which * size; }
    FLASHODE_DEVICE Real* stages() const { return scratch() + REVERSE_ROWS * size; }
    FLASHODE_DEVICE Real* grad_stages() const { return stages() + tableau().stages * size; }
    FLASHODE_DEVICE Real* grad_context() const { return grad_stages() + tableau().stages * size; }
    static constexpr int context_size = Field::context_width * Over::lanes;

    FLASHODE_DEVICE Real* accumulators() const {
        return q_.accumulators + std::int64_t{block()} * Field::accumulated;
    }
    FLASHODE_DEVICE Real& accumulator(int e) const {
        if constexpr (Field::accumulators_in_shared) {
            return typename Field::Accumulators{}.at(e);
        } else {
            return accumulators()[e];
        }
    }
    // A vjp, which adds to them, begins and ends with a barrier.
    FLASHODE_DEVICE void clear_accumulators() const {
        for (int e = thread(); e < Field::accumulated; e += Field::threads) accumulator(e) = Real(0);
    }
    FLASHODE_DEVICE void fold() const {
        double* sums = q_.sums + std::int64_t{block()} * Field::accumulated;
        for (int e = thread(); e < Field::accumulated; e += Field::threads) {
            sums[e] += static_cast<double>(accumulator(e));
            accumulator(e) = Real(0);
        }
    }

    // Where they are wanted.
    FLASHODE_DEVICE solve::TimeGradients time_sums() const {
        return {q_.time_sums + block() * q_.request.times.count, q_.grid_sums + block() * q_.points};
    }
    FLASHODE_DEVICE bool wants_times() const { return Field::gives_time && q_.time_sums != nullptr; }

    // The steps from `first` on of the way back, as many as are left of the budget.
    FLASHODE_DEVICE void reverse_tile(std::int64_t tile, std::int64_t first, std::int64_t& left) {
        if (first == 0) {
            Over::own([&](int e, int, int) { row(GRAD_Y)[e] = row(GRAD_LAST)[e] = Real(0); });
            Over::template own<Field::context_width>([&](int e, int, int) { grad_context()[e] = Real(0); });
        }
        tiles_.load_context(tile, q_.request.c);
        solve::ReverseSteps steps(q_.method, q_.log, first, wants_times());
        if (q_.log.count == 0) --left;  // there is nothing on the way, and the way is one
#pragma unroll 1
        while (left > 0 && steps.next()) {
            --left;
            reverse_step(tile, steps);
            if (steps.index() % STEPS_BETWEEN_FOLDS == 0) fold();
        }
        if (steps.index() > 0) return;
        Over::own([&](int e, int row_of_state, int lane) {
            Real grad = row(GRAD_Y)[e];
            for (std::int64_t j = 0; j < steps.begin(); ++j) grad += cotangent(tile, row_of_state, lane, j);
            if (!tiles_.used(tile, lane)) return;
            q_.request.grad_y0[tiles_.place(row_of_state, tile * Over::lanes + lane)] = grad;
        });
        Over::template own<Field::context_width>([&](int e, int row_of_c, int lane) {
            if (!tiles_.used(tile, lane)) return;
            const std::int64_t trajectory = tile * Over::lanes + lane;
            q_.request.grad_c[trajectory * Field::context_width + row_of_c] = grad_context()[e];
        });
    }

    // dL/d(state at output time j); zero in lanes without a trajectory: it must not count twice.
    FLASHODE_DEVICE Real cotangent(std::int64_t tile, int row_of_state, int lane, std::int64_t j) const {
        if (!tiles_.used(tile, lane)) return Real(0);
        const Real* of_time = q_.request.grad_states + j * tiles_.batch * Field::width;
        return of_time[tiles_.place(row_of_state, tile * Over::lanes + lane)];
    }

    // Gradients in the times of the step at hand, as the own thread has them.
    struct Times {
        double start = 0.0;  // with dt held constant
        double dt = 0.0;
        double end = 0.0;  // of the slope there
    };

    // The field at an argument that stands in Input.
    FLASHODE_DEVICE void evaluate(Real t) const { Field::evaluate(direction() * t); }

    // From a gradient in dy/ds, at the argument evaluated last; zero counts for lanes without a trajectory.
    // Returns the gradient in t, in one thread.
    FLASHODE_DEVICE double vjp(std::int64_t tile, const Real* grad) const {
        Over::own([&](int e, int row_of_state, int lane) {
            Field::GradOutput::at(row_of_state, lane) =
                tiles_.used(tile, lane) ? direction() * grad[e] : Real(0);
        });
        Field::vjp(accumulators());
        Over::template own<Field::context_width>([&](int e, int row_of_c, int lane) {
            grad_context()[e] += Field::GradContext::at(row_of_c, lane);
        });
        if (!Field::gives_time || thread() != 0) return 0.0;
        return static_cast<double>(direction() * Field::GradTime::at(0, 0));
    }

    FLASHODE_DEVICE void input_of_stage(int stage, Real dt, const Real* y0) const {
        const Real* k = stages();
        Over::own([&](int e, int row_of_state, int lane) {
            Field::Input::at(row_of_state, lane) = Over::combine(y0[e], dt, tableau().a[stage], stage, k + e);
        });
    }
    FLASHODE_DEVICE void input(const Real* y) const {
        Over::own([&](int e, int row_of_state, int lane) { Field::Input::at(row_of_state, lane) = y[e]; });
    }
    FLASHODE_DEVICE void take_rates(Real* to) const {
        Over::own([&](int e, int row_of_state, int lane) {
            to[e] = direction() * Field::Output::at(row_of_state, lane);
        });
    }

    // Whether the slope at the end that dense output needs is no stage.
    FLASHODE_DEVICE bool asks_for_end() const {
        return q_.method.interpolant != solve::Interpolant::linear && !tableau().carried;
    }

    FLASHODE_DEVICE void reverse_step(std::int64_t tile, const solve::ReverseSteps& steps) {
        const Step& step = steps.step();
        const bool dense = steps.begin() < steps.end() && q_.method.interpolant != solve::Interpolant::linear;
        const Place place = place_of(steps.index(), q_.memory.first);
        const Real* y0 =
            q_.memory.chunks[place.chunk].checkpoints + place.at * q_.memory.checkpoint_size + tile * size;
        Times times;
        recompute(steps, y0, y0 + tiles_.total(), dense);
        outputs(tile, steps, y0);
        if (dense && asks_for_end()) {
            input(row(END));
            evaluate(solve::end_time<Real>(q_.method, step));
            times.end += vjp(tile, row(GRAD_LAST));
            Over::own([&](int e, int r, int lane) { row(GRAD_Y)[e] += Field::GradInput::at(r, lane); });
        }
        stages_vjp(tile, steps, y0, dense, times);
        if (!wants_times()) return;
        const double start = sum_of_block<Field::threads>(times.start);
        const double grad_dt = sum_of_block<Field::threads>(times.dt);
        const double end = sum_of_block<Field::threads>(times.end);
        if (thread() == 0) steps.add_ends(start - grad_dt, grad_dt + end, time_sums());
    }

    // The stages; and, where outputs lie in the step, its end.
    FLASHODE_DEVICE void recompute(const solve::ReverseSteps& steps, const Real* y0, const Real* slope,
                                   bool dense) {
        const Step& step = steps.step();
        const Real dt = static_cast<Real>(step.dt);
        const Real last_time = solve::last_stage_time<Real>(q_.method, step);
        const int last = tableau().stages - 1;
        Real* k = stages();
        const bool needs_end = wants_times() || (dense && asks_for_end());
        if (steps.carries()) {
            Over::own([&](int e, int, int) { k[e] = slope[e]; });
        } else {
            input(y0);
            evaluate(steps.template first_stage_time<Real>());
            take_rates(k);
        }
#pragma unroll 1
        for (int i = 1; i <= last; ++i) {
            if (i == last && tableau().fsal && !wants_times()) break;
            input_of_stage(i, dt, y0);
            evaluate(numerics::stage_time(q_.method.tableau, i, step.start, step.dt, last_time));
            take_rates(k + i * size);
        }
        if (!needs_end) return;
        Over::own([&](int e, int, int) {
            row(END)[e] = Over::combine(y0[e], dt, tableau().b, tableau().stages, k + e);
        });
        if (!asks_for_end() || !wants_times()) return;
        input(row(END));
        evaluate(solve::end_time<Real>(q_.method, step));
        take_rates(row(END_SLOPE));
    }

    // What the outputs in the step leave.
    FLASHODE_DEVICE void outputs(std::int64_t tile, const solve::ReverseSteps& steps, const Real* y0) {
        const Step& step = steps.step();
        const Real dt = static_cast<Real>(step.dt);
        const solve::Interpolant kind = q_.method.interpolant;
        const Real* k = stages();
        const Real* f1 = tableau().carried ? k + (tableau().stages - 1) * size : row(END_SLOPE);
        Over::own([&](int e, int, int) {
            row(GRAD_START)[e] = row(GRAD_MIDDLE)[e] = row(GRAD_FIRST)[e] = Real(0);
        });
#pragma unroll 1
        for (std::int64_t j = steps.begin(); j < steps.end(); ++j) {
            const double x = solve::fraction(step, q_.request.times.at[j]);
            const auto weights = solve::dense_weights<Real>(q_.method, x);
            solve::OutputRates rates;
            Over::own([&](int e, int r, int lane) {
                const Real from = cotangent(tile, r, lane, j);
                solve::dense_output_vjp(kind, 1, weights, dt, &from,
                                        {row(GRAD_START) + e, row(GRAD_Y) + e, row(GRAD_MIDDLE) + e,
                                         row(GRAD_FIRST) + e, row(GRAD_LAST) + e});
                if (!wants_times() || steps.is_end(x)) return;
                const Real middle = kind == solve::Interpolant::quartic
                                        ? Over::combine(y0[e], dt, tableau().b_mid, tableau().stages, k + e)
                                        : Real(0);
                Real slope;
                const solve::OutputRates own = steps.template output_rates<Real>(
                    x, 1, {y0 + e, row(END) + e, &middle, k + e, f1 + e}, &from, &slope);
                rates.fraction += own.fraction;
                rates.dt += own.dt;
            });
            if (!wants_times() || steps.is_end(x)) continue;
            rates.fraction = sum_of_block<Field::threads>(rates.fraction);
            rates.dt = sum_of_block<Field::threads>(rates.dt);
            if (thread() == 0) steps.add_output(j, x, rates, time_sums());
        }
    }

    // From the gradient in the end of the step that in its start: the stages in reverse.
    FLASHODE_DEVICE void stages_vjp(std::int64_t tile, const solve::ReverseSteps& steps, const Real* y0,
                                    bool dense, Times& times) {
        const Step& step = steps.step();
        const Real dt = static_cast<Real>(step.dt);
        const Real last_time = solve::last_stage_time<Real>(q_.method, step);
        const int last = tableau().stages - 1;
        const bool carries = tableau().carried && !tableau().fsal;
        const bool from_middle = dense && q_.method.interpolant == solve::Interpolant::quartic;
        const bool from_last = (dense && tableau().carried) || carries;
        const bool stretches = wants_times() && steps.stretches();
        const Real* k = stages();
        Real* grad_k = grad_stages();
        unsigned active = 0;  // stages with a cotangent
#pragma unroll 1
        for (int i = 0; i <= last; ++i) {
            const Real b = dt * tableau().b[i];
            const Real b_mid = from_middle ? dt * tableau().b_mid[i] : Real(0);
            const Real* extra = i == 0 && dense          ? row(GRAD_FIRST)
                                : i == last && from_last ? row(GRAD_LAST)
                                                         : nullptr;
            if (b != Real(0) || b_mid != Real(0) || extra != nullptr) active |= 1U << i;
            Over::own([&](int e, int, int) {
                Real grad = b * row(GRAD_Y)[e];
                if (b_mid != Real(0)) grad += b_mid * row(GRAD_MIDDLE)[e];
                if (extra != nullptr) grad += extra[e];
                grad_k[i * size + e] = grad;
                if (!stretches) return;
                if (b != Real(0))
                    times.dt += static_cast<double>(tableau().b[i] * row(GRAD_Y)[e] * k[i * size + e]);
                if (b_mid != Real(0))
                    times.dt +=
                        static_cast<double>(tableau().b_mid[i] * row(GRAD_MIDDLE)[e] * k[i * size + e]);
            });
        }
        Over::own([&](int e, int, int) {
            row(GRAD_Y)[e] += row(GRAD_START)[e] + (from_middle ? row(GRAD_MIDDLE)[e] : Real(0));
        });
#pragma unroll 1
        for (int i = last; i >= 1; --i) {
            if ((active >> i & 1U) == 0) continue;
            input_of_stage(i, dt, y0);
            evaluate(numerics::stage_time(q_.method.tableau, i, step.start, step.dt, last_time));
            const double grad_t = vjp(tile, grad_k + i * size);
            times.start += grad_t;
            if (stretches) times.dt += static_cast<double>(tableau().c[i]) * grad_t;
            for (int j = 0; j < i; ++j) {
                if (tableau().a[i][j] != Real(0)) active |= 1U << j;
            }
            Over::own([&](int e, int r, int lane) {
                const Real grad = Field::GradInput::at(r, lane);
                row(GRAD_Y)[e] += grad;
#pragma unroll 1
                for (int j = 0; j < i; ++j) {
                    const Real a = tableau().a[i][j];
                    if (a == Real(0)) continue;
                    grad_k[j * size + e] = numerics::multiply_add(dt * a, grad, grad_k[j * size + e]);
                    if (stretches) times.dt += static_cast<double>(a * grad * k[j * size + e]);
                }
            });
        }
        if (steps.carries()) {
            Over::own([&](int e, int, int) { row(GRAD_LAST)[e] = grad_k[e]; });
            return;
        }
        input(y0);
        evaluate(steps.template first_stage_time<Real>());
        times.start += vjp(tile, grad_k);
        Over::own([&](int e, int r, int lane) {
            row(GRAD_Y)[e] += Field::GradInput::at(r, lane);
            row(GRAD_LAST)[e] = Real(0);
        });
    }

    const Arguments& q_;
    Tiles<Field> tiles_;
};

// The kernel of the exact reverse: what a generated text calls.
template <class Field>
FLASHODE_DEVICE void discrete_vjp(const DiscreteArguments<typename Field::Real>& q,
                                  const void* const* parameters) {
    Field::prepare(parameters);
    TileReverse<Field>(q).run();
}

}  // namespace flashode::cuda
