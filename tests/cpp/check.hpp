// The smallest test harness that reports where and what: CHECK counts failures, finish() is main's exit
// status.
#pragma once

#include <cmath>
#include <cstdio>

namespace flashode::testing {

inline int failures = 0;
inline int checks = 0;

inline bool report(bool passed, const char* file, int line, const char* what) {
    ++checks;
    if (!passed) {
        ++failures;
        std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    }
    return passed;
}

// The same number: NaN is NaN, and a zero has its sign.
template <class Real>
bool same(Real a, Real b) {
    return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

inline int finish() {
    std::printf("%d checks, %d failures\n", checks, failures);
    return failures == 0 && checks > 0 ? 0 : 1;
}

}  // namespace flashode::testing

// CHECK(condition) is an expression: `CHECK(ok) || explain();`
#define CHECK(...) \
    ::flashode::testing::report(static_cast<bool>(__VA_ARGS__), __FILE__, __LINE__, #__VA_ARGS__)
