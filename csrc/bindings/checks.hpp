// Checks of arguments. What memory an address leads to only the caller knows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>

#include "cpu/engine.hpp"

namespace flashode::bindings {

// Of a contiguous tensor that the caller keeps alive; 0 for none.
using Address = std::uintptr_t;

template <class T>
T* pointer(Address address) {
    return reinterpret_cast<T*>(address);  // NOLINT(performance-no-int-to-ptr): what torch's data_ptr() gives
}

// Bytes of the largest block of memory that a request may mean: no machine has more.
inline constexpr std::int64_t MAX_BYTES = std::int64_t{1} << 47;

// The parts of the message are put together only where it is needed: these checks are made at every solve.
template <class... Parts>
void require(bool holds, const Parts&... message) {
    if (holds) return;
    std::ostringstream text;
    (text << ... << message);
    throw std::invalid_argument(text.str());
}

inline void require_address(const char* name, Address address) {
    require(address != 0, name, " has no address");
}

// Of something that there is only `needed` for.
inline void require_address_if(bool needed, const char* name, Address address) {
    if (needed) require_address(name, address);
}

// So many items of so many bytes.
inline void require_count(const char* name, std::int64_t count, std::int64_t least, std::int64_t item_bytes) {
    const std::int64_t most = MAX_BYTES / std::max<std::int64_t>(item_bytes, 1);
    require(count >= least && count <= most, name, " is ", count, ", not within ", least, " and ", most);
}

// Whether numbers have four bytes, not eight.
inline bool is_single(const std::string& precision) {
    require(precision == "float32" || precision == "float64", "precision is '", precision,
            "', not 'float32' or 'float64'");
    return precision == "float32";
}

inline void require_threads(int threads) {
    require(threads >= 1 && threads <= cpu::MAX_THREADS, "threads is ", threads, ", not within 1 and ",
            cpu::MAX_THREADS);
}

}  // namespace flashode::bindings
