// The part of the augmented state that no tile has: dL/dt and dL/dtheta, integrated beside the tiles from
// what their vjps add up at every stage. A number of it is touched by one thread of all blocks alone; but
// what the blocks' tiles have of its rates every block writes for itself.
#pragma once

#include <cstdint>

#include "cuda/arguments.hpp"
#include "cuda/tiles.hpp"
#include "numerics/error_norm.hpp"
#include "solve/interpolation.hpp"

namespace flashode::cuda {

// A quadrature of tile_system.hpp.
template <class Field, solve::Control Chosen>
class ParameterQuadrature {
    using Real = typename Field::Real;
    using Over = Tiles<Field>;

   public:
    static constexpr int size = 1 + Field::accumulated;

    FLASHODE_DEVICE ParameterQuadrature(const ContinuousArguments<Real>& q, int half) : q_(q), half_(half) {}

    FLASHODE_DEVICE void clear(int first, int last) {
        Real* from = accumulator(block(), first);
        for (int e = thread(); e < (last - first) * size; e += Field::threads) from[e] = Real(0);
    }

    FLASHODE_DEVICE void close(int first, int last, Slots& slots) {
        exchange_with_blocks<Field::threads>(slots);
        own(0, size, [&](int e) {
            std::int64_t begin = e;
            std::int64_t end = e + 1;
            if (q_.starts != nullptr) {
                const std::int64_t* starts = global_memory<std::int64_t>(q_.starts);
                begin = starts[e];
                end = starts[e + 1];
            }
            for (int stage = first; stage < last; ++stage) {
                Real sum = Real(0);
                for (std::int64_t i = begin; i < end; ++i) {
                    const std::int64_t source = q_.starts == nullptr ? e : q_.sources[i];
                    for (int other = 0; other < blocks(); ++other)
                        sum += from_other_block(accumulator(other, stage) + source);
                }
                rate(stage)[e] = sum;
            }
        });
    }

    FLASHODE_DEVICE double norm_state(Slots& slots) {
        const Real* q0 = state();
        return norm([&](int e) { return q0[e]; }, q0, q0, slots);
    }
    FLASHODE_DEVICE double norm_slope(Slots& slots) {
        const Real* slope = rate(0);
        return norm([&](int e) { return slope[e]; }, state(), state(), slots);
    }
    FLASHODE_DEVICE double norm_probe(Slots& slots) {
        const Real* slope = rate(0);
        const Real* other = rate(1);
        return norm([&](int e) { return other[e] - slope[e]; }, state(), state(), slots);
    }

    FLASHODE_DEVICE double attempt(Real dt, bool dense, Slots& slots) {
        fixed_step(dt);
        if (dense) {
            Real* middle = part(2);
            own(0, size, [&](int e) { middle[e] = combined(state()[e], dt, q_.tableau.b_mid, e); });
        }
        return norm([&](int e) { return combined(Real(0), dt, q_.tableau.b_error, e); }, state(), end(),
                    slots);
    }
    FLASHODE_DEVICE void fixed_step(Real dt) {
        own(0, size, [&](int e) { end()[e] = combined(state()[e], dt, q_.tableau.b, e); });
    }

    FLASHODE_DEVICE void advance() {
        half_ = 1 - half_;
        own(0, size, [&](int e) { rate(0)[e] = last_rate()[e]; });
    }

    // From what the last interval has left, and back.
    FLASHODE_DEVICE void load() {
        own(0, size, [&](int e) { state()[e] = q_.gradients[e]; });
    }
    FLASHODE_DEVICE void interpolate(const numerics::DenseWeights<Real>& w, Real dt) {
        // Of given steps only the end is an output, where every interpolant is the line.
        const solve::Interpolant kind =
            Chosen == solve::Control::error ? q_.method.interpolant : solve::Interpolant::linear;
        own(0, size, [&](int e) {
            solve::dense_output(kind, 1, w, dt,
                                {state() + e, end() + e, part(2) + e, rate(0) + e, last_rate() + e},
                                q_.gradients + e);
        });
    }

    // Adds to dL/dt where the last interval has ended.
    FLASHODE_DEVICE void add_to_time(Real amount) {
        if (block() == 0 && thread() == 0) q_.gradients[0] += amount;
    }
    FLASHODE_DEVICE Real* accumulator(int of_block, int stage) const {
        return q_.accumulators + (std::int64_t{of_block} * q_.sets + stage) * size;
    }

   private:
    FLASHODE_DEVICE Real* part(int which) const { return q_.quadrature + std::int64_t{which} * size; }
    FLASHODE_DEVICE Real* state() const { return part(half_); }
    FLASHODE_DEVICE Real* end() const { return part(1 - half_); }
    FLASHODE_DEVICE Real* rate(int stage) const { return part(3 + stage); }
    FLASHODE_DEVICE Real* last_rate() const { return rate(q_.tableau.stages - 1); }

    FLASHODE_DEVICE Real combined(Real base, Real dt, const Real* weights, int e) const {
        Real sum = base;
#pragma unroll 1
        for (int j = 0; j < q_.tableau.stages; ++j) {
            if (weights[j] != Real(0)) sum = numerics::multiply_add(dt * weights[j], rate(j)[e], sum);
        }
        return sum;
    }

    // Calls visit(e) for those of begin … end - 1 that the thread owns.
    template <class Visit>
    FLASHODE_DEVICE static void own(int begin, int end, const Visit& visit) {
        const int step = blocks() * Field::threads;
        const int mine = block() * Field::threads + thread();
        int e = begin / step * step + mine;
        if (e < begin) e += step;
#pragma unroll 1
        for (; e < end; e += step) visit(e);
    }

    FLASHODE_DEVICE int begin(int segment) const { return static_cast<int>(q_.segments[2 * segment]); }
    FLASHODE_DEVICE int end(int segment) const { return static_cast<int>(q_.segments[2 * segment + 1]); }

    // The largest root mean square over the segments.
    template <class Error>
    FLASHODE_DEVICE double norm(const Error& error, const Real* before, const Real* after, Slots& slots) {
        const numerics::Tolerance<Real> tolerance{static_cast<Real>(q_.method.rtol),
                                                  static_cast<Real>(q_.method.atol)};
        double largest = 0.0;
#pragma unroll 1
        for (int first = 0; first < q_.segment_count; first += MAX_SUMS) {
            const int left = static_cast<int>(q_.segment_count) - first;
            const int count = left < MAX_SUMS ? left : MAX_SUMS;
#pragma unroll 1
            for (int s = 0; s < count; ++s) {
                double sum = 0.0;
                own(begin(first + s), end(first + s), [&](int e) {
                    sum += static_cast<double>(
                        numerics::scaled_square(tolerance, error(e), before[e], after[e]));
                });
                take_block<Field::threads>(s, sum);
            }
            take_blocks(count, slots);
#pragma unroll 1
            for (int s = 0; s < count; ++s) {
                const double elements = end(first + s) - begin(first + s);
                largest = larger_norm(largest, ::sqrt(sum_of_round(s) / elements));
            }
        }
        return largest;
    }

    const ContinuousArguments<Real>& q_;
    int half_;
};

}  // namespace flashode::cuda
