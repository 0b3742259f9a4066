// The equations that the stages of an implicit method obey over one tile,
//   k_i = f(t_i, y0 + dt * sum_j a[i][j] k_j),
// and their derivative in the stages, I - dt * a[i][j] J_i, which Newton's method divides by and whose
// transpose the implicit function theorem does.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/tiles/tile_field.hpp"
#include "cpu/tiles/tiles.hpp"
#include "numerics/newton_matrix.hpp"
#include "numerics/tableau.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// Stages first … last - 1, which are solved for together.
struct StageRange {
    int first = 0;
    int last = 0;
    bool is_explicit = false;  // one stage, at the start of the step: nothing to solve

    int count() const { return last - first; }
};

// Stage by stage where no stage depends on a later one, else all at once.
template <class Real>
inline std::vector<StageRange> stage_ranges(const numerics::Tableau<Real>& tableau) {
    if (tableau.equations == Equations::full) return {{0, tableau.stages, false}};
    std::vector<StageRange> ranges;
    for (int i = 0; i < tableau.stages; ++i) {
        const Real* row = tableau.a[i];
        ranges.push_back({i, i + 1, std::all_of(row, row + i + 1, [](Real a) { return a == Real(0); })});
    }
    return ranges;
}

template <class Real>
class StageEquations {
   public:
    StageEquations(const numerics::Tableau<Real>& tableau, const Tiles<Real>& rows)
        : tableau_(tableau),
          width_(rows.width),
          ranges_(stage_ranges(tableau)),
          unit_(static_cast<std::size_t>(rows.size())),
          jacobian_row_(unit_.size()) {}

    const std::vector<StageRange>& ranges() const { return ranges_; }
    int unknowns(const StageRange& range) const { return range.count() * width_; }
    int most_unknowns() const {
        int most = 0;
        for (const StageRange& range : ranges_) most = std::max(most, unknowns(range));
        return most;
    }
    // Scalars of the largest matrix.
    std::size_t matrix_size() const {
        const auto most = static_cast<std::size_t>(most_unknowns());
        return most * most * LANES<Real>;
    }
    // and of its unknowns.
    std::size_t vector_size() const { return static_cast<std::size_t>(most_unknowns()) * LANES<Real>; }

    // The derivative of the equations, I - dt * a[i][j] J_i in row i and column j, at the evaluations that
    // the field keeps of these stages: a reverse sweep for each row. `by_column` takes
    // a[j][i] for a[i][j].
    void linearise(TileField<Real>& field, const StageRange& range, Real dt, Real* matrix,
                   bool by_column = false) {
        const int n = unknowns(range);
        for (int i = range.first; i < range.last; ++i) {
            for (int r = 0; r < width_; ++r) {
                Real* unit = unit_.data() + r * LANES<Real>;
                std::fill_n(unit, LANES<Real>, Real(1));
                field.vjp_of_state(i, unit_.data(), jacobian_row_.data());
                std::fill_n(unit, LANES<Real>, Real(0));
                const int row = (i - range.first) * width_ + r;
                fill_row(range, i, dt, by_column, matrix + row * n * LANES<Real>);
                Real* diagonal = matrix + (row * n + row) * LANES<Real>;
                for (int l = 0; l < LANES<Real>; ++l) diagonal[l] += Real(1);
            }
        }
    }

   private:
    // -dt * a[i][j] times a row of J_i, for every stage j of the range
    void fill_row(const StageRange& range, int i, Real dt, bool by_column, Real* to) const {
        for (int j = range.first; j < range.last; ++j) {
            const Real a = by_column ? tableau_.a[j][i] : tableau_.a[i][j];
            if (a == Real(0)) {  // a zero times an infinite slope is none of the equations' terms
                std::fill_n(to, width_ * LANES<Real>, Real(0));
                to += width_ * LANES<Real>;
                continue;
            }
            for (const Real slope : jacobian_row_) *to++ = -dt * a * slope;
        }
    }

    const numerics::Tableau<Real>& tableau_;
    int width_;  // of the state
    std::vector<StageRange> ranges_;
    Rows<Real> unit_;
    Rows<Real> jacobian_row_;
};

// The transposed equations of one tile.
template <class Real>
class TransposedEquations : public StageEquations<Real> {
   public:
    TransposedEquations(const numerics::Tableau<Real>& tableau, const Tiles<Real>& rows)
        : StageEquations<Real>(tableau, rows), matrix_(this->matrix_size()), pivots_(this->vector_size()) {}

    // x becomes the solution for it as the right side; the rest as of linearise().
    void solve(TileField<Real>& field, const StageRange& range, Real dt, Real* x, bool by_column = false) {
        const int n = this->unknowns(range);
        this->linearise(field, range, dt, matrix_.data(), by_column);
        numerics::factor<LANES<Real>>(n, matrix_.data(), pivots_.data());
        numerics::solve_transposed<LANES<Real>>(n, matrix_.data(), pivots_.data(), x);
    }

   private:
    Rows<Real> matrix_;
    std::vector<int> pivots_;
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
