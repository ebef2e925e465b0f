#ifndef UNISIM_EXPANSION_H_
#define UNISIM_EXPANSION_H_

#include "Elementary.h"
#include "Levels.h"

/**
 * The element's expansion in the atom embedding (openmm_unisim/model/embedding.py defines it):
 *
 *   symbol            meaning                                           name
 *   w_i               softmax of logits                                 weights
 *   e_i               sum_c w_ic T[z_i, c]                              result
 */
namespace UniSimPlugin {
namespace {

/** logits <- softmax(logits), row by row; a NaN makes its row NaN. */
template <typename T>
inline void softmax(T* logits, int64_t count) {
    T highest = logits[0], sum = 0;
    for (int64_t c = 1; c < count; c++)
        highest = logits[c] > highest ? logits[c] : highest;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < count; c++) {
        logits[c] = exponential(logits[c] - highest);
        sum += logits[c];
    }
    T factor = T(1) / sum;
#pragma omp simd
    for (int64_t c = 0; c < count; c++)
        logits[c] *= factor;
}

/** Rows of `result` lie `stride` apart; `table` is (elements, count, width); logits are used up. */
template <typename T>
void expandRows(T* logits, const T* table, const int64_t* kinds, int64_t rows, int64_t count, int64_t width,
        T* result, int64_t stride) {
    for (int64_t row = 0; row < rows; row++, logits += count, result += stride) {
        softmax(logits, count);
        for (int64_t n = 0; n < width; n++)
            result[n] = T(0);
        const T* from = table + kinds[row] * count * width;
        for (int64_t c = 0; c < count; c++, from += width) {
            T weight = logits[c];
#pragma omp simd
            for (int64_t n = 0; n < width; n++)
                result[n] += weight * from[n];
        }
    }
}

} // namespace
} // namespace UniSimPlugin

#endif // UNISIM_EXPANSION_H_
