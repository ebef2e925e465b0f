#ifndef UNISIM_SMALL_PRODUCT_H_
#define UNISIM_SMALL_PRODUCT_H_

#include <cstdint>

/**
 * Matrix product C = A B + bias for few rows, with B packed into panels of PANEL_BYTES columns so that the
 * inner loop reads it in order. The registers of the instruction set hold a tile of ROWS rows and one panel.
 * Static throughout, see Levels.h.
 */
namespace UniSimPlugin {
namespace {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64, ROWS = 12; // 24 of 32 registers accumulate
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32, ROWS = 3; // 12 of 16
#else
constexpr int VECTOR_BYTES = 16, ROWS = 1;
#endif
constexpr int PANEL_BYTES = 128;

template <typename T>
struct Lanes {
    typedef T Vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T)), may_alias));
    static constexpr int WIDTH = VECTOR_BYTES / sizeof(T);
    static constexpr int PANEL = PANEL_BYTES / sizeof(T);
    static constexpr int COUNT = PANEL_BYTES / VECTOR_BYTES;
};

/** A matrix that is read element by element, so that it may be a transposed one. */
template <typename T>
struct Left {
    const T* values;
    int64_t rowStride, innerStride;

    Left from(int64_t row) const {
        return {values + row * rowStride, rowStride, innerStride};
    }
};

/** `count` rows of A times one panel; columns beyond `columns` are computed but not stored. */
template <typename T, int COUNT>
inline void tile(
        Left<T> a, const T* panel, const T* bias, int64_t inner, T* c, int64_t strideC, int64_t columns) {
    using L = Lanes<T>;
    using Vector = typename L::Vector;
    Vector sum[COUNT][L::COUNT];
    const int64_t stored = columns < L::PANEL ? columns : L::PANEL;
    T start[L::PANEL] = {};
    for (int64_t n = 0; n < stored && bias != nullptr; n++)
        start[n] = bias[n];
    for (int row = 0; row < COUNT; row++)
        for (int v = 0; v < L::COUNT; v++)
            sum[row][v] = *reinterpret_cast<const Vector*>(start + v * L::WIDTH);
    const T* next = panel + inner * L::PANEL; // the next panel, which comes from a farther cache
    for (int64_t k = 0; k < inner; k++) {
        for (int line = 0; line < PANEL_BYTES; line += 64)
            __builtin_prefetch(reinterpret_cast<const char*>(next + k * L::PANEL) + line, 0, 2);
        Vector b[L::COUNT];
        for (int v = 0; v < L::COUNT; v++)
            b[v] = *reinterpret_cast<const Vector*>(panel + k * L::PANEL + v * L::WIDTH);
        for (int row = 0; row < COUNT; row++)
            for (int v = 0; v < L::COUNT; v++)
                sum[row][v] += a.values[row * a.rowStride + k * a.innerStride] * b[v];
    }
    for (int row = 0; row < COUNT; row++) {
        if (stored == L::PANEL) {
            for (int v = 0; v < L::COUNT; v++)
                *reinterpret_cast<Vector*>(c + row * strideC + v * L::WIDTH) = sum[row][v];
            continue;
        }
        T last[L::PANEL];
        for (int v = 0; v < L::COUNT; v++)
            *reinterpret_cast<Vector*>(last + v * L::WIDTH) = sum[row][v];
        for (int64_t n = 0; n < stored; n++)
            c[row * strideC + n] = last[n];
    }
}

/** `tile` for a number of rows known at run time, at most COUNT. */
template <typename T, int COUNT>
inline void tileOf(int64_t rows, Left<T> a, const T* panel, const T* bias, int64_t inner, T* c,
        int64_t strideC, int64_t columns) {
    if constexpr (COUNT > 0) {
        if (rows == COUNT)
            tile<T, COUNT>(a, panel, bias, inner, c, strideC, columns);
        else
            tileOf<T, COUNT - 1>(rows, a, panel, bias, inner, c, strideC, columns);
    }
}

/**
 * C (rows x columns) = A (rows x inner) B + bias; `panels` holds B as [columns / PANEL][inner][PANEL], its
 * last panel padded with zeros; bias may be null.
 */
template <typename T>
inline void product(Left<T> a, const T* panels, const T* bias, int64_t rows, int64_t inner, int64_t columns,
        T* c, int64_t strideC) {
    constexpr int64_t PANEL = Lanes<T>::PANEL;
    int64_t blocks = (rows + ROWS - 1) / ROWS;
    for (int64_t first = 0; first < columns; first += PANEL) {
        const T* panel = panels + first * inner;
        for (int64_t block = 0; block < blocks; block++) {
            int64_t begin = rows * block / blocks, end = rows * (block + 1) / blocks;
            tileOf<T, ROWS>(end - begin, a.from(begin), panel, bias == nullptr ? nullptr : bias + first,
                    inner, c + begin * strideC + first, strideC, columns - first);
        }
    }
}

/** C = A^T B with A stored as inner x rows. */
template <typename T>
inline void transposedProduct(
        const T* a, const T* panels, int64_t rows, int64_t inner, int64_t columns, T* c, int64_t strideC) {
    product<T>(Left<T>{a, 1, rows}, panels, nullptr, rows, inner, columns, c, strideC);
}

/** `product` of a matrix whose rows are contiguous and `strideA` apart. */
template <typename T>
inline void product(const T* a, int64_t strideA, const T* panels, const T* bias, int64_t rows, int64_t inner,
        int64_t columns, T* c, int64_t strideC) {
    product<T>(Left<T>{a, strideA, 1}, panels, bias, rows, inner, columns, c, strideC);
}

} // namespace
} // namespace UniSimPlugin

#endif // UNISIM_SMALL_PRODUCT_H_
