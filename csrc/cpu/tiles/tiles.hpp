// Tiles: (width, lanes) blocks of a batch, trajectories in lanes. The last tile is filled up with copies of
// the last trajectory, so that lanes nobody asked for see nothing but ordinary numbers.
//
// Rows of segments in the norm are the state, those outside of it constants.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "cpu/engine.hpp"
#include "cpu/vectors/simd.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

template <class Real>
inline bool all_finite(int n, const Real* values) {
    // NaN from an infinity or a NaN, else 0
    return sum_over<Real>(0, n, [values](int e) { return values[e] - values[e]; }) == Real(0);
}

inline int rows_of(const std::vector<Segment>& segments, bool constants) {
    int rows = 0;
    for (const Segment& segment : segments) {
        if (segment.in_norm || constants) rows += segment.rows;
    }
    return rows;
}

// Where a value stands that is not finite.
struct Culprit {
    std::size_t segment = 0;
    std::int64_t trajectory = -1;  // -1: nowhere
    int row = 0;                   // of all segments'
};

template <class Real>
struct Tiles {
    std::int64_t batch;
    std::vector<Segment> segments;
    int width;
    int state_width;  // without the constants

    Tiles(std::int64_t trajectories, std::vector<Segment> parts)
        : batch(trajectories),
          segments(std::move(parts)),
          width(rows_of(segments, true)),
          state_width(rows_of(segments, false)) {}

    std::int64_t count() const { return (batch + LANES<Real> - 1) / LANES<Real>; }
    int size() const { return width * LANES<Real>; }
    std::size_t total() const { return static_cast<std::size_t>(count()) * static_cast<std::size_t>(size()); }
    std::size_t offset(std::int64_t tile) const {
        return static_cast<std::size_t>(tile) * static_cast<std::size_t>(size());
    }
    int used_lanes(std::int64_t tile) const {
        return static_cast<int>(std::min<std::int64_t>(LANES<Real>, batch - tile * LANES<Real>));
    }
    // Scalars of one tile's state, and of its constants.
    std::size_t packed_size(bool state) const {
        return static_cast<std::size_t>(state ? state_width : width - state_width) * LANES<Real>;
    }

    // memory: for each segment (batch, rows)
    void load(std::int64_t tile, const Real* memory, Real* to) const {
        for (const Segment& segment : segments) {
            load_segment(tile, segment, memory, to);
            memory += batch * segment.rows;
            to += segment.rows * LANES<Real>;
        }
    }
    void store(std::int64_t tile, const Real* from, Real* memory) const {
        for (const Segment& segment : segments) {
            store_segment(tile, segment, from, memory);
            memory += batch * segment.rows;
            from += segment.rows * LANES<Real>;
        }
    }

    // The same for memory that holds the state alone. Loading leaves the constants of the tile as they are.
    void load_state(std::int64_t tile, const Real* memory, Real* to) const {
        for (const Segment& segment : segments) {
            if (segment.in_norm) {
                load_segment(tile, segment, memory, to);
                memory += batch * segment.rows;
            }
            to += segment.rows * LANES<Real>;
        }
    }
    void store_state(std::int64_t tile, const Real* from, Real* memory) const {
        for (const Segment& segment : segments) {
            if (segment.in_norm) {
                store_segment(tile, segment, from, memory);
                memory += batch * segment.rows;
            }
            from += segment.rows * LANES<Real>;
        }
    }

    // As load_state, but zero in the constants, which no output shows, and in the lanes that are filled up: a
    // cotangent there must not count twice.
    void load_cotangent(std::int64_t tile, const Real* memory, Real* to) const {
        if (state_width < width) std::fill(to, to + size(), Real(0));
        load_state(tile, memory, to);
        for (int l = used_lanes(tile); l < LANES<Real>; ++l) {
            for (int d = 0; d < width; ++d) to[d * LANES<Real> + l] = Real(0);
        }
    }

    // The state, or the constants, of a tile without the other.
    void pack(bool state, const Real* from, Real* packed) const {
        for (const Segment& segment : segments) {
            const int n = segment.rows * LANES<Real>;
            if (segment.in_norm == state) packed = std::copy(from, from + n, packed);
            from += n;
        }
    }
    void unpack(bool state, const Real* packed, Real* to) const {
        for (const Segment& segment : segments) {
            const int n = segment.rows * LANES<Real>;
            if (segment.in_norm == state) {
                std::copy(packed, packed + n, to);
                packed += n;
            }
            to += n;
        }
    }

    void copy_constants(const Real* from, Real* to) const {
        if (state_width == width) return;
        for (const Segment& segment : segments) {
            const int n = segment.rows * LANES<Real>;
            if (!segment.in_norm) std::copy(from, from + n, to);
            from += n;
            to += n;
        }
    }

    // Moves the constants' rows: adds them to those of `to` and leaves zeros.
    void move_constants(Real* from, Real* to) const {
        if (state_width == width) return;
        for (const Segment& segment : segments) {
            const int n = segment.rows * LANES<Real>;
            for (int e = 0; e < n && !segment.in_norm; ++e) {
                to[e] += from[e];
                from[e] = Real(0);
            }
            from += n;
            to += n;
        }
    }

    // Whether the segments in the norm are finite in every lane.
    bool finite(const Real* values) const {
        for (const Segment& segment : segments) {
            const int n = segment.rows * LANES<Real>;
            if (segment.in_norm && !all_finite(n, values)) return false;
            values += n;
        }
        return true;
    }

    // The largest magnitude of `value(element)` in the segments in the norm.
    template <class Value>
    Real largest(const Value& value) const {
        Real most = 0;
        int begin = 0;
        for (const Segment& segment : segments) {
            const int end = begin + segment.rows * LANES<Real>;
            for (int e = begin; e < end && segment.in_norm; ++e) most = std::max(most, std::abs(value(e)));
            begin = end;
        }
        return most;
    }

    // The first value of the tile that keeps it from being finite: by segment, then trajectory, then row.
    Culprit first_nonfinite(std::int64_t tile, const Real* values) const {
        return first_beyond(tile, values, std::numeric_limits<Real>::max());
    }

    // The same of what is not within these bounds.
    Culprit first_beyond(std::int64_t tile, const Real* values, Real most) const {
        int row = 0;
        for (std::size_t s = 0; s < segments.size(); ++s) {
            const int end = row + segments[s].rows;
            for (int l = 0; segments[s].in_norm && l < used_lanes(tile); ++l) {
                for (int d = row; d < end; ++d) {
                    if (!(std::abs(values[d * LANES<Real> + l]) <= most))
                        return {s, tile * LANES<Real> + l, d};
                }
            }
            row = end;
        }
        return {};
    }

   private:
    void load_segment(std::int64_t tile, const Segment& segment, const Real* memory, Real* to) const {
        const int used = used_lanes(tile);
        for (int l = 0; l < LANES<Real>; ++l) {
            const Real* row = memory + (tile * LANES<Real> + std::min(l, used - 1)) * segment.rows;
            for (int d = 0; d < segment.rows; ++d) to[d * LANES<Real> + l] = row[d];
        }
    }

    void store_segment(std::int64_t tile, const Segment& segment, const Real* from, Real* memory) const {
        for (int l = 0; l < used_lanes(tile); ++l) {
            Real* row = memory + (tile * LANES<Real> + l) * segment.rows;
            for (int d = 0; d < segment.rows; ++d) row[d] = from[d * LANES<Real> + l];
        }
    }
};

// Tiles that one worker does one after the other. Which they are does not depend on the workers: what is
// summed within a group, and then over the groups in their order, has the same bits however many there are.
class TileGroups {
   public:
    // Of `least` tiles each at least, if there are as many, and so few that what is kept for each of them, so
    // many bytes, stays within bounds.
    TileGroups(std::int64_t tiles, std::int64_t least, std::size_t bytes) : tiles_(tiles) {
        const auto affordable = static_cast<std::int64_t>(MOST_BYTES / std::max<std::size_t>(bytes, 1));
        count_ = static_cast<int>(std::clamp<std::int64_t>(std::min(tiles / least, affordable), 1, MOST));
    }

    int count() const { return count_; }
    std::int64_t begin(int group) const { return tiles_ * group / count_; }
    std::int64_t end(int group) const { return begin(group + 1); }

   private:
    static constexpr std::int64_t MOST = 32;
    static constexpr std::size_t MOST_BYTES = std::size_t{64} << 20;

    std::int64_t tiles_;
    int count_ = 1;
};

// A range of rows whose root-mean-square error counts by itself.
struct NormGroup {
    int begin = 0;
    int end = 0;
};

inline std::vector<NormGroup> norm_groups(const std::vector<Segment>& segments) {
    std::vector<NormGroup> groups;
    int begin = 0;
    for (const Segment& segment : segments) {
        if (segment.in_norm) groups.push_back({begin, begin + segment.rows});
        begin += segment.rows;
    }
    return groups;
}

// Sums over a tile, row group by row group, of `term(row offset, element)`, in the lanes that are used.
template <class Real, class Term>
inline void add_group_sums(const std::vector<NormGroup>& groups, int used_lanes, const Term& term,
                           double* sums) {
    for (std::size_t g = 0; g < groups.size(); ++g) {
        if constexpr (LANES<Real> == 1) {
            sums[g] += static_cast<double>(sum_over<Real>(groups[g].begin, groups[g].end, term));
        } else {
            Real lanes[LANES<Real>] = {};
            for (int d = groups[g].begin; d < groups[g].end; ++d) {
                for (int l = 0; l < LANES<Real>; ++l) lanes[l] += term(d * LANES<Real> + l);
            }
            for (int l = 0; l < used_lanes; ++l) sums[g] += static_cast<double>(lanes[l]);
        }
    }
}

// The largest root-mean-square over the groups. A NaN anywhere makes the norm NaN: std::max would lose it.
inline double joint_norm(const std::vector<NormGroup>& groups, std::int64_t batch, const double* sums) {
    double largest = 0.0;
    for (std::size_t g = 0; g < groups.size(); ++g) {
        const double elements =
            static_cast<double>(groups[g].end - groups[g].begin) * static_cast<double>(batch);
        const double norm = std::sqrt(sums[g] / elements);
        if (!(norm <= largest)) largest = norm;
        if (std::isnan(largest)) return largest;
    }
    return largest;
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
