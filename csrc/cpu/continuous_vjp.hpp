// The continuous adjoint over tiles: each has rows of y, then rows of a, then those of the gradient in c.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/systems/adjoint_field.hpp"
#include "cpu/systems/parameter_quadrature.hpp"
#include "cpu/systems/tiled_system.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// A system of solve/continuous.hpp.
template <class Real>
class AdjointSystem : public TiledSystem<Real, AugmentedTileField<Real>, ParameterQuadrature<Real>> {
    using Base = TiledSystem<Real, AugmentedTileField<Real>, ParameterQuadrature<Real>>;

   protected:
    using Base::method_, Base::tiles_, Base::context_, Base::y0_, Base::quadrature_;

   public:
    // `slots`: as of the field.
    AdjointSystem(const ContinuousRequest<Real>& request, const Field& reversed, const Tape<Real>& tape,
                  StageAccumulators<Real>& accumulators, TileGroups groups, Team& team, int slots = 1)
        : Base(*request.method, augmented(request, reversed), Context<Real>(reversed, request.c),
               augmented(*request.method, reversed, tape, accumulators, slots),
               ParameterQuadrature<Real>(request, reversed, tape, accumulators), nullptr, groups, team),
          request_(request),
          reversed_(reversed),
          tape_(tape),
          rows_(reversed.batch, reversed.segments),
          a_(tiles_.total() - rows_.total()),
          stored_(static_cast<std::size_t>(rows_.size())),
          q_(static_cast<std::size_t>(quadrature_.size())) {}

    void begin_interval(std::int64_t j) {
        earlier_ = request_.states + (j - 1) * state_size();
        miss_ = 0;
        for (std::int64_t i = 0; i < rows_.count(); ++i) {
            Real* tile = &y0_[tiles_.offset(i)];
            rows_.load(i, request_.states + j * state_size(), tile);
            size_ = std::max(size_, rows_.largest([tile](int e) { return tile[e]; }));
            std::copy(adjoint(i), adjoint(i) + adjoint_size(), tile + rows_.size());
        }
        std::copy(q_.begin(), q_.end(), quadrature_.state());
    }

    void add_cotangent(std::int64_t j) {
        Real* cotangent = this->own().scratch.data();
        for (std::int64_t i = 0; i < rows_.count(); ++i) {
            rows_.load_cotangent(i, request_.grad_states + j * state_size(), cotangent);
            numerics::add_scaled(rows_.size(), Real(1), cotangent, adjoint(i));
        }
    }

    bool wants_times() const { return request_.grad_times != nullptr; }
    void move_end(std::int64_t j) {
        TileField<Real> field(reversed_, tape_, 1);
        Rows<Real> y(stored_.size());
        Rows<Real> cotangent(y.size());
        Rows<Real> slope(y.size());
        double sum = 0.0;
        for (std::int64_t i = 0; i < rows_.count(); ++i) {
            field.enter_tile(context_.of(i));
            rows_.load(i, request_.states + j * state_size(), y.data());
            rows_.load_cotangent(i, request_.grad_states + j * state_size(), cotangent.data());
            field(0, static_cast<Real>(-request_.times.at[j]), y.data(), slope.data());
            // the reversed field is minus the field
            sum -= static_cast<double>(numerics::dot(rows_.size(), cotangent.data(), slope.data()));
        }
        q_[0] += static_cast<Real>(-sum);
        request_.grad_times[j] = sum;
    }

    void move_start() const { request_.grad_times[0] = static_cast<double>(q_[0]); }
    double miss() const { return static_cast<double>(miss_); }
    double size() const { return static_cast<double>(size_); }

    // Once every interval has been solved.
    void store_gradients() {
        for (std::int64_t i = 0; i < rows_.count(); ++i) {
            rows_.store(i, adjoint(i), request_.grad_y0);
            context_.tiles().store(i, adjoint(i) + rows_.size(), request_.grad_c);
        }
        const std::vector<Real*> parts = quadrature_.split(q_.data());
        for (std::size_t p = 0; p < parts.size(); ++p) {
            if (parts[p] == nullptr) continue;
            std::copy(parts[p], parts[p] + reversed_.program->parameter_sizes[p],
                      request_.grad_parameters[p]);
        }
    }

    // The only output asked for is the end of the interval.
    void output(std::int64_t, double x, const Step& step) {
        const auto weights = solve::dense_weights<Real>(method_, x);
        const Real dt = static_cast<Real>(step.dt);
        for (std::int64_t i = 0; i < rows_.count(); ++i) {
            const Real* state = this->interpolate(i, weights, dt);
            rows_.load(i, earlier_, stored_.data());
            miss_ = std::max(miss_, rows_.largest([&](int e) { return state[e] - stored_[e]; }));
            size_ = std::max(size_, rows_.largest([&](int e) { return stored_[e]; }));
            std::copy(state + rows_.size(), state + tiles_.size(), adjoint(i));
        }
        quadrature_.interpolate(weights, dt, q_.data());
    }

   private:
    static AugmentedTileField<Real> augmented(const Method& method, const Field& reversed,
                                              const Tape<Real>& tape, StageAccumulators<Real>& accumulators,
                                              int slots) {
        AugmentedTileField<Real> field(reversed, tape, accumulators, useful_slots(tape, method, slots));
        if (tiles_sharing(tape, method) > 1) field.defer_shared();
        return field;
    }

    static Tiles<Real> augmented(const ContinuousRequest<Real>& request, const Field& reversed) {
        const int width = reversed.program->width();
        std::vector<Segment> judged = reversed.segments;
        for (const Segment& segment : reversed.segments) {
            judged.push_back({width + segment.begin, width + segment.end});
        }
        for (const Segment& of_c : request.measured_c) {
            if (!request.seminorm) judged.push_back({2 * width + of_c.begin, 2 * width + of_c.end});
        }
        return {reversed.batch, std::move(judged), 2 * width + reversed.program->context_width()};
    }

    // Scalars of one output time.
    std::int64_t state_size() const { return rows_.batch * rows_.width; }
    // Of a tile, its rows after those of y.
    int adjoint_size() const { return tiles_.size() - rows_.size(); }
    Real* adjoint(std::int64_t tile) { return a_.data() + tile * adjoint_size(); }

    const ContinuousRequest<Real>& request_;
    const Field& reversed_;
    const Tape<Real>& tape_;

   protected:
    Tiles<Real> rows_;  // of y

   private:
    Rows<Real> a_;       // (tiles, rows of a and of the gradient in c, lanes)
    Rows<Real> stored_;  // a tile of the state that an interval leads back to
    const Real* earlier_ = nullptr;
    Real miss_ = 0;
    Real size_ = 0;
    Rows<Real> q_;  // dL/dt and dL/dtheta at the end of the last interval
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
