// Linear combinations of stages: out = base + dt * sum(weights[j] * k[j]).
#pragma once

#include "numerics/platform.hpp"
#include "numerics/tableau.hpp"

namespace flashode::numerics::inline FLASHODE_ISA {

namespace detail {

// The number of terms is a template argument so that one pass over memory is made and the loop over
// elements vectorises; a run-time inner loop does neither.
template <int Count, bool HasBase, class Real>
FLASHODE_HD void sum_terms(int n, const Real* base, const Real* const* terms, const Real* weights,
                           Real* out) {
    for (int e = 0; e < n; ++e) {
        Real sum = Real(0);
        for (int j = 0; j < Count; ++j) sum += weights[j] * terms[j][e];
        if constexpr (HasBase) {
            out[e] = base[e] + sum;
        } else {
            out[e] = sum;
        }
    }
}

template <int Count, bool HasBase, class Real>
FLASHODE_HD void sum_terms_of(int count, int n, const Real* base, const Real* const* terms,
                              const Real* weights, Real* out) {
    // From few to many: most sums have a few terms.
    if constexpr (Count < MAX_STAGES) {
        if (count != Count) {
            sum_terms_of<Count + 1, HasBase>(count, n, base, terms, weights, out);
            return;
        }
    }
    sum_terms<Count, HasBase>(n, base, terms, weights, out);
}

}  // namespace detail

// out[e] = base[e] + dt * sum over j < count of weights[j] * k[j * n + e]; a null base counts as zero.
// Zero weights are skipped: most tableaux are half empty. `out` may be `base` but no part of `k`.
template <class Real>
FLASHODE_HD void combine(int n, const Real* base, Real dt, const Real* weights, int count, const Real* k,
                         Real* out) {
    const Real* terms[MAX_STAGES];
    Real scaled[MAX_STAGES];
    int used = 0;
    for (int j = 0; j < count; ++j) {
        if (weights[j] != Real(0)) {
            terms[used] = k + j * n;
            scaled[used] = dt * weights[j];
            ++used;
        }
    }
    if (base != nullptr) {
        detail::sum_terms_of<0, true>(used, n, base, terms, scaled, out);
    } else {
        detail::sum_terms_of<0, false>(used, n, base, terms, scaled, out);
    }
}

// out[e] += scale * x[e]
template <class Real>
FLASHODE_HD void add_scaled(int n, Real scale, const Real* x, Real* out) {
    for (int e = 0; e < n; ++e) out[e] += scale * x[e];
}

template <class Real>
FLASHODE_HD Real dot(int n, const Real* x, const Real* y) {
    Real sum = Real(0);
    for (int e = 0; e < n; ++e) sum += x[e] * y[e];
    return sum;
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
