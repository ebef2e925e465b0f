#ifndef UNISIM_PAIR_SUM_H_
#define UNISIM_PAIR_SUM_H_

#include "Dense.h"

/**
 * n_i = sum_{j != i} (W e_ij + b) C_ij * x_j over pairs, both ways, with derivatives: the sum in
 * AtomEmbedding, x being rows of the neighbours' elements.
 */
namespace UniSimPlugin {
namespace {

template <typename T>
void pairSum(const PairSum<T>& p, int64_t pair, int64_t pairEnd, T* result, T* scratch) {
    int64_t hidden = p.hidden;
    for (int64_t from = pair; from < pairEnd; from += PAIR_CHUNK) {
        int64_t count = pairEnd - from < PAIR_CHUNK ? pairEnd - from : PAIR_CHUNK;
        product<T>(p.edges + from * p.features, p.features, p.panels, p.bias, count, p.features, hidden,
                scratch, hidden);
        for (int64_t n = 0; n < count; n++) {
            int64_t i = p.first[from + n], j = p.second[from + n];
            if (i == j)
                continue;
            const T *filter = scratch + n * hidden, *one = p.rows + i * hidden, *two = p.rows + j * hidden;
            T *toOne = result + i * hidden, *toTwo = result + j * hidden, envelope = p.envelope[from + n];
#pragma omp simd
            for (int64_t c = 0; c < hidden; c++) {
                T weighted = filter[c] * envelope;
                toOne[c] += weighted * two[c];
                toTwo[c] += weighted * one[c];
            }
        }
    }
}

template <typename T>
void pairSumBackward(
        const PairSum<T>& p, const PairSumGradients<T>& g, int64_t pair, int64_t pairEnd, T* scratch) {
    int64_t hidden = p.hidden;
    T *filters = scratch, *gradients = filters + PAIR_CHUNK * hidden, *rest = gradients + PAIR_CHUNK * hidden;
    for (int64_t from = pair; from < pairEnd; from += PAIR_CHUNK) {
        int64_t count = pairEnd - from < PAIR_CHUNK ? pairEnd - from : PAIR_CHUNK;
        const T* edges = p.edges + from * p.features;
        product<T>(edges, p.features, p.panels, p.bias, count, p.features, hidden, filters, hidden);
        for (int64_t n = 0; n < count; n++) {
            int64_t i = p.first[from + n] * hidden, j = p.second[from + n] * hidden;
            const T *filter = filters + n * hidden, *one = p.rows + i, *two = p.rows + j;
            const T *byOne = g.result + i, *byTwo = g.result + j;
            T *gradient = gradients + n * hidden, *toOne = g.rows + i, *toTwo = g.rows + j;
            T envelope = i == j ? T(0) : p.envelope[from + n], sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t c = 0; c < hidden; c++) {
                T both = byOne[c] * two[c] + byTwo[c] * one[c], weighted = filter[c] * envelope;
                gradient[c] = both * envelope;
                sum += both * filter[c];
                toOne[c] += byTwo[c] * weighted;
                toTwo[c] += byOne[c] * weighted;
            }
            g.envelope[from + n] = i == j ? T(0) : sum;
        }
        product<T>(gradients, hidden, p.transposed, nullptr, count, hidden, p.features,
                g.edges + from * p.features, p.features);
        addOuter(gradients, edges, hidden, p.features, count, g.weight, rest);
        addColumns(gradients, count, hidden, g.bias);
    }
}

} // namespace
} // namespace UniSimPlugin

#endif // UNISIM_PAIR_SUM_H_
