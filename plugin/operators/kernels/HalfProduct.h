#ifndef UNISIM_HALF_PRODUCT_H_
#define UNISIM_HALF_PRODUCT_H_

#include "Levels.h"
#include "SmallProduct.h"
#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

/**
 * C = A B + bias with A and B rounded to bfloat16 and sums in float. B comes in panels of PANEL columns as
 * [columns / PANEL][inner / 2][PANEL][2], so that pairs of the inner index lie side by side, as the
 * instruction for it wants them; other processors widen the same numbers. Static throughout, see Levels.h.
 */
namespace UniSimPlugin {
namespace {

constexpr int HALF_PANEL = 32, HALF_ROWS = 12;

/** Nearest bfloat16, ties to even; NaN stays NaN. */
inline Half toHalf(float x) {
    uint32_t bits = __builtin_bit_cast(uint32_t, x);
    uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    return Half((bits & 0x7FFFFFFFu) > 0x7F800000u ? (bits >> 16) | 0x40u : rounded);
}

inline float fromHalf(Half x) {
    return __builtin_bit_cast(float, uint32_t(x) << 16);
}

/** Rows of A, an odd last column padded with zero. */
inline void roundRows(const float* a, int64_t strideA, int64_t rows, int64_t inner, Half* result) {
    int64_t padded = inner + inner % 2;
    for (int64_t row = 0; row < rows; row++) {
        Half* to = result + row * padded;
        to[padded - 1] = 0;
#pragma omp simd
        for (int64_t k = 0; k < inner; k++)
            to[k] = toHalf(a[row * strideA + k]);
    }
}

/** `COUNT` rows times one panel into `sum`, COUNT x PANEL, which holds the bias. */
template <int COUNT>
inline void halfTile(const Half* a, const Half* panel, int64_t pairs, float* sum) {
#if defined(__AVX512BF16__)
    __m512 left[COUNT], right[COUNT];
    for (int row = 0; row < COUNT; row++) {
        left[row] = _mm512_loadu_ps(sum + row * HALF_PANEL);
        right[row] = _mm512_loadu_ps(sum + row * HALF_PANEL + 16);
    }
    const char* next = reinterpret_cast<const char*>(panel + pairs * 2 * HALF_PANEL);
    for (int64_t k = 0; k < pairs; k++) {
        const Half* b = panel + k * 2 * HALF_PANEL;
        __builtin_prefetch(next + k * 128, 0, 2);
        __builtin_prefetch(next + k * 128 + 64, 0, 2);
        __m512bh b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + HALF_PANEL);
        for (int row = 0; row < COUNT; row++) {
            int32_t both;
            __builtin_memcpy(&both, a + (row * pairs + k) * 2, sizeof(both));
            __m512bh own = (__m512bh)_mm512_set1_epi32(both);
            left[row] = _mm512_dpbf16_ps(left[row], own, b0);
            right[row] = _mm512_dpbf16_ps(right[row], own, b1);
        }
    }
    for (int row = 0; row < COUNT; row++) {
        _mm512_storeu_ps(sum + row * HALF_PANEL, left[row]);
        _mm512_storeu_ps(sum + row * HALF_PANEL + 16, right[row]);
    }
#else
    for (int64_t k = 0; k < pairs; k++) {
        const Half* b = panel + k * 2 * HALF_PANEL;
        for (int row = 0; row < COUNT; row++) {
            float first = fromHalf(a[(row * pairs + k) * 2]), second = fromHalf(a[(row * pairs + k) * 2 + 1]);
            float* to = sum + row * HALF_PANEL;
#pragma omp simd
            for (int n = 0; n < HALF_PANEL; n++)
                to[n] += first * fromHalf(b[2 * n]) + second * fromHalf(b[2 * n + 1]);
        }
    }
#endif
}

template <int COUNT>
inline void halfTileOf(int64_t rows, const Half* a, const Half* panel, int64_t pairs, float* sum) {
    if constexpr (COUNT > 0) {
        if (rows == COUNT)
            halfTile<COUNT>(a, panel, pairs, sum);
        else
            halfTileOf<COUNT - 1>(rows, a, panel, pairs, sum);
    }
}

inline void halfProduct(const float* a, int64_t strideA, const Half* panels, const float* bias, int64_t rows,
        int64_t inner, int64_t columns, float* c, int64_t strideC, Half* scratch) {
    const int64_t pairs = (inner + 1) / 2, blocks = (rows + HALF_ROWS - 1) / HALF_ROWS;
    roundRows(a, strideA, rows, inner, scratch);
    for (int64_t first = 0; first < columns; first += HALF_PANEL, panels += pairs * 2 * HALF_PANEL) {
        const int64_t stored = columns - first < HALF_PANEL ? columns - first : HALF_PANEL;
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t begin = rows * block / blocks, end = rows * (block + 1) / blocks;
            float sum[HALF_ROWS * HALF_PANEL] = {};
            for (int64_t row = 0; bias != nullptr && row < end - begin; row++)
                for (int64_t n = 0; n < stored; n++)
                    sum[row * HALF_PANEL + n] = bias[first + n];
            halfTileOf<HALF_ROWS>(end - begin, scratch + begin * pairs * 2, panels, pairs, sum);
            for (int64_t row = begin; row < end; row++)
                for (int64_t n = 0; n < stored; n++)
                    c[row * strideC + first + n] = sum[(row - begin) * HALF_PANEL + n];
        }
    }
}

} // namespace
} // namespace UniSimPlugin

#endif // UNISIM_HALF_PRODUCT_H_
