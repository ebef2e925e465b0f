#ifndef UNISIM_ELEMENTARY_H_
#define UNISIM_ELEMENTARY_H_

#include <cstdint>

/**
 * Elementary functions that compilers vectorise: no calls, no branches, no tables. Everything here is static,
 * since the including file is compiled once for each instruction set (see Levels.h).
 *
 *   symbol          meaning                                            name
 *   e^x             2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2  exponential
 *   SiLU(x)         x / (1 + e^-x)                                     silu
 *   SiLU'(x)        s (1 + x (1 - s)), s = 1 / (1 + e^-x)              siluWithSlope
 *
 * e^r is its Taylor series: to degree 7 in float (the rest is below 6e-9) and 13 in double (5e-18), so that
 * the error is that of rounding, about 2 units in the last place. Large arguments are clamped and stay
 * finite; NaN stays NaN.
 */
namespace UniSimPlugin {
namespace {

template <typename T>
struct Format;

template <>
struct Format<float> {
    using Bits = uint32_t;
    static constexpr float LOWEST = -87.0f, HIGHEST = 88.0f;
    static constexpr float ROUNDER = 12582912.0f; // 1.5 * 2^23: adding it rounds to an integer
    static constexpr Bits ROUNDER_BITS = 0x4B400000u;
    static constexpr int MANTISSA = 23, BIAS = 127, DEGREE = 7;
    static constexpr float LN2_HIGH = 0.693145751953125f, LN2_LOW = 1.42860682030941723e-6f;
};

template <>
struct Format<double> {
    using Bits = uint64_t;
    static constexpr double LOWEST = -708.0, HIGHEST = 709.0;
    static constexpr double ROUNDER = 6755399441055744.0; // 1.5 * 2^52
    static constexpr Bits ROUNDER_BITS = 0x4338000000000000u;
    static constexpr int MANTISSA = 52, BIAS = 1023, DEGREE = 13;
    static constexpr double LN2_HIGH = 6.93147180369123816490e-01, LN2_LOW = 1.90821492927058770002e-10;
};

constexpr double inverseFactorial(int n) {
    return n < 2 ? 1.0 : inverseFactorial(n - 1) / n;
}

template <typename T, int POWER>
inline T taylor(T r, T sum) {
    if constexpr (POWER < 0)
        return sum;
    else
        return taylor<T, POWER - 1>(r, sum * r + T(inverseFactorial(POWER)));
}

template <typename T>
inline T exponential(T x) {
    using F = Format<T>;
    x = x < F::LOWEST ? F::LOWEST : x; // a comparison with NaN is false, so NaN passes
    x = x > F::HIGHEST ? F::HIGHEST : x;
    T shifted = x * T(1.4426950408889634) + F::ROUNDER;
    T n = shifted - F::ROUNDER;
    T r = x - n * F::LN2_HIGH;
    r = r - n * F::LN2_LOW;
    T power = taylor<T, F::DEGREE - 1>(r, T(inverseFactorial(F::DEGREE)));
    using Bits = typename F::Bits;
    Bits exponent = __builtin_bit_cast(Bits, shifted) - F::ROUNDER_BITS + Bits(F::BIAS);
    return power * __builtin_bit_cast(T, Bits(exponent << F::MANTISSA));
}

template <typename T>
inline T silu(T x) {
    return x / (T(1) + exponential(-x));
}

template <typename T>
inline T siluWithSlope(T x, T& slope) {
    T s = T(1) / (T(1) + exponential(-x));
    slope = s * (T(1) + x * (T(1) - s));
    return x * s;
}

} // namespace
} // namespace UniSimPlugin

#endif // UNISIM_ELEMENTARY_H_
