// The continuous adjoint: the augmented dynamics solved backwards, one solve for each interval between output
// times, the state reset to the forward pass' value at each.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/goals.hpp"
#include "cpu/systems/adjoint_field.hpp"
#include "cpu/systems/parameter_quadrature.hpp"
#include "cpu/systems/tiled_system.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

template <class Real>
class AdjointSystem : public TiledSystem<Real, AugmentedTileField<Real>, ParameterQuadrature<Real>> {
    using Base = TiledSystem<Real, AugmentedTileField<Real>, ParameterQuadrature<Real>>;

   protected:
    using Base::method_, Base::rows_, Base::tiles_, Base::y0_, Base::quadrature_;

   public:
    // `kept_stages`: as of the field.
    AdjointSystem(const ContinuousRequest<Real>& request, const Field& reversed, const Tape<Real>& tape,
                  StageAccumulators<Real>& accumulators, TileGroups groups, Team& team, int kept_stages = 1)
        : Base(*request.method, Tiles<Real>(reversed.batch, reversed.segments),
               Tiles<Real>(reversed.batch, twice(reversed.segments, request)),
               augmented(*request.method, reversed, tape, accumulators, kept_stages),
               ParameterQuadrature<Real>(request, reversed, tape, accumulators), nullptr, groups, team),
          a_(rows_.total()),
          stored_(static_cast<std::size_t>(rows_.size())),
          q_(static_cast<std::size_t>(quadrature_.size())) {
        for (std::int64_t i = 0; i < rows_.count(); ++i) {
            rows_.load(i, request.y0, &y0_[tiles_.offset(i)]);
        }
    }

    // Puts the state of an output time and the adjoint state in place for the next interval; the constants
    // have stayed where they are. `earlier` is the state that the interval leads back to.
    void begin_interval(const Real* states, const Real* earlier) {
        earlier_ = earlier;
        miss_ = 0;
        for (std::int64_t i = 0; i < rows_.count(); ++i) {
            Real* tile = &y0_[tiles_.offset(i)];
            rows_.load_state(i, states, tile);
            size_ = std::max(size_, rows_.largest([tile](int e) { return tile[e]; }));
            std::copy(&a_[rows_.offset(i)], &a_[rows_.offset(i)] + rows_.size(), tile + rows_.size());
        }
        std::copy(q_.begin(), q_.end(), quadrature_.state());
    }

    // a += dL/d(state at an output time)
    void add_cotangent(const Real* grad_states) {
        for (std::int64_t i = 0; i < rows_.count(); ++i) {
            Real* cotangent = this->own().scratch.data();
            rows_.load_cotangent(i, grad_states, cotangent);
            numerics::add_scaled(rows_.size(), Real(1), cotangent, &a_[rows_.offset(i)]);
        }
    }

    // Scalars of one output time.
    std::int64_t state_size() const { return rows_.batch * rows_.state_width; }

    void add_to_time_gradient(Real amount) { q_[0] += amount; }
    Real time_gradient() const { return q_[0]; }
    // By how much y has missed the state that the last interval leads back to, and how large states are.
    double miss() const { return static_cast<double>(miss_); }
    double size() const { return static_cast<double>(size_); }
    std::vector<Real*> parameter_gradients() { return quadrature_.split(q_.data()); }

    void store_adjoint(Real* grad_y0) const {
        for (std::int64_t i = 0; i < rows_.count(); ++i) rows_.store(i, &a_[rows_.offset(i)], grad_y0);
    }

    void accept(const Step&) {}

    // The only output asked for is the end of the interval.
    void output(std::int64_t, double x, const Step& step) {
        const auto weights = dense_weights<Real>(method_, x);
        const Real dt = static_cast<Real>(step.dt);
        for (std::int64_t i = 0; i < rows_.count(); ++i) {
            const Real* state = this->interpolate(i, weights, dt);
            rows_.load_state(i, earlier_, stored_.data());
            miss_ = std::max(miss_, rows_.largest([&](int e) { return state[e] - stored_[e]; }));
            size_ = std::max(size_, rows_.largest([&](int e) { return stored_[e]; }));
            std::copy(state + rows_.size(), state + tiles_.size(), &a_[rows_.offset(i)]);
        }
        quadrature_.interpolate(weights, dt, q_.data());
    }

   private:
    static AugmentedTileField<Real> augmented(const Method& method, const Field& reversed,
                                              const Tape<Real>& tape, StageAccumulators<Real>& accumulators,
                                              int kept_stages) {
        AugmentedTileField<Real> field(reversed, tape, accumulators, useful_slots(tape, method, kept_stages));
        if (tiles_sharing(tape, method) > 1) field.leave_uniform();
        return field;
    }

    // Those of y, then those of a.
    static std::vector<Segment> twice(const std::vector<Segment>& segments,
                                      const ContinuousRequest<Real>& request) {
        std::vector<Segment> both = segments;
        both.insert(both.end(), segments.begin(), segments.end());
        for (std::size_t s = 0; s < request.like_parameters.size() && !request.seminorm; ++s) {
            if (request.like_parameters[s]) both[segments.size() + s].in_norm = true;
        }
        return both;
    }

    Rows<Real> a_;
    Rows<Real> stored_;  // a tile of the state that an interval leads back to
    const Real* earlier_ = nullptr;
    Real miss_ = 0;
    Real size_ = 0;
    Rows<Real> q_;  // dL/dt and dL/dtheta at the end of the last interval
};

template <class Real, class System>
class ContinuousAdjoint {
   public:
    ContinuousAdjoint(const ContinuousRequest<Real>& request, const Field& reversed, const Tape<Real>& tape,
                      TileGroups groups, Team& team)
        : request_(request),
          reversed_(reversed),
          tape_(tape),
          accumulators_(tape, *request.method, groups),
          system_(request, reversed, tape, accumulators_, groups, team) {}

    Outcome run(const Interrupt& interrupt) {
        Outcome total;
        const std::int64_t row = system_.state_size();
        system_.add_cotangent(request_.grad_states + (request_.time_count - 1) * row);
        for (std::int64_t i = request_.time_count - 1; i >= 1; --i) {
            if (request_.grad_times != nullptr) total.evaluations += move_end(i);
            system_.begin_interval(request_.states + i * row, request_.states + (i - 1) * row);
            const Outcome outcome = solve_interval(i, interrupt);
            if (system_.miss() > total.miss) {
                total.miss = system_.miss();
                total.miss_t = request_.times[i - 1];
            }
            total.size = system_.size();
            total.evaluations += outcome.evaluations;
            total.accepted += outcome.accepted;
            total.rejected += outcome.rejected;
            if (total.unconverged == 0) total.unconverged_t = -outcome.unconverged_t;
            total.unconverged += outcome.unconverged;
            if (outcome.status != Status::done) {
                total.status = outcome.status;
                total.t = -outcome.t;
                total.dt = outcome.dt;
                total.trajectory = outcome.trajectory;
                total.row = outcome.row;
                return total;
            }
            system_.add_cotangent(request_.grad_states + (i - 1) * row);
        }
        system_.store_adjoint(request_.grad_y0);
        if (request_.grad_times != nullptr)
            request_.grad_times[0] = static_cast<double>(system_.time_gradient());
        store_parameter_gradients();
        return total;
    }

   private:
    Outcome solve_interval(std::int64_t i, const Interrupt& interrupt) {
        const double times[2] = {-request_.times[i], -request_.times[i - 1]};
        const OutputTimes goal(times, 2);
        const std::vector<double> none;
        const bool given = request_.method->tableau.control == Control::given;
        const std::vector<double>& grid = given ? request_.grids[i - 1] : none;
        const GridSteps steps(grid.data(), static_cast<std::int64_t>(grid.size()));
        return integrate(system_, *request_.method, times[0], steps, goal, interrupt);
    }

    // Moving output time i moves its state along f: dL/dt_i = (dL/dy_i)^T f(t_i, y_i). Returns evaluations
    // made.
    std::int64_t move_end(std::int64_t i) {
        const Tiles<Real> rows(reversed_.batch, reversed_.segments);
        const std::int64_t row = system_.state_size();
        TileField<Real> field(reversed_, tape_, 1);
        Rows<Real> y(static_cast<std::size_t>(rows.size()));
        Rows<Real> cotangent(y.size());
        Rows<Real> slope(y.size());
        double sum = 0.0;
        for (std::int64_t tile = 0; tile < rows.count(); ++tile) {
            rows.load(tile, request_.y0, y.data());
            rows.load_state(tile, request_.states + i * row, y.data());
            rows.load_cotangent(tile, request_.grad_states + i * row, cotangent.data());
            field(0, static_cast<Real>(-request_.times[i]), y.data(), slope.data());
            // the reversed field is minus the field
            sum -= static_cast<double>(numerics::dot(rows.size(), cotangent.data(), slope.data()));
        }
        request_.grad_times[i] = sum;
        system_.add_to_time_gradient(static_cast<Real>(-sum));
        return 1;
    }

    void store_parameter_gradients() {
        const std::vector<Real*> parts = system_.parameter_gradients();
        for (std::size_t p = 0; p < parts.size(); ++p) {
            if (parts[p] == nullptr) continue;
            std::copy(parts[p], parts[p] + reversed_.program->parameter_sizes[p],
                      request_.grad_parameters[p]);
        }
    }

    const ContinuousRequest<Real>& request_;
    const Field& reversed_;
    const Tape<Real>& tape_;
    StageAccumulators<Real> accumulators_;
    System system_;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
