// The forward solve over tiles: a system of solve/forward.hpp.
#pragma once

#include <cstdint>

#include "cuda/arguments.hpp"
#include "cuda/tile_system.hpp"

namespace flashode::cuda {

// The field alone: dy/ds = direction * f(direction * s, y).
template <class OfText>
class StateDynamics {
   public:
    using Field = OfText;
    using Real = typename Field::Real;
    using Segments = StateSegments<Field>;
    static constexpr int width = Field::width;

    FLASHODE_DEVICE explicit StateDynamics(double direction) : direction_(static_cast<Real>(direction)) {}

    FLASHODE_DEVICE void put(int row, int lane, Real value, bool) const {
        Field::Input::at(row, lane) = value;
    }
    FLASHODE_DEVICE void evaluate(Real t, int) const { Field::evaluate(direction_ * t); }
    FLASHODE_DEVICE Real rate(int row, int lane) const { return direction_ * Field::Output::at(row, lane); }

   private:
    Real direction_;
};

template <class Field, solve::Control Chosen>
class ForwardSystem : public TileSystem<StateDynamics<Field>, NoQuadrature, Chosen> {
    using Base = TileSystem<StateDynamics<Field>, NoQuadrature, Chosen>;
    using Real = typename Field::Real;
    using Base::q_, Base::tiles_, Base::half_, Base::slots_;
    using typename Base::Over;

   public:
    FLASHODE_DEVICE ForwardSystem(const ForwardArguments<Real>& q, const Stand& stand)
        : Base(q, StateDynamics<Field>(q.batch.direction), NoQuadrature{}, stand.half),
          states_(q.request.states) {}

    FLASHODE_DEVICE void load(const Real* y0) {
        tiles_.each([&](std::int64_t tile) {
            Real* y = this->state(tile);
            Over::own([&](int e, int row, int lane) {
                y[e] = y0[tiles_.place(row, tiles_.trajectory(tile, lane))];
            });
        });
    }

    // Where the solve stands, but for its progress.
    FLASHODE_DEVICE void save(Stand& stand) const { stand.half = half_; }

    FLASHODE_DEVICE void output(std::int64_t j, double x, const Step& step) {
        state_at(x, step, output_memory(j));
    }
    FLASHODE_DEVICE void output_start(std::int64_t j) { start_state(output_memory(j)); }

    FLASHODE_DEVICE void state_at(double x, const Step& step, Real* memory) {
        const auto w = solve::dense_weights<Real>(q_.method, x);
        const Real dt = static_cast<Real>(step.dt);
        store(memory, [&](std::int64_t tile, int e) { return this->interpolated(tile, e, w, dt); });
    }
    FLASHODE_DEVICE void end_state(Real* memory) {
        store(memory, [&](std::int64_t tile, int e) { return this->end(tile)[e]; });
    }
    FLASHODE_DEVICE void start_state(Real* memory) {
        store(memory, [&](std::int64_t tile, int e) { return this->state(tile)[e]; });
    }

    // The state at the start of the step, and its slope where that is another step's last stage.
    FLASHODE_DEVICE void write_checkpoint(Real* to) const {
        const bool with_slope = this->tableau().carried && !this->tableau().fsal;
        tiles_.each([&](std::int64_t tile) {
            const Real* y = this->state(tile);
            const Real* f = this->slope(tile);
            Real* at = to + tile * Over::size;
            Over::own([&](int e, int, int) {
                at[e] = y[e];
                if (with_slope) at[tiles_.total() + e] = f[e];
            });
        });
    }

   private:
    FLASHODE_DEVICE Real* output_memory(std::int64_t j) const {
        return states_ + j * tiles_.batch * Field::width;
    }

    // Into the caller's memory.
    template <class Value>
    FLASHODE_DEVICE void store(Real* memory, const Value& value) const {
        tiles_.each([&](std::int64_t tile) {
            Over::own([&](int e, int row, int lane) {
                if (!tiles_.used(tile, lane)) return;
                memory[tiles_.place(row, tile * Over::lanes + lane)] = value(tile, e);
            });
        });
    }

    Real* states_;
};

}  // namespace flashode::cuda
