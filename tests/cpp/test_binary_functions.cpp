// The Program's binary functions: values and derivatives by torch's conventions.
#include <cmath>
#include <limits>

#include "check.hpp"
#include "numerics/functions.hpp"
#include "program/function_table.hpp"

namespace {

using namespace flashode::numerics;
using flashode::program::binary_table;
using flashode::program::name_of;
using flashode::testing::same;

struct BinaryDerivativesMatchDifferences {
    template <BinaryFn F>
    void operator()() const {
        for (const double a : {0.3, 1.7, 2.9}) {
            for (const double b : {-1.3, 0.6, 2.2}) {
                if (F == BinaryFn::xlogy || F == BinaryFn::xlog1py) {
                    if (b < 0) continue;  // of which there is no logarithm
                }
                const double h = 1e-5;
                double da = 0;
                double db = 0;
                binary_derivatives<F>(a, b, binary_value<F>(a, b), da, db);
                const double expected_a = (binary_value<F>(a + h, b) - binary_value<F>(a - h, b)) / (2 * h);
                const double expected_b = (binary_value<F>(a, b + h) - binary_value<F>(a, b - h)) / (2 * h);
                CHECK_MESSAGE(std::fabs(da - expected_a) <= 1e-7 * (1 + std::fabs(da)), name_of(F), " at ",
                              a);
                CHECK_MESSAGE(std::fabs(db - expected_b) <= 1e-7 * (1 + std::fabs(db)), name_of(F), " at ",
                              b);
            }
        }
    }
};

template <BinaryFn F>
bool derivatives_are(double a, double b, double da, double db) {
    double actual_a = 0;
    double actual_b = 0;
    binary_derivatives<F>(a, b, binary_value<F>(a, b), actual_a, actual_b);
    const auto equal = [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); };
    return equal(actual_a, da) && equal(actual_b, db);
}

TEST_CASE("binary conventions") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double inf = std::numeric_limits<double>::infinity();
    CHECK(std::isnan(binary_value<BinaryFn::maximum>(nan, 1.0)));
    CHECK(std::isnan(binary_value<BinaryFn::maximum>(1.0, nan)));
    CHECK(std::isnan(binary_value<BinaryFn::minimum>(nan, 1.0)));
    CHECK(std::isnan(binary_value<BinaryFn::minimum>(1.0, nan)));
    CHECK(std::isnan(binary_value<BinaryFn::fmod>(nan, 1.0)));
    CHECK(std::isnan(binary_value<BinaryFn::remainder>(1.0, nan)));
    CHECK(std::isnan(binary_value<BinaryFn::atan2>(nan, nan)));
    CHECK(derivatives_are<BinaryFn::maximum>(1, 1, 0.5, 0.5));
    CHECK(derivatives_are<BinaryFn::minimum>(1, 1, 0.5, 0.5));
    CHECK(derivatives_are<BinaryFn::maximum>(2, 1, 1, 0));
    CHECK(derivatives_are<BinaryFn::minimum>(2, 1, 0, 1));
    CHECK(derivatives_are<BinaryFn::maximum>(nan, 1, 1, 1));
    CHECK(derivatives_are<BinaryFn::minimum>(1, nan, 1, 1));
    CHECK(derivatives_are<BinaryFn::power>(0, 0, 0, 0));
    CHECK(derivatives_are<BinaryFn::power>(0, 1, 1, 0));
    CHECK(derivatives_are<BinaryFn::power>(0, -1, -inf, -inf));
    CHECK(derivatives_are<BinaryFn::power>(-1, 2, -2, nan));
    CHECK(derivatives_are<BinaryFn::power>(2, 0, 0, log(2.0)));
    CHECK(derivatives_are<BinaryFn::div>(1, 0, inf, -inf));
}

template <BinaryFn F>
bool passes(double a, double b, bool to_a, bool to_b) {
    bool actual_a = false;
    bool actual_b = false;
    binary_passes<F>(a, b, actual_a, actual_b);
    return actual_a == to_a && actual_b == to_b;
}

TEST_CASE("masks") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(passes<BinaryFn::maximum>(2, 1, true, false));
    CHECK(passes<BinaryFn::maximum>(1, 2, false, true));
    CHECK(passes<BinaryFn::maximum>(1, 1, true, true));
    CHECK(passes<BinaryFn::maximum>(nan, 1, true, true));
    CHECK(passes<BinaryFn::minimum>(2, 1, false, true));
    CHECK(passes<BinaryFn::minimum>(1, 2, true, false));
    CHECK(passes<BinaryFn::minimum>(1, 1, true, true));
    CHECK(passes<BinaryFn::minimum>(1, nan, true, true));
    CHECK(passes<BinaryFn::power>(2, 0, false, true));
    CHECK(passes<BinaryFn::power>(0, 2, true, true));
    CHECK(passes<BinaryFn::mul>(0, 0, true, true));
    CHECK(passes<BinaryFn::lt>(1, 2, false, false));
}

TEST_CASE("times logarithm") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double inf = std::numeric_limits<double>::infinity();
    for (const double b : {-2.0, -1.0, inf}) {
        CHECK(binary_value<BinaryFn::xlogy>(0.0, b) == 0);
        CHECK(binary_value<BinaryFn::xlog1py>(0.0, b) == 0);
    }
    CHECK(binary_value<BinaryFn::xlogy>(0.0, 0.0) == 0);
    CHECK(std::isnan(binary_value<BinaryFn::xlogy>(0.0, nan)));
    CHECK(passes<BinaryFn::xlogy>(0, 0, false, true));
    CHECK(passes<BinaryFn::xlogy>(0, 1, true, true));
    CHECK(passes<BinaryFn::xlog1py>(0, -1, false, true));
    CHECK(passes<BinaryFn::xlog1py>(0, 0, true, true));
    CHECK(derivatives_are<BinaryFn::xlogy>(0, 0, 0, nan));
    CHECK(derivatives_are<BinaryFn::xlogy>(3, 1, 0, 3));
}

TEST_CASE("sums and roots") {
    const double inf = std::numeric_limits<double>::infinity();
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(binary_value<BinaryFn::hypot>(3e300, 4e300) == 5e300);
    CHECK(binary_value<BinaryFn::hypot>(0.0, -0.0) == 0);
    CHECK(binary_value<BinaryFn::hypot>(nan, -inf) == inf);
    CHECK(std::isnan(binary_value<BinaryFn::hypot>(nan, 1.0)));
    CHECK(std::isnan(binary_value<BinaryFn::hypot>(1.0, nan)));
    CHECK(derivatives_are<BinaryFn::hypot>(0, 0, nan, nan));
    CHECK(derivatives_are<BinaryFn::hypot>(3, -4, 0.6, -0.8));
    CHECK(binary_value<BinaryFn::logaddexp>(inf, inf) == inf);
    CHECK(binary_value<BinaryFn::logaddexp>(-inf, -inf) == -inf);
    CHECK(derivatives_are<BinaryFn::logaddexp>(1, 1, 0.5, 0.5));
    CHECK(derivatives_are<BinaryFn::logaddexp2>(2, 2, 0.5, 0.5));
    CHECK(std::isnan(binary_value<BinaryFn::logaddexp>(1.0, nan)));
    CHECK(std::isnan(binary_value<BinaryFn::logaddexp2>(nan, 1.0)));
}

TEST_CASE("prelu") {
    CHECK(binary_value<BinaryFn::prelu>(2.0, 0.5) == 2);
    CHECK(binary_value<BinaryFn::prelu>(-2.0, 0.5) == -1);
    CHECK(derivatives_are<BinaryFn::prelu>(0, 0.5, 0.5, 0));
    CHECK(derivatives_are<BinaryFn::prelu>(2, 0.5, 1, 0));
    CHECK(passes<BinaryFn::prelu>(2, 0.5, true, false));
    CHECK(passes<BinaryFn::prelu>(-2, 0.5, true, true));
}

TEST_CASE("division with rest") {
    const double inf = std::numeric_limits<double>::infinity();
    const auto fmod = [](double a, double b) { return binary_value<BinaryFn::fmod>(a, b); };
    const auto remainder = [](double a, double b) { return binary_value<BinaryFn::remainder>(a, b); };
    CHECK(fmod(5.5, 2) == 1.5);
    CHECK(fmod(-5.5, 2) == -1.5);
    CHECK(fmod(5.5, -2) == 1.5);
    CHECK(fmod(-5.5, -2) == -1.5);
    CHECK(remainder(5.5, 2) == 1.5);
    CHECK(remainder(-5.5, 2) == 0.5);
    CHECK(remainder(5.5, -2) == -0.5);
    CHECK(remainder(-5.5, -2) == -1.5);
    CHECK(same(fmod(-4.0, 2.0), -0.0));
    CHECK(same(remainder(-4.0, 2.0), -0.0));
    CHECK(remainder(4.0, -2.0) == 0);
    CHECK(fmod(3.0, inf) == 3);
    CHECK(remainder(-3.0, inf) == inf);
    CHECK(remainder(3.0, -inf) == -inf);
    CHECK(std::isnan(fmod(3.0, 0.0)));
    CHECK(std::isnan(remainder(3.0, 0.0)));
    CHECK(std::isnan(remainder(inf, 3.0)));
    CHECK(derivatives_are<BinaryFn::fmod>(-5.5, 2, 1, 2));
    CHECK(derivatives_are<BinaryFn::remainder>(-5.5, 2, 1, 3));
    CHECK(derivatives_are<BinaryFn::fmod>(5.5, 0, 1, -inf));
    CHECK(derivatives_are<BinaryFn::remainder>(5.5, 0, 1, -inf));
    CHECK(derivatives_are<BinaryFn::remainder>(-3, inf, 1, 1));
    // The quotient rounds to ten, of which only nine fit.
    CHECK(1.0 / 0.1 == 10);
    CHECK(derivatives_are<BinaryFn::remainder>(1, 0.1, 1, -9));
    CHECK(binary_value<BinaryFn::floor_divide>(1.0, 0.1) == 9);
    CHECK(binary_value<BinaryFn::floor_divide>(-1.0, 0.0) == -inf);
    CHECK(binary_value<BinaryFn::trunc_divide>(-5.5, 2.0) == -2);
    CHECK(passes<BinaryFn::floor_divide>(1, 2, false, false));
}

TEST_CASE("angle") {
    const double pi = std::acos(-1.0);
    CHECK(binary_value<BinaryFn::atan2>(0.0, -0.0) == pi);
    CHECK(binary_value<BinaryFn::atan2>(-0.0, -1.0) == -pi);
    CHECK(derivatives_are<BinaryFn::atan2>(0, 0, 0, 0));
    CHECK(derivatives_are<BinaryFn::atan2>(3, 4, 0.16, -0.12));
    CHECK(derivatives_are<BinaryFn::atan2>(0, -2, -0.5, 0));
}

template <BinaryFn F>
bool compares(bool below, bool equal, bool above, bool unordered) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const auto is = [](bool holds, double a, double b) { return binary_value<F>(a, b) == (holds ? 1 : 0); };
    return is(below, 1, 2) && is(equal, 2, 2) && is(equal, 0.0, -0.0) && is(above, 2, 1) &&
           is(unordered, nan, 1) && is(unordered, 1, nan) && is(unordered, nan, nan) &&
           derivatives_are<F>(1, 2, 0, 0) && derivatives_are<F>(2, 2, 0, 0);
}

TEST_CASE("comparisons") {
    CHECK(compares<BinaryFn::lt>(true, false, false, false));
    CHECK(compares<BinaryFn::le>(true, true, false, false));
    CHECK(compares<BinaryFn::eq>(false, true, false, false));
    CHECK(compares<BinaryFn::ne>(true, false, true, true));
}

TEST_CASE("derivatives match differences") {
    for (const auto& row : binary_table) visit_binary(row.fn, BinaryDerivativesMatchDifferences{});
}

}  // namespace
