// The size of an error over all tiles, scaled by its tolerance.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "cpu/engine.hpp"
#include "cpu/tiles/tiles.hpp"
#include "cpu/vectors/simd.hpp"
#include "numerics/error_norm.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

template <class Real>
class ErrorMeasure {
   public:
    // `how` may be null: the method's two tolerances and the joint norm.
    ErrorMeasure(const Method& method, Tiles<Real> tiles, const Measure<Real>* how)
        : tolerance_{static_cast<Real>(method.rtol), static_cast<Real>(method.atol)},
          tiles_(std::move(tiles)),
          how_(how),
          sums_(segments() * static_cast<std::size_t>(tiles_.count())),
          total_(segments()) {
        if (how == nullptr) return;
        rtol_ = by_element(how->rtol, tolerance_.relative);
        atol_ = by_element(how->atol, tolerance_.absolute);
        scaled_.resize(tiles_.total());
    }

    // Sees a tile: error(e) between the states y0 and y1 of it. Different tiles' may be seen at the same
    // time.
    template <class Error>
    void see(std::int64_t tile, const Error& error, const Real* y0, const Real* y1) {
        if (how_ == nullptr) {
            add_squares(tile,
                        [&](int e) { return numerics::scaled_error(tolerance_, error(e), y0[e], y1[e]); });
            return;
        }
        const std::size_t at = tiles_.offset(tile);
        for (int e = 0; e < tiles_.size(); ++e) {
            scaled_[at + e] =
                numerics::scaled_error<Real>({rtol_[at + e], atol_[at + e]}, error(e), y0[e], y1[e]);
        }
        if (how_->norm) {
            tiles_.store(tile, &scaled_[at], how_->scaled);
        } else {
            add_squares(tile, [&](int e) { return scaled_[at + e]; });
        }
    }

    // Once every tile has been seen.
    double norm() {
        if (how_ != nullptr && how_->norm) return std::abs(how_->norm());
        std::fill(total_.begin(), total_.end(), 0.0);
        for (std::size_t i = 0; i < sums_.size(); ++i) total_[i % segments()] += sums_[i];
        return joint_norm(tiles_.segments, tiles_.batch, total_.data());
    }

   private:
    std::size_t segments() const { return tiles_.segments.size(); }

    Rows<Real> by_element(const Real* memory, Real otherwise) const {
        Rows<Real> rows(tiles_.total(), otherwise);
        for (std::int64_t i = 0; memory != nullptr && i < tiles_.count(); ++i) {
            tiles_.load(i, memory, &rows[tiles_.offset(i)]);
        }
        return rows;
    }

    template <class Scaled>
    void add_squares(std::int64_t tile, const Scaled& scaled) {
        double* sums = &sums_[static_cast<std::size_t>(tile) * segments()];
        std::fill_n(sums, segments(), 0.0);
        add_segment_squares<Real>(tiles_.segments, tiles_.used_lanes(tile), scaled, sums);
    }

    numerics::Tolerance<Real> tolerance_;
    Tiles<Real> tiles_;
    const Measure<Real>* how_;
    std::vector<double> sums_;   // (tiles, segments)
    std::vector<double> total_;  // (segments)
    Rows<Real> rtol_;
    Rows<Real> atol_;
    Rows<Real> scaled_;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
