// The names of the Program's element-wise functions and their numbers of constants.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include "numerics/function_names.hpp"

namespace flashode::program {

using numerics::BinaryFn;
using numerics::UnaryFn;

template <class Fn>
struct FunctionInfo {
    Fn fn;
    std::string_view name;
    int constants;
};

// Indexed by the enumerator's value.
#define FLASHODE_ROW(name, constants, passing) FunctionInfo{Fn::name, #name, constants},
inline constexpr auto unary_table = [] {
    using Fn = UnaryFn;
    return std::array{FLASHODE_UNARY_FUNCTIONS(FLASHODE_ROW)};
}();
inline constexpr auto binary_table = [] {
    using Fn = BinaryFn;
    return std::array{FLASHODE_BINARY_FUNCTIONS(FLASHODE_ROW)};
}();
#undef FLASHODE_ROW

inline constexpr int max_unary_constants = 3;

constexpr std::string_view name_of(UnaryFn fn) { return unary_table[static_cast<std::size_t>(fn)].name; }
constexpr std::string_view name_of(BinaryFn fn) { return binary_table[static_cast<std::size_t>(fn)].name; }
constexpr int constants_of(UnaryFn fn) { return unary_table[static_cast<std::size_t>(fn)].constants; }

template <class Fn, std::size_t Count>
constexpr std::optional<Fn> from_name(const std::array<FunctionInfo<Fn>, Count>& table,
                                      std::string_view name) {
    for (const FunctionInfo<Fn>& row : table) {
        if (row.name == name) return row.fn;
    }
    return std::nullopt;
}
constexpr std::optional<UnaryFn> unary_from_name(std::string_view name) {
    return from_name(unary_table, name);
}
constexpr std::optional<BinaryFn> binary_from_name(std::string_view name) {
    return from_name(binary_table, name);
}

}  // namespace flashode::program
