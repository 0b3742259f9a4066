// The part of the augmented state that no tile owns: dL/dt and dL/dtheta, integrated beside the tiles from
// what their vjps add up at every stage.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/systems/adjoint_field.hpp"
#include "cpu/systems/tiled_system.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

template <class Real>
class ParameterQuadrature {
   public:
    // Parameters count in the error norm, each by its own root-mean-square, unless it is the seminorm; dL/dt
    // always does, by magnitude. A transpose counts with the parameter that it transposes.
    ParameterQuadrature(const ContinuousRequest<Real>& request, const Field& field, const Tape<Real>& tape,
                        StageAccumulators<Real>& accumulators)
        : tableau_(numerics::rounded<Real>(request.method->tableau)),
          tolerance_{static_cast<Real>(request.method->rtol), static_cast<Real>(request.method->atol)},
          // Of given steps only the end is an output, where every interpolant is the line.
          interpolant_(tableau_.control == Control::error ? request.method->interpolant
                                                          : Interpolant::linear),
          end_(tableau_.control == Control::error && !tableau_.carried ? tableau_.stages
                                                                       : tableau_.stages - 1),
          tape_(&tape),
          accumulators_(&accumulators) {
        std::vector<bool> by_itself = field.wants_gradient;
        for (const Transpose& transpose : request.transposes) {
            const auto parameter = static_cast<std::size_t>(transpose.parameter);
            const auto of = static_cast<std::size_t>(transpose.of);
            if (!field.wants_gradient[parameter] || !field.wants_gradient[of]) continue;
            transposes_.push_back(transpose);
            by_itself[parameter] = false;
        }
        for (std::size_t p = 0; p < field.parameters.size(); ++p) {
            starts_.push_back(size_);
            if (!field.wants_gradient[p]) continue;
            const int begin = size_;
            size_ += static_cast<int>(field.program->parameter_sizes[p]);
            if (by_itself[p] && !request.seminorm) segments_.push_back({begin, size_});
        }
        wanted_ = field.wants_gradient;
        for (Rows<Real>* rows : {&q0_, &q1_, &q_mid_, &error_}) rows->resize(static_cast<std::size_t>(size_));
        rates_.resize(static_cast<std::size_t>(size_) * static_cast<std::size_t>(accumulators.stages));
    }

    void clear(int group, int first, int last) {
        for (int stage = first; stage < last; ++stage) {
            Real* parameters = accumulators_->of_parameters(group, stage);
            if (parameters != nullptr) std::fill_n(parameters, accumulators_->size, Real(0));
            accumulators_->of_time(group, stage) = Real(0);
        }
    }

    void close(int stage) {
        Real* rate = rates(stage);
        std::fill(rate, rate + size_, Real(0));
        const std::vector<Real*> by_parameter = split(rate);
        // Groups first, as vectors: lanes are summed once.
        Real* sum = accumulators_->of_parameters(0, stage);
        for (int group = 0; group < accumulators_->groups; ++group) {
            rate[0] += accumulators_->of_time(group, stage);
            if (group == 0 || sum == nullptr) continue;
            numerics::add_scaled(static_cast<int>(accumulators_->size), Real(1),
                                 accumulators_->of_parameters(group, stage), sum);
        }
        tape_->fold(sum, by_parameter.data());
        for (const Transpose& transpose : transposes_) join(transpose, by_parameter);
    }

    double norm_state() const { return norm(q0_.data(), q0_.data(), q0_.data()); }
    double norm_slope() const { return norm(rates(0), q0_.data(), q0_.data()); }
    double norm_probe() {
        for (int e = 0; e < size_; ++e) error_[e] = rates(1)[e] - rates(0)[e];
        return norm(error_.data(), q0_.data(), q0_.data());
    }

    double attempt(Real dt, bool dense) {
        const Real* none = nullptr;
        numerics::combine(size_, q0_.data(), dt, tableau_.b, tableau_.stages, rates(0), q1_.data());
        numerics::combine(size_, none, dt, tableau_.b_error, tableau_.stages, rates(0), error_.data());
        if (dense)
            numerics::combine(size_, q0_.data(), dt, tableau_.b_mid, tableau_.stages, rates(0),
                              q_mid_.data());
        return norm(error_.data(), q0_.data(), q1_.data());
    }

    void fixed_step(Real dt) {
        numerics::combine(size_, q0_.data(), dt, tableau_.b, tableau_.stages, rates(0), q1_.data());
    }

    void advance() {
        q0_.swap(q1_);
        std::copy(rates(end_), rates(end_) + size_, rates(0));
    }

    // The integral at dense-output weights `w` of the last step.
    void interpolate(const numerics::DenseWeights<Real>& w, Real dt, Real* out) const {
        solve::dense_output(interpolant_, size_, w, dt,
                            {q0_.data(), q1_.data(), q_mid_.data(), rates(0), rates(end_)}, out);
    }

    int size() const { return size_; }
    Real* state() { return q0_.data(); }

    // Where each parameter's part of a vector of this quadrature begins; null for those left out.
    std::vector<Real*> split(Real* vector) const {
        std::vector<Real*> parts;
        parts.reserve(starts_.size());
        for (std::size_t p = 0; p < starts_.size(); ++p)
            parts.push_back(wanted_[p] ? vector + starts_[p] : nullptr);
        return parts;
    }

   private:
    Real* rates(int stage) { return rates_.data() + std::ptrdiff_t{stage} * size_; }
    const Real* rates(int stage) const { return rates_.data() + std::ptrdiff_t{stage} * size_; }

    // Moves a transpose's gradient to the parameter that it transposes.
    static void join(const Transpose& transpose, const std::vector<Real*>& by_parameter) {
        Real* from = by_parameter[static_cast<std::size_t>(transpose.parameter)];
        Real* to = by_parameter[static_cast<std::size_t>(transpose.of)];
        for (int r = 0; r < transpose.rows; ++r) {
            for (int c = 0; c < transpose.columns; ++c)
                to[r * transpose.columns + c] += from[c * transpose.rows + r];
        }
        std::fill(from, from + transpose.rows * transpose.columns, Real(0));
    }

    double norm(const Real* error, const Real* before, const Real* after) const {
        const auto square = [&](int e) {
            return static_cast<double>(numerics::scaled_square(tolerance_, error[e], before[e], after[e]));
        };
        double largest = std::sqrt(square(0));
        for (const Segment& segment : segments_) {
            double sum = 0.0;
            for (int e = segment.begin; e < segment.end; ++e) sum += square(e);
            largest = larger_norm(largest, std::sqrt(sum / segment.rows()));
        }
        return largest;
    }

    numerics::Tableau<Real> tableau_;
    numerics::Tolerance<Real> tolerance_;
    Interpolant interpolant_;
    int end_;  // where the rates at the end of a step are
    const Tape<Real>* tape_;
    StageAccumulators<Real>* accumulators_;
    int size_ = 1;  // element 0 is dL/dt
    std::vector<int> starts_;
    std::vector<Segment> segments_;
    std::vector<Transpose> transposes_;
    std::vector<bool> wanted_;
    Rows<Real> q0_;
    Rows<Real> q1_;
    Rows<Real> q_mid_;
    Rows<Real> error_;
    Rows<Real> rates_;  // (stages, size)
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
