// The Program's unary functions, and the names of all: special values, behaviour at kinks, and derivatives.
#include <cmath>
#include <limits>
#include <type_traits>

#include "check.hpp"
#include "numerics/functions.hpp"
#include "program/function_table.hpp"

namespace {

using namespace flashode::numerics;
using namespace flashode::program;
using flashode::testing::same;

// Constants for a function in tests that treat all functions alike, in generic position.
template <class Real>
struct Constants {
    Real values[max_unary_constants];
};

template <class Real>
constexpr Constants<Real> typical_constants(UnaryFn fn) {
    switch (fn) {
        case UnaryFn::affine:
            return {{Real(-1.5), Real(0.25), Real(0)}};
        case UnaryFn::power:
            return {{Real(2.5), Real(0), Real(0)}};
        case UnaryFn::leaky_relu:
            return {{Real(0.125), Real(0), Real(0)}};
        case UnaryFn::elu:
            return {{Real(1.5), Real(2), Real(0.5)}};
        case UnaryFn::softplus:
            return {{Real(2), Real(20), Real(0)}};
        case UnaryFn::logit:
            return {{Real(0.125), Real(0), Real(0)}};
        case UnaryFn::hardtanh:
        case UnaryFn::clamp:
            return {{Real(-1), Real(2), Real(0)}};
        default:
            return {{Real(0), Real(0), Real(0)}};
    }
}

template <UnaryFn F, class Real>
Real value(Real x) {
    const Constants<Real> c = typical_constants<Real>(F);
    return unary_value<F>(x, c.values);
}

template <UnaryFn F, class Real>
Real derivative(Real x) {
    const Constants<Real> c = typical_constants<Real>(F);
    return unary_derivative<F>(x, unary_value<F>(x, c.values), c.values);
}

template <class Check>
void for_each_unary(Check check) {
    for (const auto& row : unary_table) visit_unary(row.fn, check);
}

// --- names

static_assert(unary_table.size() == 49 && binary_table.size() == 22);
static_assert(unary_from_name("gelu_tanh") == UnaryFn::gelu_tanh);
static_assert(!unary_from_name("add") && !unary_from_name("") && !binary_from_name("exp"));
static_assert(constants_of(UnaryFn::elu) == 3 && constants_of(UnaryFn::affine) == 2 &&
              constants_of(UnaryFn::exp) == 0);
static_assert(is_flat(UnaryFn::sign) && is_flat(UnaryFn::detach) && is_flat(BinaryFn::ne));
static_assert(is_masking(UnaryFn::relu) && is_masking(BinaryFn::maximum) && !is_masking(UnaryFn::abs) &&
              !is_masking(UnaryFn::detach) && !is_masking(BinaryFn::mul));
static_assert(!is_flat(UnaryFn::relu) && !is_flat(BinaryFn::fmod));

struct ReturnsItself {
    template <UnaryFn F>
    UnaryFn operator()() const {
        return F;
    }
    template <BinaryFn F>
    BinaryFn operator()() const {
        return F;
    }
};

TEST_CASE("names") {
    for (std::size_t i = 0; i < unary_table.size(); ++i) {
        const auto& row = unary_table[i];
        CHECK(static_cast<std::size_t>(row.fn) == i);
        CHECK(unary_from_name(row.name) == row.fn);
        CHECK(name_of(row.fn) == row.name);
        CHECK(visit_unary(row.fn, ReturnsItself{}) == row.fn);
        CHECK(row.constants >= 0);
        CHECK(row.constants <= max_unary_constants);
    }
    for (std::size_t i = 0; i < binary_table.size(); ++i) {
        const auto& row = binary_table[i];
        CHECK(static_cast<std::size_t>(row.fn) == i);
        CHECK(binary_from_name(row.name) == row.fn);
        CHECK(name_of(row.fn) == row.name);
        CHECK(visit_binary(row.fn, ReturnsItself{}) == row.fn);
    }
}

// --- special values

template <class Real>
struct NanPasses {
    template <UnaryFn F>
    void operator()() const {
        const Real nan = std::numeric_limits<Real>::quiet_NaN();
        // torch.sign(nan) is 0.
        CHECK_MESSAGE((F == UnaryFn::sign ? value<F>(nan) == 0 : std::isnan(value<F>(nan))), name_of(F),
                      " at ", 0);
    }
};

TEST_CASE_TEMPLATE("infinities", Real, float, double) {
    const Real inf = std::numeric_limits<Real>::infinity();
    CHECK(value<UnaryFn::exp>(inf) == inf);
    CHECK(same(value<UnaryFn::exp>(-inf), Real(0)));
    CHECK(value<UnaryFn::expm1>(inf) == inf);
    CHECK(value<UnaryFn::expm1>(-inf) == -1);
    CHECK(value<UnaryFn::log>(inf) == inf);
    CHECK(std::isnan(value<UnaryFn::log>(-inf)));
    CHECK(value<UnaryFn::exp2>(inf) == inf);
    CHECK(same(value<UnaryFn::exp2>(-inf), Real(0)));
    CHECK(value<UnaryFn::log2>(inf) == inf);
    CHECK(std::isnan(value<UnaryFn::log2>(-inf)));
    CHECK(value<UnaryFn::log10>(inf) == inf);
    CHECK(std::isnan(value<UnaryFn::log10>(-inf)));
    CHECK(value<UnaryFn::log1p>(inf) == inf);
    CHECK(std::isnan(value<UnaryFn::log1p>(-inf)));
    CHECK(std::isnan(value<UnaryFn::sin>(inf)));
    CHECK(std::isnan(value<UnaryFn::cos>(-inf)));
    CHECK(value<UnaryFn::tanh>(inf) == 1);
    CHECK(value<UnaryFn::tanh>(-inf) == -1);
    CHECK(value<UnaryFn::erf>(inf) == 1);
    CHECK(value<UnaryFn::erf>(-inf) == -1);
    CHECK(value<UnaryFn::sigmoid>(inf) == 1);
    CHECK(same(value<UnaryFn::sigmoid>(-inf), Real(0)));
    CHECK(value<UnaryFn::softplus>(inf) == inf);
    CHECK(value<UnaryFn::softplus>(-inf) == 0);
    CHECK(value<UnaryFn::logsigmoid>(inf) == 0);
    CHECK(value<UnaryFn::logsigmoid>(-inf) == -inf);
    CHECK(value<UnaryFn::elu>(inf) == inf);
    CHECK(value<UnaryFn::elu>(-inf) == -3);
    CHECK(value<UnaryFn::silu>(inf) == inf);
    CHECK(value<UnaryFn::mish>(inf) == inf);
    CHECK(value<UnaryFn::gelu>(inf) == inf);
    CHECK(value<UnaryFn::gelu_tanh>(inf) == inf);
    CHECK(std::isnan(value<UnaryFn::gelu>(-inf)));
    CHECK(value<UnaryFn::gelu>(-std::numeric_limits<Real>::max()) == 0);
    CHECK(value<UnaryFn::hardtanh>(inf) == 2);
    CHECK(value<UnaryFn::hardtanh>(-inf) == -1);
    CHECK(value<UnaryFn::relu>(inf) == inf);
    CHECK(value<UnaryFn::relu>(-inf) == 0);
    CHECK(std::isnan(value<UnaryFn::asin>(inf)));
    CHECK(std::isnan(value<UnaryFn::acos>(Real(-1.5))));
    CHECK(value<UnaryFn::asinh>(inf) == inf);
    CHECK(value<UnaryFn::asinh>(-inf) == -inf);
    CHECK(value<UnaryFn::acosh>(inf) == inf);
    CHECK(std::isnan(value<UnaryFn::acosh>(Real(0.5))));
    CHECK(value<UnaryFn::atanh>(Real(1)) == inf);
    CHECK(value<UnaryFn::atanh>(Real(-1)) == -inf);
    CHECK(std::isnan(value<UnaryFn::atanh>(Real(1.5))));
    const Real unbounded[2] = {-inf, inf};
    CHECK(unary_value<UnaryFn::hardtanh>(Real(1e30), unbounded) == Real(1e30));
    // Derivatives of bounded functions stay bounded where intermediate squares overflow.
    CHECK(derivative<UnaryFn::gelu_tanh>(Real(1e15)) == 1);
    CHECK(derivative<UnaryFn::gelu_tanh>(Real(-1e15)) == 0);
    CHECK(derivative<UnaryFn::gelu>(Real(1e30)) == 1);
    CHECK(derivative<UnaryFn::gelu>(Real(-1e30)) == 0);
    CHECK(derivative<UnaryFn::mish>(Real(1e30)) == 1);
    CHECK(derivative<UnaryFn::mish>(Real(-1e30)) == 0);
    CHECK(derivative<UnaryFn::silu>(Real(1e30)) == 1);
    CHECK(derivative<UnaryFn::silu>(Real(-1e30)) == 0);
}

TEST_CASE_TEMPLATE("zeros and subnormals", Real, float, double) {
    CHECK(value<UnaryFn::log>(Real(0)) == -std::numeric_limits<Real>::infinity());
    CHECK(value<UnaryFn::log>(Real(-0.0)) == -std::numeric_limits<Real>::infinity());
    CHECK(value<UnaryFn::log1p>(Real(-1)) == -std::numeric_limits<Real>::infinity());
    CHECK(std::isnan(value<UnaryFn::log>(Real(-1))));
    CHECK(std::isnan(value<UnaryFn::log1p>(Real(-2))));
    CHECK(std::isnan(value<UnaryFn::sqrt>(Real(-1))));
    CHECK(same(value<UnaryFn::sqrt>(Real(-0.0)), Real(-0.0)));
    CHECK(value<UnaryFn::exp>(Real(0)) == 1);
    CHECK(value<UnaryFn::cos>(Real(0)) == 1);
    CHECK(value<UnaryFn::sigmoid>(Real(0)) == Real(0.5));
    const Real least = std::numeric_limits<Real>::denorm_min();
    for (const Real x : {Real(0), Real(-0.0), least, -least, 5 * least, -5 * least}) {
        CHECK_MESSAGE(same(value<UnaryFn::expm1>(x), x), "expm1", " at ", static_cast<double>(x));
        CHECK_MESSAGE(same(value<UnaryFn::log1p>(x), x), "log1p", " at ", static_cast<double>(x));
        CHECK_MESSAGE(same(value<UnaryFn::sin>(x), x), "sin", " at ", static_cast<double>(x));
        CHECK_MESSAGE(same(value<UnaryFn::tanh>(x), x), "tanh", " at ", static_cast<double>(x));
        CHECK_MESSAGE(same(value<UnaryFn::asin>(x), x), "an odd function", " at ", static_cast<double>(x));
        CHECK_MESSAGE(same(value<UnaryFn::asinh>(x), x), "an odd function", " at ", static_cast<double>(x));
        CHECK_MESSAGE(same(value<UnaryFn::atanh>(x), x), "an odd function", " at ", static_cast<double>(x));
        CHECK_MESSAGE(same(value<UnaryFn::detach>(x), x), "an odd function", " at ", static_cast<double>(x));
        CHECK(std::signbit(value<UnaryFn::erf>(x)) == std::signbit(x));
        CHECK(std::signbit(value<UnaryFn::gelu>(x)) == std::signbit(x));
    }
    CHECK(value<UnaryFn::log>(least) < value<UnaryFn::log>(2 * least));
    CHECK(value<UnaryFn::exp>(value<UnaryFn::log>(4 * least)) > 0);
}

TEST_CASE_TEMPLATE("saturation", Real, float, double) {
    const Real largest = std::numeric_limits<Real>::max();
    const auto top =
        static_cast<Real>(std::log(static_cast<long double>(largest)));  // rounds down in both formats
    CHECK(std::isfinite(value<UnaryFn::exp>(std::nextafter(top, Real(0)))));
    CHECK(value<UnaryFn::exp>(std::nextafter(top, largest)) == std::numeric_limits<Real>::infinity());
    CHECK(std::isfinite(value<UnaryFn::expm1>(std::nextafter(top, Real(0)))));
    CHECK(value<UnaryFn::exp>(largest) == std::numeric_limits<Real>::infinity());
    CHECK(value<UnaryFn::exp>(-largest) == 0);
    CHECK(value<UnaryFn::expm1>(-largest) == -1);
    for (int i = 0; i < 40000; ++i) {
        const Real x = Real(i) / Real(1000);
        CHECK(std::fabs(value<UnaryFn::tanh>(-x)) <= 1);
        CHECK(std::fabs(value<UnaryFn::erf>(x)) <= 1);
        CHECK(value<UnaryFn::tanh>(-x) == -value<UnaryFn::tanh>(x));
        CHECK(value<UnaryFn::sigmoid>(x) <= 1);
        CHECK(value<UnaryFn::sigmoid>(-x) > 0);
        CHECK(value<UnaryFn::gelu>(-x) <= 0);
        CHECK(value<UnaryFn::gelu>(x) <= x);
    }
    CHECK(value<UnaryFn::tanh>(largest) == 1);
    CHECK(value<UnaryFn::sigmoid>(largest) == 1);
}

// x and what floor, ceil, round (half to even) and trunc make of it.
TEST_CASE_TEMPLATE("rounding", Real, float, double) {
    const Real inf = std::numeric_limits<Real>::infinity();
    const Real whole = Real(1) / std::numeric_limits<Real>::epsilon();  // all numbers from here on are whole
    const Real cases[][5] = {{Real(0.5), 0, 1, 0, 0},
                             {Real(-0.5), -1, Real(-0.0), Real(-0.0), Real(-0.0)},
                             {Real(1.5), 1, 2, 2, 1},
                             {Real(2.5), 2, 3, 2, 2},
                             {Real(-2.5), -3, -2, -2, -2},
                             {Real(-3.5), -4, -3, -4, -3},
                             {Real(2.75), 2, 3, 3, 2},
                             {Real(-0.25), -1, Real(-0.0), Real(-0.0), Real(-0.0)},
                             {Real(-0.0), Real(-0.0), Real(-0.0), Real(-0.0), Real(-0.0)},
                             {whole / 2 + Real(0.5), whole / 2, whole / 2 + 1, whole / 2, whole / 2},
                             {whole + 1, whole + 1, whole + 1, whole + 1, whole + 1},
                             {-inf, -inf, -inf, -inf, -inf}};
    for (const auto& [x, floor, ceil, round, trunc] : cases) {
        CHECK_MESSAGE(same(value<UnaryFn::floor>(x), floor), "rounding", " at ", static_cast<double>(x));
        CHECK_MESSAGE(same(value<UnaryFn::ceil>(x), ceil), "rounding", " at ", static_cast<double>(x));
        CHECK_MESSAGE(same(value<UnaryFn::round>(x), round), "rounding", " at ", static_cast<double>(x));
        CHECK_MESSAGE(same(value<UnaryFn::trunc>(x), trunc), "rounding", " at ", static_cast<double>(x));
    }
}

// --- kinks

TEST_CASE_TEMPLATE("kinks", Real, float, double) {
    const Real nan = std::numeric_limits<Real>::quiet_NaN();
    CHECK(derivative<UnaryFn::relu>(Real(0)) == 0);
    CHECK(derivative<UnaryFn::relu>(nan) == 1);
    CHECK(derivative<UnaryFn::abs>(Real(0)) == 0);
    CHECK(derivative<UnaryFn::abs>(Real(-2)) == -1);
    CHECK(derivative<UnaryFn::sign>(Real(3)) == 0);
    CHECK(derivative<UnaryFn::leaky_relu>(Real(0)) == Real(0.125));
    CHECK(derivative<UnaryFn::elu>(Real(0)) == Real(1.5));
    CHECK(derivative<UnaryFn::elu>(nan) == 2);
    CHECK(derivative<UnaryFn::hardtanh>(Real(-1)) == 0);
    CHECK(derivative<UnaryFn::hardtanh>(Real(2)) == 0);
    CHECK(derivative<UnaryFn::clamp>(Real(-1)) == 1);
    CHECK(derivative<UnaryFn::clamp>(Real(2)) == 1);
    CHECK(derivative<UnaryFn::clamp>(Real(3)) == 0);
    CHECK(derivative<UnaryFn::clamp>(nan) == 0);
    CHECK(derivative<UnaryFn::hardtanh>(Real(1)) == 1);
    CHECK(derivative<UnaryFn::hardtanh>(nan) == 1);
    CHECK(derivative<UnaryFn::hardsigmoid>(Real(-3)) == 0);
    CHECK(derivative<UnaryFn::hardsigmoid>(Real(3)) == 0);
    CHECK(derivative<UnaryFn::hardswish>(Real(-3)) == 0);
    CHECK(derivative<UnaryFn::hardswish>(Real(3)) == 1);
    CHECK(value<UnaryFn::softplus>(Real(10.5)) == Real(10.5));
    CHECK(derivative<UnaryFn::softplus>(Real(10.5)) == 1);
    CHECK((value<UnaryFn::softplus>(Real(9)) > Real(9) || is_float<Real>));
    const Real crossed[2] = {Real(2), Real(1)};
    CHECK(unary_value<UnaryFn::hardtanh>(Real(0), crossed) == 1);
    const Real inf = std::numeric_limits<Real>::infinity();
    CHECK(derivative<UnaryFn::sqrt>(Real(0)) == inf);
    // At the ends of their domains, and beyond them.
    CHECK(derivative<UnaryFn::asin>(Real(1)) == inf);
    CHECK(derivative<UnaryFn::acos>(Real(-1)) == -inf);
    CHECK(derivative<UnaryFn::acosh>(Real(1)) == inf);
    CHECK(derivative<UnaryFn::atanh>(Real(1)) == inf);
    CHECK(std::isnan(derivative<UnaryFn::asin>(Real(2))));
    CHECK(std::isnan(derivative<UnaryFn::acosh>(Real(0))));
}

// A gradient that does not pass is zero whatever it is; the slope alone does not say so.
TEST_CASE_TEMPLATE("masks", Real, float, double) {
    const auto passes = []<UnaryFn F>(Real x) {
        const Constants<Real> c = typical_constants<Real>(F);
        return unary_passes<F>(x, c.values);
    };
    const Real nan = std::numeric_limits<Real>::quiet_NaN();
    const auto relu = [&](Real x) { return passes.template operator()<UnaryFn::relu>(x); };
    CHECK(!relu(Real(-1)));
    CHECK(!relu(Real(0)));
    CHECK(relu(Real(0.5)));
    CHECK(relu(nan));
    const auto hardtanh = [&](Real x) { return passes.template operator()<UnaryFn::hardtanh>(x); };
    CHECK(!hardtanh(Real(-1)));
    CHECK(hardtanh(Real(0)));
    CHECK(!hardtanh(Real(2)));
    CHECK(hardtanh(nan));
    const auto clamp = [&](Real x) { return passes.template operator()<UnaryFn::clamp>(x); };
    CHECK(clamp(Real(-1)));
    CHECK(!clamp(Real(-2)));
    CHECK(clamp(Real(2)));
    CHECK(!clamp(Real(3)));
    CHECK(!clamp(nan));
    const auto hardsigmoid = [&](Real x) { return passes.template operator()<UnaryFn::hardsigmoid>(x); };
    CHECK(!hardsigmoid(Real(-3)));
    CHECK(hardsigmoid(Real(0)));
    CHECK(!hardsigmoid(Real(3)));
    // The slope of hardswish is zero at -1.5 as well, but there a gradient passes; so it does through abs.
    const auto hardswish = [&](Real x) { return passes.template operator()<UnaryFn::hardswish>(x); };
    CHECK(!hardswish(Real(-3)));
    CHECK(hardswish(Real(-1.5)));
    CHECK(hardswish(Real(4)));
    CHECK(passes.template operator()<UnaryFn::abs>(Real(0)));
    CHECK(!passes.template operator()<UnaryFn::floor>(Real(0.5)));
    const Real exponents[] = {0, 2};
    CHECK(!unary_passes<UnaryFn::power>(Real(1), exponents));
    CHECK(unary_passes<UnaryFn::power>(Real(0), exponents + 1));
}

TEST_CASE_TEMPLATE("power", Real, float, double) {
    const auto at = [](Real x, Real p) { return unary_value<UnaryFn::power>(x, &p); };
    const auto slope = [at](Real x, Real p) { return unary_derivative<UnaryFn::power>(x, at(x, p), &p); };
    const Real inf = std::numeric_limits<Real>::infinity();
    const Real nan = std::numeric_limits<Real>::quiet_NaN();
    CHECK(at(Real(0), 0) == 1);
    CHECK(at(nan, 0) == 1);
    CHECK(slope(Real(0), 0) == 0);
    CHECK(slope(nan, 0) == 0);
    CHECK(at(Real(-3), 2) == 9);
    CHECK(slope(Real(-3), 2) == -6);
    CHECK(slope(Real(0), 2) == 0);
    CHECK(at(Real(-3), 3) == -27);
    CHECK(slope(Real(-3), 3) == 27);
    CHECK(at(Real(-3), 1) == -3);
    CHECK(slope(Real(0), 1) == 1);
    CHECK(at(Real(0), -1) == inf);
    CHECK(slope(Real(0), -1) == -inf);
    CHECK(slope(Real(0), Real(0.5)) == inf);
    CHECK(std::isnan(at(Real(-1), Real(0.5))));
    CHECK(slope(Real(0), Real(1.5)) == 0);
}

// --- derivatives

// Points of the functions' domains away from their kinks.
template <UnaryFn F>
bool smooth_at(double x) {
    const auto near = [x](double kink) { return std::fabs(x - kink) < 1e-3; };
    switch (F) {
        case UnaryFn::sqrt:
        case UnaryFn::rsqrt:
        case UnaryFn::log:
        case UnaryFn::log2:
        case UnaryFn::log10:
        case UnaryFn::power:
            return x > 0.01;
        case UnaryFn::log1p:
            return x > -0.9;
        case UnaryFn::tan:
            return std::fabs(std::cos(x)) > 0.1;
        case UnaryFn::reciprocal:
            return std::fabs(x) > 0.05;
        case UnaryFn::acosh:
            return x > 1.05;
        case UnaryFn::sign:
            return !near(0);
        case UnaryFn::floor:
        case UnaryFn::ceil:
        case UnaryFn::trunc:
            return std::fabs(x - std::round(x)) > 1e-3;
        case UnaryFn::round:
            return std::fabs(x - std::floor(x) - 0.5) > 1e-3;
        case UnaryFn::hardtanh:
        case UnaryFn::clamp:
            return !near(-1) && !near(2);
        case UnaryFn::hardsigmoid:
        case UnaryFn::hardswish:
            return !near(-3) && !near(3);
        case UnaryFn::softplus:
            return !near(10);
        case UnaryFn::sinc:
            return std::fabs(x) > 0.2;  // towards zero its slope, as torch computes it, cancels
        case UnaryFn::logit:
            return x > 0.05 && x < 0.95 && !near(0.125) && !near(0.875);
        default:
            return !near(0);
    }
}

struct DerivativeMatchesDifferences {
    template <UnaryFn F>
    void operator()() const {
        if constexpr (F == UnaryFn::detach) {
            CHECK(derivative<F>(2.0) == 0);  // a slope of one that is not passed on
            return;
        }
        constexpr bool bounded =
            F == UnaryFn::asin || F == UnaryFn::acos || F == UnaryFn::atanh || F == UnaryFn::logit;
        int points = 0;
        for (int i = 0; i < 620; ++i) {
            const double centre = F == UnaryFn::logit ? 0.7 : 0.0;
            const double x = centre + (bounded ? 0.06 : 1.0) * (-11.03 + 0.0371 * i);
            if (!smooth_at<F>(x)) continue;
            ++points;
            // Two central differences, extrapolated: truncation of order h^4.
            const double h = 1e-3 * std::fmin(1, std::fabs(x) + 0.1);
            const double wide = (value<F>(x + h) - value<F>(x - h)) / (2 * h);
            const double narrow = (value<F>(x + h / 2) - value<F>(x - h / 2)) / h;
            const double expected = (4 * narrow - wide) / 3;
            const double actual = derivative<F>(x);
            const double scale = std::fabs(expected) + (1 + std::fabs(value<F>(x))) * 1e-2;
            CHECK_MESSAGE(std::fabs(actual - expected) <= 3e-9 * scale, name_of(F), " at ", x);
            const double single = static_cast<double>(derivative<F>(static_cast<float>(x)));
            const double rounded = derivative<F>(static_cast<double>(static_cast<float>(x)));
            CHECK_MESSAGE(std::fabs(single - rounded) <= 1e-6 * (std::fabs(rounded) + 1), name_of(F), " at ",
                          x);
        }
        CHECK_MESSAGE(points > 250, name_of(F), " at ", points);
    }
};

// --- loops over lanes

template <class Real>
struct LanesMatchScalars {
    template <UnaryFn F>
    void operator()() const {
        constexpr int lanes = 16;
        // 3e9 is beyond trigonometric_limit: the whole tile must still be right.
        for (const Real last : {Real(0.75), Real(3e9), std::numeric_limits<Real>::quiet_NaN()}) {
            for (const Real exponent :
                 {Real(2.5), Real(2), Real(3), Real(0), Real(0.5), Real(-0.5), Real(-1), Real(-2)}) {
                Constants<Real> c = typical_constants<Real>(F);
                if (F == UnaryFn::power) c.values[0] = exponent;
                Real x[lanes];
                Real y[lanes];
                Real dy[lanes];
                for (int l = 0; l < lanes; ++l) x[l] = y[l] = Real(l - 7) * Real(0.611);
                x[lanes - 1] = y[lanes - 1] = last;
                unary_values<F>(lanes, y, c.values, y);
                unary_derivatives<F>(lanes, x, y, c.values, dy);
                for (int l = 0; l < lanes; ++l) {
                    const Real expected = unary_value<F>(x[l], c.values);
                    CHECK_MESSAGE(close(y[l], expected), name_of(F), " at ", static_cast<double>(x[l]));
                    CHECK_MESSAGE(close(dy[l], unary_derivative<F>(x[l], expected, c.values)), name_of(F),
                                  " at ", static_cast<double>(x[l]));
                }
            }
        }
    }

    // The compiler may contract the same expression differently in and out of a vector loop.
    static bool close(Real a, Real b) {
        return same(a, b) ||
               std::fabs(a - b) <= 4 * std::numeric_limits<Real>::epsilon() * (std::fabs(b) + 1);
    }
};

TEST_CASE("beyond trigonometric limit") {
    for (const double x : {2.5e8, -1.7e15, 6.1e300}) {
        const auto reference = static_cast<long double>(x);
        CHECK(std::fabs(value<UnaryFn::sin>(x) - static_cast<double>(std::sin(reference))) < 1e-15);
        CHECK(std::fabs(value<UnaryFn::cos>(x) - static_cast<double>(std::cos(reference))) < 1e-15);
    }
}

TEST_CASE_TEMPLATE("nan passes", Real, float, double) { for_each_unary(NanPasses<Real>{}); }

TEST_CASE_TEMPLATE("lanes match scalars", Real, float, double) { for_each_unary(LanesMatchScalars<Real>{}); }

TEST_CASE("derivatives match differences") { for_each_unary(DerivativeMatchesDifferences{}); }

}  // namespace
