// Tiles: (width, lanes) blocks of a batch, trajectories in lanes. The last tile is filled up with copies of
// the last trajectory, so that its other lanes compute ordinary numbers.
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

// Where a value stands that is not finite.
struct Culprit {
    std::size_t segment = 0;
    std::int64_t trajectory = -1;  // -1: nowhere
    int row = 0;                   // of all segments'
};

template <class Real>
struct Tiles {
    std::int64_t batch;
    std::vector<Segment> segments;  // of whose rows errors are measured, and which are to be finite
    int width;

    Tiles(std::int64_t trajectories, std::vector<Segment> parts)
        : Tiles(trajectories, parts, parts.back().end) {}
    // With more rows than those of the segments.
    Tiles(std::int64_t trajectories, std::vector<Segment> parts, int rows)
        : batch(trajectories), segments(std::move(parts)), width(rows) {}

    std::int64_t count() const { return (batch + LANES<Real> - 1) / LANES<Real>; }
    int size() const { return width * LANES<Real>; }
    std::size_t total() const { return static_cast<std::size_t>(count()) * static_cast<std::size_t>(size()); }
    std::size_t offset(std::int64_t tile) const {
        return static_cast<std::size_t>(tile) * static_cast<std::size_t>(size());
    }
    int used_lanes(std::int64_t tile) const {
        return static_cast<int>(std::min<std::int64_t>(LANES<Real>, batch - tile * LANES<Real>));
    }

    // memory: for each segment (batch, rows)
    void load(std::int64_t tile, const Real* memory, Real* to) const {
        const int used = used_lanes(tile);
        for (const Segment& segment : segments) {
            for (int l = 0; l < LANES<Real>; ++l) {
                const Real* row = memory + (tile * LANES<Real> + std::min(l, used - 1)) * segment.rows();
                for (int d = segment.begin; d < segment.end; ++d) to[d * LANES<Real> + l] = *row++;
            }
            memory += batch * segment.rows();
        }
    }
    void store(std::int64_t tile, const Real* from, Real* memory) const {
        for (const Segment& segment : segments) {
            for (int l = 0; l < used_lanes(tile); ++l) {
                Real* row = memory + (tile * LANES<Real> + l) * segment.rows();
                for (int d = 0; d < segment.rows(); ++d) row[d] = from[(segment.begin + d) * LANES<Real> + l];
            }
            memory += batch * segment.rows();
        }
    }

    // As load, but zero in the lanes that are filled up: a cotangent there must not count twice.
    void load_cotangent(std::int64_t tile, const Real* memory, Real* to) const {
        load(tile, memory, to);
        for (int l = used_lanes(tile); l < LANES<Real>; ++l) {
            for (int d = 0; d < width; ++d) to[d * LANES<Real> + l] = Real(0);
        }
    }

    // Whether the segments are finite in every lane.
    bool finite(const Real* values) const {
        return std::all_of(segments.begin(), segments.end(), [values](const Segment& segment) {
            return all_finite(segment.rows() * LANES<Real>, values + segment.begin * LANES<Real>);
        });
    }

    // The largest magnitude of `value(element)`.
    template <class Value>
    Real largest(const Value& value) const {
        Real most = 0;
        for (int e = 0; e < size(); ++e) most = std::max(most, std::abs(value(e)));
        return most;
    }

    // The first value of the tile that keeps it from being finite: by segment, then trajectory, then row.
    Culprit first_nonfinite(std::int64_t tile, const Real* values) const {
        return first_beyond(tile, values, std::numeric_limits<Real>::max());
    }

    // The same of what is not within these bounds.
    Culprit first_beyond(std::int64_t tile, const Real* values, Real most) const {
        for (std::size_t s = 0; s < segments.size(); ++s) {
            for (int l = 0; l < used_lanes(tile); ++l) {
                for (int d = segments[s].begin; d < segments[s].end; ++d) {
                    if (!(std::abs(values[d * LANES<Real> + l]) <= most))
                        return {s, tile * LANES<Real> + l, d};
                }
            }
        }
        return {};
    }
};

// c, what belongs to each trajectory and does not change during a solve: read once.
template <class Real>
class Context {
   public:
    // memory: (batch, rows of c)
    Context(const Field& field, const Real* memory)
        : tiles_(field.batch, {{0, field.program->context_width()}}), rows_(tiles_.total()) {
        if (rows_.empty()) return;
        for (std::int64_t i = 0; i < tiles_.count(); ++i) tiles_.load(i, memory, &rows_[tiles_.offset(i)]);
    }

    const Tiles<Real>& tiles() const { return tiles_; }
    const Real* of(std::int64_t tile) const { return rows_.data() + tiles_.offset(tile); }

   private:
    Tiles<Real> tiles_;
    Rows<Real> rows_;
};

// Tiles that one worker does one after the other. Which they are does not depend on the workers: what is
// summed within a group, and then over the groups in their order, has the same bits however many there are.
class TileGroups {
   public:
    // Of at least `least` tiles each, if there are as many; no more groups than a bound on memory allows, of
    // which each takes so many bytes.
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

// Sums over a tile, segment by segment, of the squares of `value(element)`, in the lanes that are used.
// Whether they are fused with the sums is not left to the compiler, which decides by what this is inlined
// into.
template <class Real, class Value>
inline void add_segment_squares(const std::vector<Segment>& segments, int used_lanes, const Value& value,
                                double* sums) {
    for (std::size_t g = 0; g < segments.size(); ++g) {
        if constexpr (LANES<Real> == 1) {
            const auto square = [&](int e) {
                const Real x = value(e);
                return x * x;
            };
            sums[g] += static_cast<double>(sum_over<Real>(segments[g].begin, segments[g].end, square));
        } else {
            Real lanes[LANES<Real>] = {};
            for (int d = segments[g].begin; d < segments[g].end; ++d) {
                for (int l = 0; l < LANES<Real>; ++l) {
                    const Real x = value(d * LANES<Real> + l);
                    lanes[l] = numerics::multiply_add(x, x, lanes[l]);
                }
            }
            for (int l = 0; l < used_lanes; ++l) sums[g] += static_cast<double>(lanes[l]);
        }
    }
}

// The largest root-mean-square over the segments. A NaN anywhere makes the norm NaN: std::max would lose it.
inline double joint_norm(const std::vector<Segment>& segments, std::int64_t batch, const double* sums) {
    double largest = 0.0;
    for (std::size_t g = 0; g < segments.size(); ++g) {
        const double elements = static_cast<double>(segments[g].rows()) * static_cast<double>(batch);
        const double norm = std::sqrt(sums[g] / elements);
        if (!(norm <= largest)) largest = norm;
        if (std::isnan(largest)) return largest;
    }
    return largest;
}

}  // namespace flashode::cpu::inline FLASHODE_ISA
