// Values and derivatives of the Program's unary functions. Subgradients at kinks, and what happens to NaN,
// are torch's: NaN passes through every value, and 'x <= 0' rather than '!(x > 0)' decides which side of a
// kink. Constants are read before they are chosen between: a load under a condition keeps a loop scalar.
#pragma once

#include "numerics/elementary.hpp"
#include "numerics/function_names.hpp"

namespace flashode::numerics::inline FLASHODE_ISA {

// One specialisation a function: value(x, constants) and, unless it is flat, derivative(x, y, constants), y
// being the value; of a masking function also passes(x, constants), without which its derivative does not
// count.
template <UnaryFn F>
struct Unary;
template <UnaryFn F>
struct Mask;

// Defines Unary<UnaryFn::name> with the bodies; x, y and c are what they may use.
#define FLASHODE_UNARY(name, value_body, derivative_body)                                          \
    template <>                                                                                    \
    struct Unary<UnaryFn::name> {                                                                  \
        template <class Real>                                                                      \
        static FLASHODE_LANE Real value([[maybe_unused]] Real x, [[maybe_unused]] const Real* c) { \
            value_body                                                                             \
        }                                                                                          \
        template <class Real>                                                                      \
        static FLASHODE_LANE Real derivative([[maybe_unused]] Real x, [[maybe_unused]] Real y,     \
                                             [[maybe_unused]] const Real* c) {                     \
            derivative_body                                                                        \
        }                                                                                          \
    };

#define FLASHODE_MASKING_UNARY(name, value_body, passes_body, derivative_body)                      \
    FLASHODE_UNARY(name, value_body, derivative_body)                                               \
    template <>                                                                                     \
    struct Mask<UnaryFn::name> {                                                                    \
        template <class Real>                                                                       \
        static FLASHODE_LANE bool passes([[maybe_unused]] Real x, [[maybe_unused]] const Real* c) { \
            passes_body                                                                             \
        }                                                                                           \
    };

#define FLASHODE_FLAT_UNARY(name, value_of_x)                  \
    template <>                                                \
    struct Unary<UnaryFn::name> {                              \
        template <class Real>                                  \
        static FLASHODE_LANE Real value(Real x, const Real*) { \
            return (value_of_x);                               \
        }                                                      \
    };

// Steps, and what is taken for constant.
FLASHODE_FLAT_UNARY(sign, numerics::sign(x))
FLASHODE_FLAT_UNARY(floor, numerics::floor(x))
FLASHODE_FLAT_UNARY(ceil, numerics::ceil(x))
FLASHODE_FLAT_UNARY(round, numerics::round(x))
FLASHODE_FLAT_UNARY(trunc, numerics::trunc(x))
FLASHODE_FLAT_UNARY(detach, x)

// Arithmetic and roots.
FLASHODE_UNARY(neg, { return -x; }, { return Real(-1); })
FLASHODE_UNARY(abs, { return numerics::fabs(x); }, { return numerics::sign(x); })
FLASHODE_UNARY(reciprocal, { return Real(1) / x; }, { return -y * y; })
FLASHODE_UNARY(sqrt, { return numerics::sqrt(x); }, { return Real(0.5) / y; })
FLASHODE_UNARY(rsqrt, { return Real(1) / numerics::sqrt(x); }, { return Real(-0.5) * (y * y * y); })
FLASHODE_UNARY(affine, { return c[0] * x + c[1]; }, { return c[0]; })

// Exponentials and logarithms.
FLASHODE_UNARY(exp, { return numerics::exp(x); }, { return y; })
FLASHODE_UNARY(exp2, { return numerics::exp2(x); }, { return y * Real(0.693147180559945309417); })
FLASHODE_UNARY(expm1, { return numerics::expm1(x); }, { return y + Real(1); })
FLASHODE_UNARY(log, { return numerics::log(x); }, { return Real(1) / x; })
FLASHODE_UNARY(log2, { return numerics::log2(x); }, { return Real(1) / (x * Real(0.693147180559945309417)); })
FLASHODE_UNARY(
    log10, { return numerics::log10(x); }, { return Real(1) / (x * Real(2.30258509299404568402)); })
FLASHODE_UNARY(log1p, { return numerics::log1p(x); }, { return Real(1) / (Real(1) + x); })
FLASHODE_UNARY(
    erf, { return numerics::erf(x); },
    { return Real(1.12837916709551257390) * numerics::exp_minus_square(x); })

// 1 - x^2 without the cancellation next to 1.
template <class Real>
FLASHODE_LANE Real one_minus_square(Real x) {
    return (Real(1) - x) * (Real(1) + x);
}

// Trigonometry.
FLASHODE_UNARY(sin, { return numerics::sin(x); }, { return numerics::cos(x); })
FLASHODE_UNARY(cos, { return numerics::cos(x); }, { return -numerics::sin(x); })
FLASHODE_UNARY(tan, { return numerics::tan(x); }, { return Real(1) + y * y; })
FLASHODE_UNARY(asin, { return numerics::asin(x); }, { return Real(1) / numerics::sqrt(one_minus_square(x)); })
FLASHODE_UNARY(
    acos, { return numerics::acos(x); }, { return Real(-1) / numerics::sqrt(one_minus_square(x)); })
FLASHODE_UNARY(atan, { return numerics::atan(x); }, { return Real(1) / (Real(1) + x * x); })
FLASHODE_UNARY(sinh, { return numerics::sinh(x); }, { return numerics::cosh(x); })
FLASHODE_UNARY(cosh, { return numerics::cosh(x); }, { return numerics::sinh(x); })
FLASHODE_UNARY(asinh, { return numerics::asinh(x); }, { return Real(1) / numerics::sqrt(x * x + Real(1)); })
FLASHODE_UNARY(
    acosh, { return numerics::acosh(x); },
    { return Real(1) / numerics::sqrt((x - Real(1)) * (x + Real(1))); })
FLASHODE_UNARY(atanh, { return numerics::atanh(x); }, { return Real(1) / one_minus_square(x); })

// Where the slope of sinc is 0 / 0 by rounding, it has none.
FLASHODE_MASKING_UNARY(
    sinc,
    {
        const Real z = Real(3.14159265358979323846) * x;
        const Real quotient = numerics::sin(z) / z;
        return x == Real(0) ? Real(1) : quotient;
    },
    { return x * x * Real(3.14159265358979323846) != Real(0); },
    {
        const Real pi = Real(3.14159265358979323846);
        const Real z = pi * x;
        return (z * numerics::cos(z) - numerics::sin(z)) / (x * x * pi);
    })

// Clamped to where both x and 1 - x are eps or more, if eps is not negative. The slope, unlike the
// logarithm's, is NaN outside the unit interval.
FLASHODE_MASKING_UNARY(
    logit,
    {
        const Real bottom = c[0];
        const Real top = Real(1) - bottom;
        const Real raised = x < bottom ? bottom : x;
        const Real clamped = raised > top ? top : raised;
        const Real z = bottom < Real(0) ? x : clamped;
        return numerics::log(z / (Real(1) - z));
    },
    { return (c[0] < Real(0)) | ((x >= c[0]) & (x <= Real(1) - c[0])); },
    {
        const Real slope = Real(1) / (x * (Real(1) - x));
        return (x < Real(0)) | (x > Real(1)) ? FloatFormat<Real>::nan : slope;
    })

// Smooth activations. Where a sigmoid multiplies x, -inf gives NaN, as in torch.
FLASHODE_UNARY(tanh, { return numerics::tanh(x); }, { return Real(1) - y * y; })
FLASHODE_UNARY(sigmoid, { return numerics::sigmoid(x); }, { return y * (Real(1) - y); })
FLASHODE_UNARY(logsigmoid, { return -numerics::softplus(-x); }, { return numerics::sigmoid(-x); })
FLASHODE_UNARY(
    silu, { return x * numerics::sigmoid(x); },
    {
        const Real s = numerics::sigmoid(x);
        return s + s * (x * (Real(1) - s));
    })
FLASHODE_UNARY(
    mish, { return x * numerics::tanh_softplus(x); },
    {
        const Real s = numerics::tanh_softplus(x);
        return s + x * (numerics::sigmoid(x) * (Real(1) - s * s));
    })
FLASHODE_UNARY(
    gelu, { return numerics::gelu(x); },
    {
        return numerics::normal_cdf(x) +
               Real(0.398942280401432677940) * (x * numerics::exp_minus_half_square(x));
    })
FLASHODE_UNARY(
    gelu_tanh, { return x * numerics::gelu_tanh_gate(x); },
    {
        // a + 3 b x^2 is the slope of the argument a x + b x^3 of the gate's sigmoid.
        const Real a = Real(1.59576912160573071176);
        const Real b = Real(0.0713548162726002527220);
        const Real z = x * x;
        const Real s = numerics::gelu_tanh_gate(x);
        return s + (x * (s * (Real(1) - s))) * (a + Real(3) * b * z);
    })
FLASHODE_UNARY(
    softplus,
    {
        const Real z = c[0] * x;
        return z > c[1] ? x : numerics::softplus(z) / c[0];
    },
    {
        const Real z = c[0] * x;
        return z > c[1] ? Real(1) : numerics::sigmoid(z);
    })
FLASHODE_UNARY(
    elu,
    {
        const Real negative = c[0] * c[1] * numerics::expm1(c[2] * x);
        const Real positive = c[1] * x;
        return x <= Real(0) ? negative : positive;
    },
    {
        const Real scale = c[1];
        const Real negative = c[2] * (y + c[0] * scale);
        return x <= Real(0) ? negative : scale;
    })

// Piecewise linear or quadratic activations.
FLASHODE_MASKING_UNARY(
    relu, { return x <= Real(0) ? Real(0) : x; }, { return !(x <= Real(0)); }, { return Real(1); })
FLASHODE_UNARY(
    leaky_relu,
    {
        const Real negative = c[0] * x;
        return x > Real(0) ? x : negative;
    },
    {
        const Real slope = c[0];
        return x > Real(0) ? Real(1) : slope;
    })
FLASHODE_MASKING_UNARY(
    hardtanh,
    {
        const Real raised = x < c[0] ? c[0] : x;
        return raised > c[1] ? c[1] : raised;
    },
    { return !((x <= c[0]) | (x >= c[1])); }, { return Real(1); })
// The same values, but a gradient of one on the boundary.
FLASHODE_MASKING_UNARY(
    clamp, { return Unary<UnaryFn::hardtanh>::value(x, c); }, { return (x >= c[0]) & (x <= c[1]); },
    { return Real(1); })
FLASHODE_MASKING_UNARY(
    hardsigmoid,
    {
        const Real shifted = x + Real(3);
        const Real raised = shifted < Real(0) ? Real(0) : shifted;
        return (raised > Real(6) ? Real(6) : raised) / Real(6);
    },
    { return (x > Real(-3)) & (x < Real(3)); }, { return Real(1) / Real(6); })
FLASHODE_MASKING_UNARY(
    hardswish,
    {
        const Real shifted = x + Real(3);
        const Real raised = shifted < Real(0) ? Real(0) : shifted;
        return x * (raised > Real(6) ? Real(6) : raised) / Real(6);
    },
    { return !(x <= Real(-3)); },
    {
        const Real inside = x / Real(3) + Real(0.5);
        return x < Real(3) ? inside : Real(1);
    })

// Calls loop(f) with f(x) = x**p, where torch has a cheaper form of it in that: of -0.0 and -inf they differ.
FLASHODE_CALLS_EITHER_SIDE
template <class Real, class Loop>
FLASHODE_LANE void with_power(Real p, Loop loop) {
    if (p == Real(2)) return loop([](Real x) { return x * x; });
    if (p == Real(3)) return loop([](Real x) { return x * x * x; });
    if (p == Real(1)) return loop([](Real x) { return x; });
    if (p == Real(0.5)) return loop([](Real x) { return numerics::sqrt(x); });
    if (p == Real(-0.5)) return loop([](Real x) { return Real(1) / numerics::sqrt(x); });
    if (p == Real(-1)) return loop([](Real x) { return Real(1) / x; });
    if (p == Real(-2)) return loop([](Real x) { return Real(1) / (x * x); });
    loop([p](Real x) { return numerics::pow(x, p); });
}

template <class Real>
FLASHODE_LANE Real power_value(Real x, Real p) {
    Real y = x;
    with_power(p, [&y](auto power) { y = power(y); });
    return y;
}

FLASHODE_MASKING_UNARY(
    power, { return power_value(x, c[0]); }, { return c[0] != Real(0); },
    { return c[0] * power_value(x, c[0] - Real(1)); })

#undef FLASHODE_UNARY
#undef FLASHODE_MASKING_UNARY
#undef FLASHODE_FLAT_UNARY

template <UnaryFn F, class Real>
FLASHODE_LANE Real unary_value(Real x, const Real* c) {
    return Unary<F>::value(x, c);
}

// Whether a gradient passes at all.
template <UnaryFn F, class Real>
FLASHODE_LANE bool unary_passes([[maybe_unused]] Real x, [[maybe_unused]] const Real* c) {
    if constexpr (is_masking(F)) {
        return Mask<F>::passes(x, c);
    } else {
        return !is_flat(F);
    }
}

template <UnaryFn F, class Real>
FLASHODE_LANE Real unary_derivative([[maybe_unused]] Real x, [[maybe_unused]] Real y,
                                    [[maybe_unused]] const Real* c) {
    if constexpr (is_flat(F)) {
        return Real(0);
    } else {
        const Real slope = Unary<F>::derivative(x, y, c);
        return unary_passes<F>(x, c) ? slope : Real(0);
    }
}

// Whether sin_moderate and cos_moderate serve all of x[0..n).
template <class Real>
FLASHODE_LANE bool all_moderate(int n, const Real* x) {
    BitsOf<Real> beyond = 0;
    for (int l = 0; l < n; ++l) beyond |= numerics::fabs(x[l]) > trigonometric_limit<Real> ? 1U : 0U;
    return beyond == 0;
}

// y[l] = f(x[l]) for l < n; y may be x. The loop that vectorises for every function which can: sin and cos
// leave their branch to the rare tile that holds an argument beyond trigonometric_limit, and the exponents of
// power that need no library call are told apart outside the loop.
template <UnaryFn F, class Real>
FLASHODE_LANE void unary_values(int n, const Real* x, const Real* c, Real* y) {
    if constexpr (F == UnaryFn::sin || F == UnaryFn::cos) {
        if (all_moderate(n, x)) {
            FLASHODE_LANE_LOOP
            for (int l = 0; l < n; ++l) {
                y[l] = F == UnaryFn::sin ? numerics::sin_moderate(x[l]) : numerics::cos_moderate(x[l]);
            }
            return;
        }
    }
    if constexpr (F == UnaryFn::power) {
        with_power(c[0], [n, x, y](auto power) {
            FLASHODE_LANE_LOOP
            for (int l = 0; l < n; ++l) y[l] = power(x[l]);
        });
        return;
    }
    FLASHODE_LANE_LOOP
    for (int l = 0; l < n; ++l) y[l] = unary_value<F>(x[l], c);
}

// dy[l] = f'(x[l]) for l < n, where y[l] = f(x[l]); dy may be x or y.
template <UnaryFn F, class Real>
FLASHODE_LANE void unary_derivatives(int n, const Real* x, [[maybe_unused]] const Real* y, const Real* c,
                                     Real* dy) {
    if constexpr (F == UnaryFn::sin || F == UnaryFn::cos) {
        if (all_moderate(n, x)) {
            FLASHODE_LANE_LOOP
            for (int l = 0; l < n; ++l) {
                dy[l] = F == UnaryFn::sin ? numerics::cos_moderate(x[l]) : -numerics::sin_moderate(x[l]);
            }
            return;
        }
    }
    if constexpr (F == UnaryFn::power) {
        if (c[0] != Real(0)) {
            with_power(c[0] - Real(1), [n, x, dy, p = c[0]](auto power) {
                FLASHODE_LANE_LOOP
                for (int l = 0; l < n; ++l) dy[l] = p * power(x[l]);
            });
            return;
        }
    }
    FLASHODE_LANE_LOOP
    for (int l = 0; l < n; ++l) dy[l] = unary_derivative<F>(x[l], y[l], c);
}

}  // namespace flashode::numerics::inline FLASHODE_ISA
