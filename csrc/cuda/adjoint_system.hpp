// The continuous adjoint over tiles: a system of solve/continuous.hpp. Each tile has rows of y, then rows of
// a, then those of the gradient in c.
//
// With g the field in reversed time s = -t, g(s, y) = -f(-s, y), the augmented state obeys
//   dy/ds = g,   da/ds = -a^T dg/dy,   d(dL/dt)/ds = a^T dg/ds,   d(dL/dtheta)/ds = -a^T dg/dtheta
// (Chen et al., "Neural Ordinary Differential Equations", NeurIPS 2018, appendix B), and dL/dc as dL/dtheta:
// all of them from one vjp of g with the cotangent -a.
#pragma once

#include <cstdint>

#include "cuda/arguments.hpp"
#include "cuda/budget.hpp"
#include "cuda/dense_vjp.hpp"
#include "cuda/parameter_quadrature.hpp"
#include "cuda/tile_system.hpp"
#include "solve/continuous.hpp"

namespace flashode::cuda {

// What counts in error norms: the segments of y, the same of a, and the rows of the gradient in c of which a
// Field says `measured`, `measured_begin(i)` and `measured_end(i)`.
template <class Field>
struct AdjointSegments {
    using OfState = StateSegments<Field>;
    static constexpr int count = 2 * OfState::count + Field::measured;
    FLASHODE_DEVICE static constexpr int begin(int segment) {
        if (segment < OfState::count) return OfState::begin(segment);
        if (segment < 2 * OfState::count) return Field::width + OfState::begin(segment - OfState::count);
        return 2 * Field::width + Field::measured_begin(segment - 2 * OfState::count);
    }
    FLASHODE_DEVICE static constexpr int end(int segment) {
        if (segment < OfState::count) return OfState::end(segment);
        if (segment < 2 * OfState::count) return Field::width + OfState::end(segment - OfState::count);
        return 2 * Field::width + Field::measured_end(segment - 2 * OfState::count);
    }
};

// Dynamics of tile_system.hpp, of a Field with a vjp (tile_reverse.hpp).
template <class OfText, solve::Control Chosen>
class AdjointDynamics {
   public:
    using Field = OfText;
    using Real = typename Field::Real;
    using Segments = AdjointSegments<Field>;
    static constexpr int state_width = Field::width;
    static constexpr int width = 2 * state_width + Field::context_width;

    // `direction`: of the field in reversed time.
    FLASHODE_DEVICE AdjointDynamics(double direction, const ParameterQuadrature<Field, Chosen>& quadrature)
        : direction_(static_cast<Real>(direction)), quadrature_(quadrature) {}

    // Lanes without a trajectory have no cotangent: it must not count twice.
    FLASHODE_DEVICE void put(int row, int lane, Real value, bool used) const {
        if (row < state_width) {
            Field::Input::at(row, lane) = value;
        } else if (row < 2 * state_width) {
            Field::GradOutput::at(row - state_width, lane) = used ? direction_ * -value : Real(0);
        }
    }
    FLASHODE_DEVICE void evaluate(Real s, int stage) const {
        Real* rates = quadrature_.accumulator(block(), stage);
        Field::evaluate(direction_ * s);
        Field::vjp(rates + 1);
        if (thread() == 0) rates[0] -= direction_ * Field::GradTime::at(0, 0);
    }
    FLASHODE_DEVICE Real rate(int row, int lane) const {
        if (row < state_width) return direction_ * Field::Output::at(row, lane);
        if (row < 2 * state_width) return Field::GradInput::at(row - state_width, lane);
        return Field::GradContext::at(row - 2 * state_width, lane);
    }
    // The field alone.
    FLASHODE_DEVICE void evaluate_state(Real s) const { Field::evaluate(direction_ * s); }

   private:
    Real direction_;
    ParameterQuadrature<Field, Chosen> quadrature_;
};

template <class Field, solve::Control Chosen>
class AdjointSystem
    : public TileSystem<AdjointDynamics<Field, Chosen>, ParameterQuadrature<Field, Chosen>, Chosen> {
    using Dynamics = AdjointDynamics<Field, Chosen>;
    using Quadrature = ParameterQuadrature<Field, Chosen>;
    using Base = TileSystem<Dynamics, Quadrature, Chosen>;
    using Real = typename Field::Real;
    using Base::tiles_, Base::half_, Base::slots_, Base::quadrature_, Base::dynamics_;
    using typename Base::Over;

   public:
    FLASHODE_DEVICE AdjointSystem(const ContinuousArguments<Real>& q, const AdjointStand& stand)
        : Base(q, Dynamics(q.batch.direction, Quadrature(q, stand.half)), Quadrature(q, stand.half),
               stand.half),
          q_(q),
          j_(stand.progress.j) {}

    FLASHODE_DEVICE void save(AdjointStand& stand) const { stand.half = half_; }

    FLASHODE_DEVICE bool wants_times() const { return q_.request.grad_times != nullptr; }

    FLASHODE_DEVICE void add_cotangent(std::int64_t j) {
        tiles_.each([&](std::int64_t tile) {
            Real* a = adjoint(tile);
            Over::own([&](int e, int row, int lane) {
                if (is_adjoint(row)) a[e] += cotangent(tile, row - Field::width, lane, j);
            });
        });
    }

    FLASHODE_DEVICE void move_end(std::int64_t j) {
        double sum[1] = {0.0};
        tiles_.each([&](std::int64_t tile) {
            tiles_.load_context(tile, q_.c);
            OfState::own(
                [&](int, int row, int lane) { Field::Input::at(row, lane) = stored(tile, row, lane, j); });
            dynamics_.evaluate_state(static_cast<Real>(-q_.request.times.at[j]));
            // The reversed field is minus the field.
            OfState::own([&](int, int row, int lane) {
                sum[0] -= static_cast<double>(cotangent(tile, row, lane, j) * dynamics_.rate(row, lane));
            });
        });
        sum_of_blocks<Field::threads>(sum, slots_);
        quadrature_.add_to_time(static_cast<Real>(-sum[0]));
        if (block() == 0 && thread() == 0) q_.request.grad_times[j] = sum[0];
    }
    FLASHODE_DEVICE void move_start() const {
        if (block() == 0 && thread() == 0) q_.request.grad_times[0] = static_cast<double>(q_.gradients[0]);
    }

    FLASHODE_DEVICE void begin_interval(std::int64_t j) {
        j_ = j;
        miss_ = Real(0);
        tiles_.each([&](std::int64_t tile) {
            Real* y = this->state(tile);
            const Real* a = adjoint(tile);
            Over::own([&](int e, int row, int lane) {
                if (row < Field::width) {
                    y[e] = stored(tile, row, lane, j);
                    note(size_, y[e]);
                } else {
                    y[e] = a[e];
                }
            });
        });
        quadrature_.load();
    }

    // The only output asked for is the end of the interval.
    FLASHODE_DEVICE void output(std::int64_t, double x, const Step& step) {
        const auto w = solve::dense_weights<Real>(q_.method, x);
        const Real dt = static_cast<Real>(step.dt);
        tiles_.each([&](std::int64_t tile) {
            Real* a = adjoint(tile);
            Over::own([&](int e, int row, int lane) {
                const Real value = this->interpolated(tile, e, w, dt);
                if (row < Field::width) {
                    const Real kept = stored(tile, row, lane, j_ - 1);
                    note(miss_, value - kept);
                    note(size_, kept);
                } else {
                    a[e] = value;
                }
            });
        });
        quadrature_.interpolate(w, dt);
    }

    FLASHODE_DEVICE double miss() {
        return largest_of_blocks<Field::threads>(static_cast<double>(miss_), slots_);
    }
    FLASHODE_DEVICE double size() {
        return largest_of_blocks<Field::threads>(static_cast<double>(size_), slots_);
    }

    // Once every interval has been solved; those in parameters are in place.
    FLASHODE_DEVICE void store_gradients() {
        tiles_.each([&](std::int64_t tile) {
            const Real* a = adjoint(tile);
            Over::own([&](int e, int row, int lane) {
                if (!tiles_.used(tile, lane)) return;
                const std::int64_t trajectory = tile * Over::lanes + lane;
                if (is_adjoint(row)) {
                    q_.request.grad_y0[tiles_.place(row - Field::width, trajectory)] = a[e];
                } else if (row >= 2 * Field::width) {
                    const std::int64_t first = trajectory * Field::context_width;
                    q_.request.grad_c[first + row - 2 * Field::width] = a[e];
                }
            });
        });
    }

   private:
    using OfState = Tiles<Field>;

    // Its rows are where those of the state are that is integrated, which the same threads own.
    FLASHODE_DEVICE Real* adjoint(std::int64_t tile) const { return q_.adjoint + tile * Over::size; }
    FLASHODE_DEVICE static bool is_adjoint(int row) { return row >= Field::width && row < 2 * Field::width; }

    FLASHODE_DEVICE Real stored(std::int64_t tile, int row, int lane, std::int64_t j) const {
        const Real* states = q_.request.states + j * tiles_.batch * Field::width;
        return states[tiles_.place(row, tiles_.trajectory(tile, lane))];
    }
    FLASHODE_DEVICE Real cotangent(std::int64_t tile, int row, int lane, std::int64_t j) const {
        if (!tiles_.used(tile, lane)) return Real(0);
        const Real* grads = q_.request.grad_states + j * tiles_.batch * Field::width;
        return grads[tiles_.place(row, tile * Over::lanes + lane)];
    }
    FLASHODE_DEVICE static void note(Real& largest, Real value) {
        const Real magnitude = numerics::magnitude(value);
        if (magnitude > largest) largest = magnitude;
    }

    const ContinuousArguments<Real>& q_;
    std::int64_t j_;
    Real miss_ = Real(0);  // as the own thread has seen
    Real size_ = Real(0);
};

// Keeps nothing, and is never full.
struct NoMemory {
    FLASHODE_DEVICE bool full() const { return false; }
};

// The kernel of the adjoint equations: what a generated text calls.
template <class Field, solve::Control Chosen>
FLASHODE_DEVICE void continuous_vjp(const ContinuousArguments<typename Field::Real>& q,
                                    const void* const* parameters) {
    AdjointStand stand = q.stand;
    stand.progress = resumed(q.stand.progress);
    solve::AdjointProgress& at = stand.progress;
    Field::prepare(parameters);
    AdjointSystem<Field, Chosen> system(q, stand);
    const NoMemory nothing;
    Budget watch(q.budget, nothing);
    solve::solve_adjoint(system, q.method, q.request, watch, at);
    if (at.total.status == Status::done) system.store_gradients();
    system.save(stand);
    if (block() == 0 && thread() == 0) *q.left = stand;
}

}  // namespace flashode::cuda
