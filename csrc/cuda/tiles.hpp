// Tiles: blocks of a batch, trajectories in lanes. In global memory a tile is (width, lanes); in shared
// memory its rows are where the field has them. An element is touched by one thread of one block alone,
// wherever it stands outside of the field: nothing waits for it. Lanes without a trajectory repeat the last
// one, so that they compute ordinary numbers.
//
// A Field, whose text is generated, offers
//   Real, width, context_width, lanes, threads     compile-time; threads of a block, a multiple of a warp's
//   segments, segment_begin(s)                     how the rows of the state are split in the caller's memory
//   elements                                       of shared memory that it uses
//   Input, Output, Context                         rows in there, as of values.hpp
//   prepare(parameters)                            loads what does not change
//   evaluate(t)                                    Output = f(t, Input, Context), between two barriers
#pragma once

#include <cstdint>

#include "cuda/arguments.hpp"
#include "cuda/machine.hpp"
#include "cuda/reduction.hpp"

namespace flashode::cuda {

// Of so many rows, the first of which are the state's.
template <class Field, int Width = Field::width>
struct Tiles {
    using Real = typename Field::Real;
    static constexpr int width = Width;
    static constexpr int lanes = Field::lanes;
    static constexpr int size = width * lanes;

    std::int64_t batch;

    FLASHODE_DEVICE std::int64_t count() const { return (batch + lanes - 1) / lanes; }
    FLASHODE_DEVICE std::int64_t total() const { return count() * size; }

    // Calls visit(tile) for those of the block at hand.
    template <class Visit>
    FLASHODE_DEVICE void each(const Visit& visit) const {
#pragma unroll 1
        for (std::int64_t tile = block(); tile < count(); tile += blocks()) visit(tile);
    }

    // Calls visit(element, row, lane) for those elements of a tile of so many rows that the thread owns.
    template <int Rows = width, class Visit>
    FLASHODE_DEVICE static void own(const Visit& visit) {
#pragma unroll 1
        for (int e = thread(); e < Rows * lanes; e += Field::threads) visit(e, e / lanes, e % lanes);
    }

    FLASHODE_DEVICE bool used(std::int64_t tile, int lane) const { return tile * lanes + lane < batch; }

    // Which trajectory a lane has or repeats.
    FLASHODE_DEVICE std::int64_t trajectory(std::int64_t tile, int lane) const {
        const std::int64_t own = tile * lanes + lane;
        return own < batch ? own : batch - 1;
    }

    // Where a row of the state is in the caller's memory: for each segment (batch, rows).
    FLASHODE_DEVICE std::int64_t place(int row, std::int64_t trajectory) const {
        if constexpr (Field::segments == 1) return trajectory * Field::width + row;
        std::int64_t at = 0;
#pragma unroll
        for (int s = 0; s < Field::segments; ++s) {
            const int begin = Field::segment_begin(s);
            const int end = Field::segment_begin(s + 1);
            if (row >= begin && row < end) at = batch * begin + trajectory * (end - begin) + row - begin;
        }
        return at;
    }

    // base + dt * sum of weights[j] * k[j], with k[j] so far apart as stages are. Zero weights are skipped:
    // what they would multiply need not be finite.
    FLASHODE_DEVICE static Real combine(Real base, Real dt, const Real* weights, int count, const Real* k) {
        Real sum = base;
#pragma unroll 1
        for (int j = 0; j < count; ++j) {
            const Real weight = weights[j];
            if (weight != Real(0)) sum = numerics::multiply_add(dt * weight, k[j * size], sum);
        }
        return sum;
    }

    // What belongs to the trajectories of a tile, from (batch, rows of c).
    FLASHODE_DEVICE void load_context(std::int64_t tile, const Real* c) const {
        if constexpr (Field::context_width > 0) {
            own<Field::context_width>([&](int, int row, int lane) {
                Field::Context::at(row, lane) = c[trajectory(tile, lane) * Field::context_width + row];
            });
        }
    }
};

// A NaN is larger than any.
FLASHODE_DEVICE double larger_norm(double a, double b) { return solve::is_nan(a) || a > b ? a : b; }

// The rows of the state that count in error norms: each segment by itself.
template <class Field>
struct StateSegments {
    static constexpr int count = Field::segments;
    FLASHODE_DEVICE static constexpr int begin(int segment) { return Field::segment_begin(segment); }
    FLASHODE_DEVICE static constexpr int end(int segment) { return Field::segment_begin(segment + 1); }
};

// Sums of squares, one for each segment.
template <class Real, class Segments, int Threads>
struct SegmentSquares {
    Real sums[Segments::count] = {};

    FLASHODE_DEVICE void add(int row, Real x) {
#pragma unroll
        for (int s = 0; s < Segments::count; ++s) {
            const bool within = row >= Segments::begin(s) && row < Segments::end(s);
            if (within) sums[s] = numerics::multiply_add(x, x, sums[s]);
        }
    }

    // The largest root mean square over the segments of all trajectories. A NaN anywhere makes it NaN.
    FLASHODE_DEVICE double norm(std::int64_t batch, Slots& slots) const { return norm_from<0>(batch, slots); }

   private:
    // Over the segments from this one on, as many in a round as there is room for.
    template <int First>
    FLASHODE_DEVICE double norm_from(std::int64_t batch, Slots& slots) const {
        constexpr int left = Segments::count - First;
        constexpr int count = left < MAX_SUMS ? left : MAX_SUMS;
        double squares[count];
#pragma unroll
        for (int s = 0; s < count; ++s) squares[s] = static_cast<double>(sums[First + s]);
        sum_of_blocks<Threads>(squares, slots);
        double largest = 0.0;
#pragma unroll
        for (int s = 0; s < count; ++s) {
            const int rows = Segments::end(First + s) - Segments::begin(First + s);
            const double elements = static_cast<double>(rows) * static_cast<double>(batch);
            largest = larger_norm(largest, ::sqrt(squares[s] / elements));
        }
        if constexpr (count < left) {
            largest = larger_norm(largest, norm_from<First + count>(batch, slots));
        }
        return largest;
    }
};

// Whether it holds for any thread of any block.
template <int Threads>
FLASHODE_DEVICE bool anywhere(bool here, Slots& slots) {
    double count[1] = {here ? 1.0 : 0.0};
    sum_of_blocks<Threads>(count, slots);
    return count[0] > 0.0;
}

}  // namespace flashode::cuda
