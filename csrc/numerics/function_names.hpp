// The Program's element-wise functions by name: one list each for enumeration, names, numbers of constants
// and the switch that turns a run-time function into a compile-time one.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "numerics/platform.hpp"

namespace flashode::numerics {

// Flat functions are constant between their steps, or declared to be so. They pass no gradient on: not zero
// times it, which is NaN where it is infinite.
#define FLASHODE_FLAT_UNARY_FUNCTIONS(X) \
    X(sign, 0)                           \
    X(floor, 0)                          \
    X(ceil, 0)                           \
    X(round, 0) /* half to even */       \
    X(trunc, 0)                          \
    X(detach, 0) /* the value alone */

#define FLASHODE_FLAT_BINARY_FUNCTIONS(X)   \
    X(lt)                                   \
    X(le)                                   \
    X(eq)                                   \
    X(ne)                                   \
    X(floor_divide) /* rounded downwards */ \
    X(trunc_divide) /* towards zero */

// Masking functions have arguments at which they pass no gradient on either. All others multiply it by their
// slope, be that zero. Which do what is not in their nature but in torch's formulas: abs and leaky_relu
// multiply.
#define FLASHODE_MASKING_UNARY_FUNCTIONS(X)          \
    X(relu, 0)                                       \
    X(power, 1)    /* exponent; masked if it is 0 */ \
    X(hardtanh, 2) /* min, max */                    \
    X(clamp, 2)    /* min, max */                    \
    X(hardsigmoid, 0)                                \
    X(hardswish, 0)                                  \
    X(sinc, 0)                                       \
    X(logit, 1) /* eps; negative for none */

#define FLASHODE_MASKING_BINARY_FUNCTIONS(X) X(maximum) X(minimum) X(power) X(xlogy) X(xlog1py) X(prelu)

// X(name, number of constants)
#define FLASHODE_UNARY_FUNCTIONS(X)                  \
    X(neg, 0)                                        \
    X(abs, 0)                                        \
    X(reciprocal, 0)                                 \
    X(sqrt, 0)                                       \
    X(rsqrt, 0)                                      \
    X(exp, 0)                                        \
    X(exp2, 0)                                       \
    X(expm1, 0)                                      \
    X(log, 0)                                        \
    X(log2, 0)                                       \
    X(log10, 0)                                      \
    X(log1p, 0)                                      \
    X(sin, 0)                                        \
    X(cos, 0)                                        \
    X(tan, 0)                                        \
    X(tanh, 0)                                       \
    X(sigmoid, 0)                                    \
    X(erf, 0)                                        \
    X(asin, 0)                                       \
    X(acos, 0)                                       \
    X(atan, 0)                                       \
    X(sinh, 0)                                       \
    X(cosh, 0)                                       \
    X(asinh, 0)                                      \
    X(acosh, 0)                                      \
    X(atanh, 0)                                      \
    X(affine, 2)     /* scale, shift */              \
    X(leaky_relu, 1) /* slope */                     \
    X(elu, 3)        /* alpha, scale, input_scale */ \
    X(softplus, 2)   /* beta, threshold */           \
    X(gelu, 0)                                       \
    X(gelu_tanh, 0)                                  \
    X(silu, 0)                                       \
    X(mish, 0)                                       \
    X(logsigmoid, 0)                                 \
    FLASHODE_MASKING_UNARY_FUNCTIONS(X)              \
    FLASHODE_FLAT_UNARY_FUNCTIONS(X)

#define FLASHODE_BINARY_FUNCTIONS(X)     \
    X(add)                               \
    X(sub)                               \
    X(mul)                               \
    X(div)                               \
    X(atan2)                             \
    X(hypot)                             \
    X(logaddexp)                         \
    X(logaddexp2)                        \
    X(fmod)                              \
    X(remainder)                         \
    FLASHODE_MASKING_BINARY_FUNCTIONS(X) \
    FLASHODE_FLAT_BINARY_FUNCTIONS(X)

enum class UnaryFn : std::uint8_t {
#define FLASHODE_ENUMERATOR(name, constants) name,
    FLASHODE_UNARY_FUNCTIONS(FLASHODE_ENUMERATOR)
#undef FLASHODE_ENUMERATOR
};

enum class BinaryFn : std::uint8_t {
#define FLASHODE_ENUMERATOR(name) name,
    FLASHODE_BINARY_FUNCTIONS(FLASHODE_ENUMERATOR)
#undef FLASHODE_ENUMERATOR
};

struct UnaryInfo {
    UnaryFn fn;
    std::string_view name;
    int constants;
};

struct BinaryInfo {
    BinaryFn fn;
    std::string_view name;
};

// Indexed by the enumerator's value.
inline constexpr std::array unary_table{
#define FLASHODE_ROW(name, constants) UnaryInfo{UnaryFn::name, #name, constants},
    FLASHODE_UNARY_FUNCTIONS(FLASHODE_ROW)
#undef FLASHODE_ROW
};

inline constexpr std::array binary_table{
#define FLASHODE_ROW(name) BinaryInfo{BinaryFn::name, #name},
    FLASHODE_BINARY_FUNCTIONS(FLASHODE_ROW)
#undef FLASHODE_ROW
};

inline constexpr int max_unary_constants = 3;

constexpr std::string_view name_of(UnaryFn fn) { return unary_table[static_cast<std::size_t>(fn)].name; }
constexpr std::string_view name_of(BinaryFn fn) { return binary_table[static_cast<std::size_t>(fn)].name; }
constexpr int constants_of(UnaryFn fn) { return unary_table[static_cast<std::size_t>(fn)].constants; }

FLASHODE_HD constexpr bool is_flat(UnaryFn fn) {
    switch (fn) {
#define FLASHODE_CASE(name, constants) case UnaryFn::name:
        FLASHODE_FLAT_UNARY_FUNCTIONS(FLASHODE_CASE)
#undef FLASHODE_CASE
        return true;
        default:
            return false;
    }
}

FLASHODE_HD constexpr bool is_flat(BinaryFn fn) {
    switch (fn) {
#define FLASHODE_CASE(name) case BinaryFn::name:
        FLASHODE_FLAT_BINARY_FUNCTIONS(FLASHODE_CASE)
#undef FLASHODE_CASE
        return true;
        default:
            return false;
    }
}

FLASHODE_HD constexpr bool is_masking(UnaryFn fn) {
    switch (fn) {
#define FLASHODE_CASE(name, constants) case UnaryFn::name:
        FLASHODE_MASKING_UNARY_FUNCTIONS(FLASHODE_CASE)
#undef FLASHODE_CASE
        return true;
        default:
            return false;
    }
}

FLASHODE_HD constexpr bool is_masking(BinaryFn fn) {
    switch (fn) {
#define FLASHODE_CASE(name) case BinaryFn::name:
        FLASHODE_MASKING_BINARY_FUNCTIONS(FLASHODE_CASE)
#undef FLASHODE_CASE
        return true;
        default:
            return false;
    }
}

// Functions that are zero where their first argument is, whatever the logarithm in them.
FLASHODE_HD constexpr bool multiplies_logarithm(BinaryFn fn) {
    return fn == BinaryFn::xlogy || fn == BinaryFn::xlog1py;
}

constexpr std::optional<UnaryFn> unary_from_name(std::string_view name) {
    for (const UnaryInfo& row : unary_table) {
        if (row.name == name) return row.fn;
    }
    return std::nullopt;
}

constexpr std::optional<BinaryFn> binary_from_name(std::string_view name) {
    for (const BinaryInfo& row : binary_table) {
        if (row.name == name) return row.fn;
    }
    return std::nullopt;
}

// Calls visitor.template operator()<F>() for the function fn; every instantiation returns the same type.
FLASHODE_CALLS_EITHER_SIDE
template <class Visitor>
FLASHODE_HD decltype(auto) visit_unary(UnaryFn fn, Visitor&& visitor) {
    switch (fn) {
#define FLASHODE_CASE(name, constants) \
    case UnaryFn::name:                \
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
#define FLASHODE_CASE(name) \
    case BinaryFn::name:    \
        return visitor.template operator()<BinaryFn::name>();
        FLASHODE_BINARY_FUNCTIONS(FLASHODE_CASE)
#undef FLASHODE_CASE
    }
    __builtin_unreachable();
}

}  // namespace flashode::numerics
