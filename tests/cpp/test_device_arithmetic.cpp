// What the device has in place of exact division and powers of doubles, on the host: quotients from
// reciprocals as wrong as a GPU's, and roots in float.
#include <cmath>
#include <cstdint>
#include <limits>

#include "check.hpp"
#include "numerics/root.hpp"

namespace {

using namespace flashode::numerics;
using flashode::testing::same;

// Uniform in [0, 1).
struct Uniform {
    std::uint64_t state = 1;
    double operator()() {
        state = state * 6364136223846793005U + 1442695040888963407U;
        return static_cast<double>(state >> 11) * 0x1p-53;
    }
};

// The error of a quotient in units in its last place.
template <class Real>
double quotient_error(Real q, Real a, Real b) {
    const auto exact = static_cast<long double>(a) / static_cast<long double>(b);
    const auto unit = std::ldexp(static_cast<long double>(FloatFormat<Real>::epsilon), std::ilogb(exact));
    return static_cast<double>(std::fabs(static_cast<long double>(q) - exact) / unit);
}

// Without a fused operation the remainder of the division is not exact.
constexpr double QUOTIENT_BOUND = FLASHODE_FUSED != 0 ? 0.51 : 2.01;

TEST_CASE("quotients of floats from a reciprocal that is wrong by a unit") {
    Uniform uniform;
    double worst = 0.0;
    for (int i = 0; i < 200000; ++i) {
        const auto a =
            static_cast<float>(std::ldexp(1.0 + uniform(), static_cast<int>(uniform() * 40.0) - 20));
        const auto b =
            static_cast<float>(std::ldexp(1.0 + uniform(), static_cast<int>(uniform() * 40.0) - 20));
        for (const float towards : {0.0F, 1e30F}) {
            const float reciprocal = std::nextafter(1.0F / b, towards);
            worst = std::fmax(worst, quotient_error(refined_quotient(a, b, reciprocal), a, b));
        }
    }
    CHECK(worst <= QUOTIENT_BOUND);
}

TEST_CASE("quotients of doubles from a reciprocal of which 20 bits are right") {
    Uniform uniform;
    double worst = 0.0;
    for (int i = 0; i < 200000; ++i) {
        const double a = std::ldexp(1.0 + uniform(), static_cast<int>(uniform() * 40.0) - 20);
        const double b = std::ldexp(1.0 + uniform(), static_cast<int>(uniform() * 40.0) - 20);
        for (const double error : {-0x1p-20, 0x1p-20}) {
            const double rough = (1.0 + error) / b;
            const double reciprocal = refined_reciprocal(b, refined_reciprocal(b, rough));
            worst = std::fmax(worst, quotient_error(refined_quotient(a, b, reciprocal), a, b));
        }
    }
    CHECK(worst <= QUOTIENT_BOUND);
}

TEST_CASE("the quotient of the host is exact") {
    CHECK(quotient(1.0F, 3.0F) == 1.0F / 3.0F);
    CHECK(quotient(1.0, 49.0) == 1.0 / 49.0);
    CHECK(same(quotient(-0.0, 7.0), -0.0));
}

TEST_CASE("roots in float, of every magnitude that a double has") {
    Uniform uniform;
    for (int exponent = -1074; exponent <= 1023; ++exponent) {
        const double x = std::ldexp(1.0 + uniform(), exponent);
        for (const int n : {2, 3, 5, 8, 12, -5, -8}) {
            const double exact = std::pow(x, 1.0 / n);
            if (exact < 0x1p-126 || exact > 0x1p127) continue;
            const double error = std::fabs(static_cast<double>(float_root(x, n)) / exact - 1.0);
            CHECK_MESSAGE(error <= 0x1p-13 / std::abs(n), x, " to the power 1 / ", n);
        }
    }
}

TEST_CASE("roots in float about one, where steps are accepted or not") {
    for (double x = 0.5; x < 2.0; x += 0x1p-12) {
        for (const int n : {1, 2, 5, 8, -1, -5}) {
            CHECK(std::fabs(static_cast<double>(float_root(x, n)) / std::pow(x, 1.0 / n) - 1.0) <= 0x1p-21);
        }
    }
    CHECK(float_root(1.0, 5) == 1.0F);
}

TEST_CASE("roots in float of zero, infinity, NaN and beyond float") {
    constexpr double INFINITE = std::numeric_limits<double>::infinity();
    CHECK(float_root(0.0, 5) == 0.0F);
    CHECK(std::isinf(float_root(0.0, -5)));
    CHECK(std::isinf(float_root(INFINITE, 5)));
    CHECK(float_root(INFINITE, -5) == 0.0F);
    CHECK(std::isnan(float_root(std::numeric_limits<double>::quiet_NaN(), 5)));
    CHECK(std::isinf(float_root(1e300, 1)));
    CHECK(float_root(1e-300, 1) == 0.0F);
}

TEST_CASE("roots of the host are those of doubles") {
    CHECK(root(0.3, 5) == std::pow(0.3, 0.2));
    CHECK(over_root(0.9, 0.3, 5) == 0.9 / std::pow(0.3, 0.2));
}

}  // namespace
