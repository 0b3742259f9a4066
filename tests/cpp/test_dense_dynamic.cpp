// Products with matrices of each lane's own, against loops over single numbers.
#include <cmath>
#include <limits>

#include "check.hpp"
#include "cpu/tape/dense_dynamic.hpp"

namespace {

using namespace flashode::cpu;

template <class Real>
Rows<Real> numbers(int rows, double phase) {
    Rows<Real> values(static_cast<std::size_t>(rows * LANES<Real>));
    for (Real& value : values) value = static_cast<Real>(std::sin(phase += 1.7));
    return values;
}

template <class Real>
bool close(const Rows<Real>& a, const Rows<Real>& b, int terms) {
    for (std::size_t e = 0; e < a.size(); ++e) {
        if (!(std::fabs(a[e] - b[e]) <= static_cast<Real>(terms) * std::numeric_limits<Real>::epsilon())) {
            return false;
        }
    }
    return a.size() == b.size();
}

// Calls term(place in the weight, in x, in the output) for every product there is.
template <class Real, class Term>
void for_each_product(const DynamicShape& of, const Term& term) {
    const auto place = [](int row, int l) { return static_cast<std::size_t>(row * LANES<Real> + l); };
    for (int b = 0; b < of.blocks; ++b) {
        for (int r = b * of.repeats; r < (b + 1) * of.repeats; ++r) {
            for (int o = 0; o < of.features_out; ++o) {
                for (int i = 0; i < of.features_in; ++i) {
                    const int weight = (b * of.features_out + o) * of.features_in + i;
                    for (int l = 0; l < LANES<Real>; ++l) {
                        term(place(weight, l), place(r * of.features_in + i, l),
                             place(r * of.features_out + o, l));
                    }
                }
            }
        }
    }
}

template <class Real>
void check(const DynamicShape& of) {
    const int groups = of.blocks * of.repeats;
    const auto weight = numbers<Real>(of.blocks * of.features_out * of.features_in, 0.1);
    const auto x = numbers<Real>(groups * of.features_in, 0.2);
    const auto grad_out = numbers<Real>(groups * of.features_out, 0.3);
    auto out = numbers<Real>(groups * of.features_out, 0.4);
    Rows<Real> wanted(out.size());
    for_each_product<Real>(of, [&](auto w, auto i, auto o) { wanted[o] += weight[w] * x[i]; });
    dense_dynamic(of, weight.data(), x.data(), out.data());
    CHECK(close(out, wanted, 4 * of.features_in));
    for (const bool assign : {true, false}) {
        auto grad_x = numbers<Real>(groups * of.features_in, 0.5);
        Rows<Real> wanted_x = assign ? Rows<Real>(grad_x.size()) : grad_x;
        for_each_product<Real>(of, [&](auto w, auto i, auto o) { wanted_x[i] += weight[w] * grad_out[o]; });
        dense_dynamic_vjp_input(of, weight.data(), assign, grad_out.data(), grad_x.data());
        CHECK(close(grad_x, wanted_x, 4 * of.features_out));
        auto grad_weight = numbers<Real>(of.blocks * of.features_out * of.features_in, 0.6);
        Rows<Real> wanted_weight = assign ? Rows<Real>(grad_weight.size()) : grad_weight;
        for_each_product<Real>(of, [&](auto w, auto i, auto o) { wanted_weight[w] += x[i] * grad_out[o]; });
        dense_dynamic_vjp_weight(of, x.data(), assign, grad_out.data(), grad_weight.data());
        CHECK(close(grad_weight, wanted_weight, 4 * of.repeats));
    }
}

TEST_CASE_TEMPLATE("products and their gradients", Real, float, double) {
    // The outputs of a group are computed some at a time, and the rest of them one by one.
    for (const DynamicShape of :
         {DynamicShape{1, 1, 1, 1}, DynamicShape{1, 1, 3, 23}, DynamicShape{1, 1, 23, 3},
          DynamicShape{1, 4, 5, 2}, DynamicShape{3, 1, 2, 9}, DynamicShape{2, 3, 8, 17}}) {
        check<Real>(of);
    }
}

}  // namespace
