// The errors of the elementary functions in units in the last place, against long double references, over the
// whole range of float and double. Prints the table of measured maxima and asserts a bound on each.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <vector>

#include "check.hpp"
#include "numerics/functions.hpp"
#include "program/function_table.hpp"

namespace {

using namespace flashode::numerics;
using flashode::program::name_of;

static_assert(LDBL_MANT_DIG >= 64, "the references need a long double wider than double");

// Arithmetic (no functions) of at least 113 bits, for arguments whose rounding exponentials would magnify.
#if LDBL_MANT_DIG >= 113
using Quad = long double;
#else
__extension__ typedef __float128 Quad;
#endif

using Wide = long double;

Quad quad_sqrt(Quad v) {
    const Wide s = std::sqrt(static_cast<Wide>(v));
    return static_cast<Quad>(s) + (v - static_cast<Quad>(s) * s) / (2 * static_cast<Quad>(s));
}

Quad quad_pi() {
    const Wide pi = std::acos(Wide(-1));
    return static_cast<Quad>(pi) + std::sin(pi);
}

Wide exp_of(Quad x) {
    const auto hi = static_cast<Wide>(x);
    return std::exp(hi) * (1 + static_cast<Wide>(x - hi));
}

Wide normal_cdf_reference(Wide x) {
    static const Quad sqrt_half = quad_sqrt(Quad(0.5));
    static const Wide slope = 2 / std::sqrt(static_cast<Wide>(quad_pi()));
    const Quad b = -static_cast<Quad>(x) * sqrt_half;
    const auto hi = static_cast<Wide>(b);
    return (std::erfc(hi) - slope * exp_of(-b * b) * static_cast<Wide>(b - hi)) / 2;
}

Wide gelu_tanh_gate_reference(Wide x) {
    static const Quad scale = 2 * quad_sqrt(2 / quad_pi());
    const Quad cubic = Quad(44715) / 1000000;
    const Quad clamped = std::clamp(x, Wide(-100), Wide(100));
    const Quad u = scale * clamped * (1 + cubic * clamped * clamped);
    return u >= 0 ? 1 / (1 + exp_of(-u)) : exp_of(u) / (1 + exp_of(u));
}

Wide sigmoid_reference(Wide x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }

Wide softplus_reference(Wide x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

template <UnaryFn F>
Wide reference(Wide x) {
    if constexpr (F == UnaryFn::exp) return std::exp(x);
    if constexpr (F == UnaryFn::exp2) return std::exp2(x);
    if constexpr (F == UnaryFn::expm1) return std::expm1(x);
    if constexpr (F == UnaryFn::log) return std::log(x);
    if constexpr (F == UnaryFn::log2) return std::log2(x);
    if constexpr (F == UnaryFn::log10) return std::log10(x);
    if constexpr (F == UnaryFn::log1p) return std::log1p(x);
    if constexpr (F == UnaryFn::sqrt) return std::sqrt(x);
    if constexpr (F == UnaryFn::sin) return std::sin(x);
    if constexpr (F == UnaryFn::cos) return std::cos(x);
    if constexpr (F == UnaryFn::asin) return std::asin(x);
    if constexpr (F == UnaryFn::acos) return std::acos(x);
    if constexpr (F == UnaryFn::asinh) return std::asinh(x);
    if constexpr (F == UnaryFn::acosh) return std::acosh(x);
    if constexpr (F == UnaryFn::atanh) return std::atanh(x);
    if constexpr (F == UnaryFn::floor) return std::floor(x);
    if constexpr (F == UnaryFn::ceil) return std::ceil(x);
    if constexpr (F == UnaryFn::round) return std::nearbyint(x);
    if constexpr (F == UnaryFn::trunc) return std::trunc(x);
    if constexpr (F == UnaryFn::tanh) return std::tanh(x);
    if constexpr (F == UnaryFn::sigmoid) return sigmoid_reference(x);
    if constexpr (F == UnaryFn::erf) return std::erf(x);
    if constexpr (F == UnaryFn::elu) return x > 0 ? x : std::expm1(x);
    if constexpr (F == UnaryFn::softplus) return x > 20 ? x : softplus_reference(x);
    if constexpr (F == UnaryFn::logsigmoid) return -softplus_reference(-x);
    if constexpr (F == UnaryFn::silu) return x * sigmoid_reference(x);
    if constexpr (F == UnaryFn::mish) return x * std::tanh(softplus_reference(x));
    if constexpr (F == UnaryFn::gelu) return x * normal_cdf_reference(x);
    if constexpr (F == UnaryFn::gelu_tanh) return x * gelu_tanh_gate_reference(x);
}

template <class Real>
double ulps(Real y, Wide exact, Wide least_unit) {
    using Limits = std::numeric_limits<Real>;
    const Wide largest = static_cast<Wide>(Limits::max()) * (1 + static_cast<Wide>(Limits::epsilon()) / 4);
    if (std::isnan(exact)) return std::isnan(y) ? 0 : HUGE_VAL;
    if (std::fabs(exact) >= largest)
        return y == std::copysign(Limits::infinity(), y) && (y > 0) == (exact > 0) ? 0 : HUGE_VAL;
    if (!std::isfinite(y)) return HUGE_VAL;
    const int exponent =
        exact == 0 ? Limits::min_exponent - 1 : std::max(std::ilogb(exact), Limits::min_exponent - 1);
    const Wide unit = std::max(std::ldexp(Wide(1), exponent - (Limits::digits - 1)), least_unit);
    return static_cast<double>(std::fabs(static_cast<Wide>(y) - exact) / unit);
}

// Deterministic arguments: bit patterns spread over every exponent and both signs, points uniform in
// intervals about zero, and neighbours of multiples of pi/2, where sin and cos are hardest.
template <class Real>
std::vector<Real> arguments() {
    std::vector<Real> xs;
    std::uint64_t state = 1;
    const auto next = [&state] { return state = state * 6364136223846793005U + 1442695040888963407U; };
    for (int i = 0; i < 120000; ++i) {
        const Real x = from_bits<Real>(static_cast<BitsOf<Real>>(next() >> (64 - 8 * sizeof(Real))));
        if (std::isfinite(x)) xs.push_back(x);
    }
    for (const double bound : {0.4, 1.5, 6.0, 15.0, 40.0, 110.0, 760.0, 1.0e6}) {
        for (int i = 0; i < 60000; ++i) {
            xs.push_back(static_cast<Real>(bound * (static_cast<double>(next() >> 11) * 0x1p-52 - 1.0)));
        }
    }
    const Wide quarter = std::acos(Wide(-1)) / 2;
    for (int i = 0; i < 60000; ++i) {
        const auto n = static_cast<Wide>(next() >> (38 + i % 26));
        const auto x = static_cast<Real>(n * quarter);
        if (std::fabs(x) <= trigonometric_limit<Real>) xs.push_back(i % 2 == 0 ? x : -x);
    }
    return xs;
}

template <UnaryFn F, class Real>
double largest_error(const std::vector<Real>& xs) {
    constexpr int lanes = 64;
    // elu(alpha, scale, input_scale) and softplus(beta, threshold) as torch's defaults; the others take none.
    const Real constants[3] = {Real(1), F == UnaryFn::softplus ? Real(20) : Real(1), Real(1)};
    constexpr bool gated = F == UnaryFn::silu || F == UnaryFn::mish || F == UnaryFn::gelu_tanh;
    double worst = 0;
    Real worst_at = 0;
    for (std::size_t start = 0; start + lanes <= xs.size(); start += lanes) {
        alignas(64) Real ys[lanes];
        unary_values<F>(lanes, xs.data() + start, constants, ys);
        for (std::size_t l = 0; l < lanes; ++l) {
            const Real x = xs[start + l];
            // x times a gate that underflows gradually is no better than x times the least subnormal.
            const Wide least_unit =
                gated ? std::fabs(x) * static_cast<Wide>(std::numeric_limits<Real>::denorm_min()) : 0;
            const double error = ulps(ys[l], reference<F>(static_cast<Wide>(x)), least_unit);
            if (error > worst) {
                worst = error;
                worst_at = x;
            }
        }
    }
    const std::string_view name = name_of(F);
    std::printf("  %-11.*s %-6s %6.2f ulp at %.17g\n", static_cast<int>(name.size()), name.data(),
                is_float<Real> ? "float" : "double", worst, static_cast<double>(worst_at));
    return worst;
}

template <UnaryFn F>
void check_accuracy(double float_bound, double double_bound) {
    static const std::vector<float> floats = arguments<float>();
    static const std::vector<double> doubles = arguments<double>();
    CHECK(largest_error<F>(floats) <= float_bound);
    CHECK(largest_error<F>(doubles) <= double_bound);
}

TEST_CASE("sqrt") { check_accuracy<UnaryFn::sqrt>(0.51, 0.51); }
TEST_CASE("exp") { check_accuracy<UnaryFn::exp>(1.5, 1); }
TEST_CASE("exp2") { check_accuracy<UnaryFn::exp2>(1, 1); }
TEST_CASE("expm1") { check_accuracy<UnaryFn::expm1>(1.5, 1.3); }
TEST_CASE("log") { check_accuracy<UnaryFn::log>(1, 1); }
TEST_CASE("log2") { check_accuracy<UnaryFn::log2>(1, 1); }
TEST_CASE("log10") { check_accuracy<UnaryFn::log10>(2, 2); }
TEST_CASE("log1p") { check_accuracy<UnaryFn::log1p>(1, 1); }
TEST_CASE("sin") { check_accuracy<UnaryFn::sin>(2, 1); }
TEST_CASE("cos") { check_accuracy<UnaryFn::cos>(2, 1); }
TEST_CASE("asin") { check_accuracy<UnaryFn::asin>(1, 1); }
TEST_CASE("acos") { check_accuracy<UnaryFn::acos>(1, 1); }
TEST_CASE("asinh") { check_accuracy<UnaryFn::asinh>(2.5, 2.5); }
TEST_CASE("acosh") { check_accuracy<UnaryFn::acosh>(2.5, 2.5); }
TEST_CASE("atanh") { check_accuracy<UnaryFn::atanh>(2.5, 2.5); }
TEST_CASE("floor") { check_accuracy<UnaryFn::floor>(0, 0); }
TEST_CASE("ceil") { check_accuracy<UnaryFn::ceil>(0, 0); }
TEST_CASE("round") { check_accuracy<UnaryFn::round>(0, 0); }
TEST_CASE("trunc") { check_accuracy<UnaryFn::trunc>(0, 0); }
TEST_CASE("tanh") { check_accuracy<UnaryFn::tanh>(3, 2); }
TEST_CASE("sigmoid") { check_accuracy<UnaryFn::sigmoid>(3, 2); }
TEST_CASE("erf") { check_accuracy<UnaryFn::erf>(3, 2); }
TEST_CASE("elu") { check_accuracy<UnaryFn::elu>(1.5, 1); }
TEST_CASE("softplus") { check_accuracy<UnaryFn::softplus>(3, 2); }
TEST_CASE("logsigmoid") { check_accuracy<UnaryFn::logsigmoid>(3, 2); }
TEST_CASE("silu") { check_accuracy<UnaryFn::silu>(4, 4); }
TEST_CASE("mish") { check_accuracy<UnaryFn::mish>(4, 4); }
TEST_CASE("gelu") { check_accuracy<UnaryFn::gelu>(4, 4); }
TEST_CASE("gelu_tanh") { check_accuracy<UnaryFn::gelu_tanh>(4, 4); }

}  // namespace
