// The Program's element-wise functions: one list each for enumeration, names, numbers of constants
// (program/function_table.hpp) and the switch that turns a run-time function into a compile-time one.
#pragma once

#include <cstdint>

#include "numerics/platform.hpp"

namespace flashode::numerics {

// Whether a gradient passes. Flat functions are constant between their steps, or declared to be so: they pass
// none on, and not zero times it, which is NaN where it is infinite. Masking functions pass none at some
// arguments. All others multiply it by their slope, be that zero. Which do what is not in their nature but in
// torch's formulas: abs and leaky_relu multiply.
enum class Passing : std::uint8_t { plain, masking, flat };

// X(name, number of constants, passing)
#define FLASHODE_UNARY_FUNCTIONS(X)                           \
    X(neg, 0, plain)                                          \
    X(abs, 0, plain)                                          \
    X(reciprocal, 0, plain)                                   \
    X(sqrt, 0, plain)                                         \
    X(rsqrt, 0, plain)                                        \
    X(exp, 0, plain)                                          \
    X(exp2, 0, plain)                                         \
    X(expm1, 0, plain)                                        \
    X(log, 0, plain)                                          \
    X(log2, 0, plain)                                         \
    X(log10, 0, plain)                                        \
    X(log1p, 0, plain)                                        \
    X(sin, 0, plain)                                          \
    X(cos, 0, plain)                                          \
    X(tan, 0, plain)                                          \
    X(tanh, 0, plain)                                         \
    X(sigmoid, 0, plain)                                      \
    X(erf, 0, plain)                                          \
    X(asin, 0, plain)                                         \
    X(acos, 0, plain)                                         \
    X(atan, 0, plain)                                         \
    X(sinh, 0, plain)                                         \
    X(cosh, 0, plain)                                         \
    X(asinh, 0, plain)                                        \
    X(acosh, 0, plain)                                        \
    X(atanh, 0, plain)                                        \
    X(affine, 2, plain)     /* scale, shift */                \
    X(leaky_relu, 1, plain) /* slope */                       \
    X(elu, 3, plain)        /* alpha, scale, input_scale */   \
    X(softplus, 2, plain)   /* beta, threshold */             \
    X(gelu, 0, plain)                                         \
    X(gelu_tanh, 0, plain)                                    \
    X(silu, 0, plain)                                         \
    X(mish, 0, plain)                                         \
    X(logsigmoid, 0, plain)                                   \
    X(relu, 0, masking)                                       \
    X(power, 1, masking)    /* exponent; masked if it is 0 */ \
    X(hardtanh, 2, masking) /* min, max */                    \
    X(clamp, 2, masking)    /* min, max */                    \
    X(hardsigmoid, 0, masking)                                \
    X(hardswish, 0, masking)                                  \
    X(sinc, 0, masking)                                       \
    X(logit, 1, masking) /* eps; negative for none */         \
    X(sign, 0, flat)                                          \
    X(floor, 0, flat)                                         \
    X(ceil, 0, flat)                                          \
    X(round, 0, flat) /* half to even */                      \
    X(trunc, 0, flat)                                         \
    X(detach, 0, flat) /* the value alone */

#define FLASHODE_BINARY_FUNCTIONS(X)                 \
    X(add, 0, plain)                                 \
    X(sub, 0, plain)                                 \
    X(mul, 0, plain)                                 \
    X(div, 0, plain)                                 \
    X(atan2, 0, plain)                               \
    X(hypot, 0, plain)                               \
    X(logaddexp, 0, plain)                           \
    X(logaddexp2, 0, plain)                          \
    X(fmod, 0, plain)                                \
    X(remainder, 0, plain)                           \
    X(maximum, 0, masking)                           \
    X(minimum, 0, masking)                           \
    X(power, 0, masking)                             \
    X(xlogy, 0, masking)                             \
    X(xlog1py, 0, masking)                           \
    X(prelu, 0, masking)                             \
    X(lt, 0, flat)                                   \
    X(le, 0, flat)                                   \
    X(eq, 0, flat)                                   \
    X(ne, 0, flat)                                   \
    X(floor_divide, 0, flat) /* rounded downwards */ \
    X(trunc_divide, 0, flat) /* towards zero */

#define FLASHODE_ENUMERATOR(name, constants, passing) name,
enum class UnaryFn : std::uint8_t { FLASHODE_UNARY_FUNCTIONS(FLASHODE_ENUMERATOR) };
enum class BinaryFn : std::uint8_t { FLASHODE_BINARY_FUNCTIONS(FLASHODE_ENUMERATOR) };
#undef FLASHODE_ENUMERATOR

#define FLASHODE_PASSING(name, constants, passing) Passing::passing,
FLASHODE_HD constexpr Passing passing_of(UnaryFn fn) {
    constexpr Passing rows[] = {FLASHODE_UNARY_FUNCTIONS(FLASHODE_PASSING)};
    return rows[static_cast<int>(fn)];
}
FLASHODE_HD constexpr Passing passing_of(BinaryFn fn) {
    constexpr Passing rows[] = {FLASHODE_BINARY_FUNCTIONS(FLASHODE_PASSING)};
    return rows[static_cast<int>(fn)];
}
#undef FLASHODE_PASSING

template <class Fn>
FLASHODE_HD constexpr bool is_flat(Fn fn) {
    return passing_of(fn) == Passing::flat;
}
template <class Fn>
FLASHODE_HD constexpr bool is_masking(Fn fn) {
    return passing_of(fn) == Passing::masking;
}

// Functions that are zero where their first argument is, whatever the logarithm in them.
FLASHODE_HD constexpr bool multiplies_logarithm(BinaryFn fn) {
    return fn == BinaryFn::xlogy || fn == BinaryFn::xlog1py;
}

// Calls visitor.template operator()<F>() for the function fn; every instantiation returns the same type.
FLASHODE_CALLS_EITHER_SIDE
template <class Visitor>
FLASHODE_HD decltype(auto) visit_unary(UnaryFn fn, Visitor&& visitor) {
    switch (fn) {
#define FLASHODE_CASE(name, constants, passing) \
    case UnaryFn::name:                         \
        return visitor.template operator()<UnaryFn::name>();
        FLASHODE_UNARY_FUNCTIONS(FLASHODE_CASE)
#undef FLASHODE_CASE
    }
    __builtin_unreachable();
}

FLASHODE_CALLS_EITHER_SIDE
template <class Visitor>
FLASHODE_HD decltype(auto) visit_binary(BinaryFn fn, Visitor&& visitor) {
    switch (fn) {
#define FLASHODE_CASE(name, constants, passing) \
    case BinaryFn::name:                        \
        return visitor.template operator()<BinaryFn::name>();
        FLASHODE_BINARY_FUNCTIONS(FLASHODE_CASE)
#undef FLASHODE_CASE
    }
    __builtin_unreachable();
}

}  // namespace flashode::numerics
