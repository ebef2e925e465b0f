#ifndef UNISIM_LAYER_H_
#define UNISIM_LAYER_H_

#include "Attend.h"

/**
 * What surrounds the messages of a layer, and the gated head, row by row (openmm_unisim/model/attention.py
 * and heads.py define them):
 *
 *   symbol            meaning                                           name
 *   LN(x)             (x - mean) / sqrt(variance + epsilon) w + b       normaliseRows
 *   dx                s o2 + o3, s = sum_xyz V1 V2                      update
 *   dV                V3 o1 + Y                                         update
 *   n_i               sum_j w_ij (W phi_ij + b) x_j                     neighbourSum
 *   n(V)              gamma V / (std_channels |V| + 1e-5)               normaliseVectors
 *   V'                c Vb                                              carry
 */
namespace UniSimPlugin {
namespace {

template <typename T>
void normaliseRows(
        const T* x, const T* weight, const T* bias, T epsilon, int64_t rows, int64_t width, T* result) {
    for (int64_t row = 0; row < rows; row++, x += width, result += width) {
        T mean = total(x, width) / T(width), variance = 0;
#pragma omp simd reduction(+ : variance)
        for (int64_t c = 0; c < width; c++)
            variance += (x[c] - mean) * (x[c] - mean);
        T factor = T(1) / T(__builtin_sqrt(variance / T(width) + epsilon));
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
            result[c] = (x[c] - mean) * factor * weight[c] + bias[c];
    }
}

/** Residual update; `mixed` holds V1, V2, V3 of each component, `gates` o1, o2, o3. */
template <typename T>
void update(const T* mixed, const T* gates, const T* messages, int64_t rows, int64_t hidden, T* scalars,
        T* vectors) {
    for (int64_t row = 0; row < rows; row++) {
        const T *gate = gates + row * 3 * hidden, *mix = mixed + row * 9 * hidden;
        const T* message = messages + row * 3 * hidden;
        T *x = scalars + row * hidden, *v = vectors + row * 3 * hidden;
#pragma omp simd
        for (int64_t c = 0; c < hidden; c++) {
            T product = 0;
            for (int d = 0; d < 3; d++) {
                product += mix[3 * d * hidden + c] * mix[(3 * d + 1) * hidden + c];
                v[d * hidden + c] += mix[(3 * d + 2) * hidden + c] * gate[c] + message[d * hidden + c];
            }
            x[c] += product * gate[hidden + c] + gate[2 * hidden + c];
        }
    }
}

/** Edges of no weight are skipped. */
template <typename T>
void neighbourSum(const T* edges, const T* panels, const T* bias, const int64_t* index, const T* weights,
        const T* values, int64_t rows, int64_t slots, int64_t features, int64_t width, T* result,
        T* scratch) {
    for (int64_t i = 0; i < rows; i++, result += width) {
        product<T>(
                edges + i * slots * features, features, panels, bias, slots, features, width, scratch, width);
        fill(result, T(0), width);
        for (int64_t k = 0; k < slots; k++) {
            const T weight = weights[i * slots + k], *filter = scratch + k * width;
            if (weight == T(0))
                continue;
            const T* source = values + index[i * slots + k] * width;
#pragma omp simd
            for (int64_t c = 0; c < width; c++)
                result[c] += weight * filter[c] * source[c];
        }
    }
}

/** Vectors over the spread of their lengths. */
template <typename T>
void normaliseVectors(const T* vectors, T scale, int64_t rows, int64_t hidden, T* lengths, T* result) {
    for (int64_t row = 0; row < rows; row++) {
        const T* v = vectors + row * 3 * hidden;
#pragma omp simd
        for (int64_t c = 0; c < hidden; c++)
            lengths[c] = T(__builtin_sqrt(
                    v[c] * v[c] + v[hidden + c] * v[hidden + c] + v[2 * hidden + c] * v[2 * hidden + c]));
        T mean = total(lengths, hidden) / T(hidden), squared = 0;
#pragma omp simd reduction(+ : squared)
        for (int64_t c = 0; c < hidden; c++)
            squared += (lengths[c] - mean) * (lengths[c] - mean);
        T factor = scale / (T(__builtin_sqrt(squared / T(hidden - 1))) + T(1e-5));
        for (int64_t c = 0; c < 3 * hidden; c++)
            result[row * 3 * hidden + c] = v[c] * factor;
    }
}

/** Rows [x; |Va|] that the head's first linear layer reads; `mixed` holds Va and Vb of each component. */
template <typename T>
void measure(const T* scalars, const T* mixed, int64_t rows, int64_t hidden, int64_t outputs, T* result) {
    int64_t stride = hidden + outputs;
    for (int64_t row = 0; row < rows; row++) {
        const T* v = mixed + row * 3 * stride;
        T* to = result + row * 2 * hidden;
#pragma omp simd
        for (int64_t c = 0; c < hidden; c++) {
            to[c] = scalars[row * hidden + c];
            to[hidden + c] = T(__builtin_sqrt(
                    v[c] * v[c] + v[stride + c] * v[stride + c] + v[2 * stride + c] * v[2 * stride + c]));
        }
    }
}

/** Vectors that the head gives, (rows, 3, outputs): Vb of `mixed` times the gates c at the end of its MLP's
 * rows. */
template <typename T>
void carry(const T* mixed, const T* gated, int64_t rows, int64_t hidden, int64_t outputs, T* result) {
    int64_t stride = hidden + outputs;
    for (int64_t row = 0; row < rows; row++) {
        const T* gate = gated + row * stride + hidden;
        for (int d = 0; d < 3; d++, result += outputs) {
            const T* v = mixed + (3 * row + d) * stride + hidden;
#pragma omp simd
            for (int64_t c = 0; c < outputs; c++)
                result[c] = v[c] * gate[c];
        }
    }
}

} // namespace
} // namespace UniSimPlugin

#endif // UNISIM_LAYER_H_
