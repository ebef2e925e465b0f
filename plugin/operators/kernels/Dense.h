#ifndef UNISIM_DENSE_H_
#define UNISIM_DENSE_H_

#include "PairLevels.h"
#include "SmallProduct.h"

/** Matrices of linear layers: packing, and the derivative by a weight. */
namespace UniSimPlugin {
namespace {

template <typename T>
void pack(const T* b, int64_t inner, int64_t columns, int64_t strideInner, int64_t strideColumn, T* panels) {
    constexpr int64_t PANEL = Lanes<T>::PANEL;
    for (int64_t first = 0; first < columns; first += PANEL, panels += inner * PANEL) {
        int64_t count = columns - first < PANEL ? columns - first : PANEL;
        for (int64_t k = 0; k < inner; k++) {
            const T* from = b + k * strideInner + first * strideColumn;
            T* to = panels + k * PANEL;
            for (int64_t n = 0; n < count; n++)
                to[n] = from[n * strideColumn];
            for (int64_t n = count; n < PANEL; n++)
                to[n] = T(0);
        }
    }
}

template <typename T>
inline void add(const T* from, int64_t count, T* to) {
#pragma omp simd
    for (int64_t n = 0; n < count; n++)
        to[n] += from[n];
}

/** to[c] += sum over rows of from[row][c] */
template <typename T>
inline void addColumns(const T* from, int64_t rows, int64_t columns, T* to) {
    for (int64_t row = 0; row < rows; row++)
        add(from + row * columns, columns, to);
}

/** In parts of OUTER_CHUNK rows, which stay in the first-level caches. */
template <typename T>
void addOuter(const T* a, const T* b, int64_t rows, int64_t columns, int64_t inner, T* c, T* scratch) {
    T *part = scratch, *panels = scratch + rows * columns;
    for (int64_t k = 0; k < inner; k += OUTER_CHUNK) {
        int64_t count = inner - k < OUTER_CHUNK ? inner - k : OUTER_CHUNK;
        pack(b + k * columns, count, columns, columns, int64_t(1), panels);
        transposedProduct(a + k * rows, panels, rows, count, columns, part, columns);
        add(part, rows * columns, c);
    }
}

} // namespace
} // namespace UniSimPlugin

#endif // UNISIM_DENSE_H_
