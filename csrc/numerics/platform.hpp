// What differs between a host compiler and nvcc, and the layout of the floating-point formats.
#pragma once

#include <cmath>

// The namespace that keeps code compiled for one instruction set apart from that for another: were two copies
// of one inline function to differ, the linker would keep either. Types without code stay outside it.
#ifndef FLASHODE_ISA
#define FLASHODE_ISA generic
#endif
#include <cstdint>
#include <type_traits>

// FLASHODE_HD: callable from host and device.
// FLASHODE_LANE: the same, for the small functions called inside loops over lanes. A call that the compiler
// leaves out of line keeps it from vectorising the loop, so inlining is not left to its cost model.
#if defined(__CUDACC__)
#define FLASHODE_HD __host__ __device__ inline
#define FLASHODE_LANE __host__ __device__ __forceinline__
#elif defined(__GNUC__)
#define FLASHODE_HD inline
#define FLASHODE_LANE inline __attribute__((always_inline))
#else
#define FLASHODE_HD inline
#define FLASHODE_LANE inline
#endif

// The opposite: a function whose result is rounded before anything is done with it. Within one function gcc
// makes a single fused operation of a product and a sum, as -ffp-contract=fast lets it.
#if defined(__CUDACC__)
#define FLASHODE_NOINLINE __host__ __device__ __noinline__
#elif defined(__GNUC__)
#define FLASHODE_NOINLINE __attribute__((noinline))
#else
#define FLASHODE_NOINLINE
#endif

// In front of a loop over lanes whose arrays may be the same array but do not overlap otherwise.
#if defined(__CUDACC__)
#define FLASHODE_LANE_LOOP
#elif defined(__clang__)
#define FLASHODE_LANE_LOOP _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define FLASHODE_LANE_LOOP _Pragma("GCC ivdep")
#else
#define FLASHODE_LANE_LOOP
#endif

// Silences nvcc where a function that runs on both sides calls whatever it is handed.
#if defined(__CUDACC__)
#define FLASHODE_CALLS_EITHER_SIDE _Pragma("nv_exec_check_disable")
#else
#define FLASHODE_CALLS_EITHER_SIDE
#endif

namespace flashode::numerics {

template <class Real>
struct FloatFormat;

template <>
struct FloatFormat<float> {
    using Bits = std::uint32_t;
    static constexpr int mantissa_bits = 23;
    static constexpr int exponent_bias = 127;
    static constexpr float smallest_normal = 0x1p-126F;
    static constexpr float epsilon = 0x1p-23F;
    static constexpr float largest = 0x1.fffffep127F;
    static constexpr float infinity = __builtin_bit_cast(float, 0x7f800000U);
    static constexpr float nan = __builtin_bit_cast(float, 0x7fc00000U);
};

template <>
struct FloatFormat<double> {
    using Bits = std::uint64_t;
    static constexpr int mantissa_bits = 52;
    static constexpr int exponent_bias = 1023;
    static constexpr double smallest_normal = 0x1p-1022;
    static constexpr double epsilon = 0x1p-52;
    static constexpr double largest = 0x1.fffffffffffffp1023;
    static constexpr double infinity = __builtin_bit_cast(double, 0x7ff0000000000000ULL);
    static constexpr double nan = __builtin_bit_cast(double, 0x7ff8000000000000ULL);
};

template <class Real>
using BitsOf = typename FloatFormat<Real>::Bits;

}  // namespace flashode::numerics

namespace flashode::numerics::inline FLASHODE_ISA {

// std::bit_cast is constexpr but not __device__; the builtin behind it serves both sides.
template <class Real>
FLASHODE_LANE BitsOf<Real> to_bits(Real x) {
    return __builtin_bit_cast(BitsOf<Real>, x);
}

template <class Real>
FLASHODE_LANE Real from_bits(BitsOf<Real> bits) {
    return __builtin_bit_cast(Real, bits);
}

template <class Real>
inline constexpr bool is_float = std::is_same_v<Real, float>;

#if defined(__CUDA_ARCH__) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define FLASHODE_FUSED 1
#else
#define FLASHODE_FUSED 0
#endif

// a * b + c, fused where the machine can: std::fma without the instruction is a call, and leaving the choice
// to -ffp-contract makes results depend on a flag.
template <class Real>
FLASHODE_LANE Real multiply_add(Real a, Real b, Real c) {
#if defined(__CUDA_ARCH__)
    return ::fma(a, b, c);
#elif FLASHODE_FUSED
    if constexpr (is_float<Real>) {
        return __builtin_fmaf(a, b, c);
    } else {
        return __builtin_fma(a, b, c);
    }
#else
    return a * b + c;
#endif
}

// a * b, rounded whatever it is added to. (Not for lanes: on the host it is a call.)
#if defined(__CUDA_ARCH__)
template <class Real>
FLASHODE_LANE Real rounded_product(Real a, Real b) {
    if constexpr (is_float<Real>) {
        return __fmul_rn(a, b);
    } else {
        return __dmul_rn(a, b);
    }
}
#else
template <class Real>
FLASHODE_NOINLINE Real rounded_product(Real a, Real b) {
    return a * b;
}
#endif

}  // namespace flashode::numerics::inline FLASHODE_ISA
