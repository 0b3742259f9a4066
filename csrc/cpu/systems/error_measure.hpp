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
          groups_(norm_groups(tiles_.segments)),
          sums_(groups_.size() * static_cast<std::size_t>(tiles_.count())),
          total_(groups_.size()) {
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
                        [&](int e) { return numerics::scaled_square(tolerance_, error(e), y0[e], y1[e]); });
            return;
        }
        const std::size_t at = tiles_.offset(tile);
        for (int e = 0; e < tiles_.size(); ++e) {
            scaled_[at + e] =
                numerics::scaled_error<Real>({rtol_[at + e], atol_[at + e]}, error(e), y0[e], y1[e]);
        }
        if (how_->norm) {
            tiles_.store_state(tile, &scaled_[at], how_->scaled);
        } else {
            add_squares(tile, [&](int e) { return scaled_[at + e] * scaled_[at + e]; });
        }
    }

    // Once every tile has been seen.
    double norm() {
        if (how_ != nullptr && how_->norm) return std::abs(how_->norm());
        std::fill(total_.begin(), total_.end(), 0.0);
        for (std::size_t i = 0; i < sums_.size(); ++i) total_[i % groups_.size()] += sums_[i];
        return joint_norm(groups_, tiles_.batch, total_.data());
    }

   private:
    Rows<Real> by_element(const Real* memory, Real otherwise) const {
        Rows<Real> rows(tiles_.total(), otherwise);
        for (std::int64_t i = 0; memory != nullptr && i < tiles_.count(); ++i) {
            tiles_.load_state(i, memory, &rows[tiles_.offset(i)]);
        }
        return rows;
    }

    template <class Square>
    void add_squares(std::int64_t tile, const Square& square) {
        double* sums = &sums_[static_cast<std::size_t>(tile) * groups_.size()];
        std::fill_n(sums, groups_.size(), 0.0);
        add_group_sums<Real>(groups_, tiles_.used_lanes(tile), square, sums);
    }

    numerics::Tolerance<Real> tolerance_;
    Tiles<Real> tiles_;
    const Measure<Real>* how_;
    std::vector<NormGroup> groups_;
    std::vector<double> sums_;   // (tiles, groups)
    std::vector<double> total_;  // (groups)
    Rows<Real> rtol_;
    Rows<Real> atol_;
    Rows<Real> scaled_;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
