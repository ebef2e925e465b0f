#ifndef UNISIM_ATTEND_BACKWARD_H_
#define UNISIM_ATTEND_BACKWARD_H_

#include "Attend.h"

/**
 * First derivatives of Attend.h. For each edge: filters and their slopes, then the attention (d y / d z
 * through the weight), then every channel once. A bar is the derivative of the loss by that quantity.
 *
 *   symbol              meaning                                         name
 *   f, f'               SiLU(filter) and its slope                      filter, slope
 *   zbar_h              d loss / d z_h                                  scoreGradient
 *   Cbar, gbar, ubar    of envelope, gate and arrows                    envelopeGradient, gateGradient,
 * arrowGradient
 */
namespace UniSimPlugin {
namespace {

/** Pointers of one edge. */
template <typename T>
struct EdgeGradient {
    int64_t hidden;
    const T *query, *key, *value, *source, *arrows; // inputs
    const T *filter, *slope;
    const T *y, *big; // gradients of the results
    T *queryGradient, *keyGradient, *valueGradient, *sourceGradient, *filterGradient;
    T *arrowGradient, *weight, *scoreGradient, *terms;
    T envelope, gate;
};

/** Scores and weights again, and the gradient that reaches the scores; returns that of the envelope. */
template <typename T>
inline T scoreBackward(const EdgeGradient<T>& e, int64_t heads, bool) {
    int64_t hidden = e.hidden, size = hidden / heads;
    T *products = e.terms, *messages = e.terms + hidden, envelopeGradient = 0;
#pragma omp simd
    for (int64_t c = 0; c < hidden; c++) {
        products[c] = e.query[c] * e.key[c] * e.filter[c];
        messages[c] = e.y[c] * e.value[c] * e.filter[hidden + c];
    }
    for (int64_t head = 0; head < heads; head++) {
        T slope, attention = siluWithSlope(total(products + head * size, size), slope);
        T reached = total(messages + head * size, size);
        envelopeGradient += reached * attention;
        fill(e.weight + head * size, attention * e.envelope, size);
        fill(e.scoreGradient + head * size, reached * e.envelope * slope, size);
    }
    return envelopeGradient;
}

/** Query, key, the message to y, and the message along the source's own vectors; returns part of gbar. */
template <typename T>
inline T scalarBackward(const EdgeGradient<T>& e) {
    int64_t hidden = e.hidden;
    T gateGradient = 0, gate = e.gate;
#pragma omp simd reduction(+ : gateGradient)
    for (int64_t c = 0; c < hidden; c++) {
        T z = e.scoreGradient[c], q = e.query[c], k = e.key[c], f = e.filter[c];
        e.queryGradient[c] += z * k * f;
        e.keyGradient[c] += z * q * f;
        e.filterGradient[c] = z * q * k * e.slope[c];
        T y = e.y[c] * e.weight[c], f0 = e.filter[hidden + c], v0 = e.value[c];
        e.valueGradient[c] += y * f0;
        e.filterGradient[hidden + c] = y * v0 * e.slope[hidden + c];
        T b0 = e.big[c], b1 = e.big[hidden + c], b2 = e.big[2 * hidden + c];
        T along = b0 * e.source[c] + b1 * e.source[hidden + c] + b2 * e.source[2 * hidden + c];
        T f1 = e.filter[2 * hidden + c], v1 = e.value[hidden + c], own = v1 * f1;
        e.valueGradient[hidden + c] += along * f1 * gate;
        e.filterGradient[2 * hidden + c] = along * v1 * gate * e.slope[2 * hidden + c];
        gateGradient += along * own;
        own *= gate;
        e.sourceGradient[c] += b0 * own;
        e.sourceGradient[hidden + c] += b1 * own;
        e.sourceGradient[2 * hidden + c] += b2 * own;
    }
    return gateGradient;
}

/** The message along edge vector w; returns its part of gbar. */
template <typename T>
inline T arrowBackward(const EdgeGradient<T>& e, int w, int arrowCount) {
    int64_t hidden = e.hidden;
    const T *value = e.value + (2 + w) * hidden, *filter = e.filter + (3 + w) * hidden;
    const T* slope = e.slope + (3 + w) * hidden;
    T *valueGradient = e.valueGradient + (2 + w) * hidden,
      *filterGradient = e.filterGradient + (3 + w) * hidden;
    T u0 = e.arrows[w], u1 = e.arrows[arrowCount + w], u2 = e.arrows[2 * arrowCount + w];
    T s0 = 0, s1 = 0, s2 = 0, gateGradient = 0, gate = e.gate;
#pragma omp simd reduction(+ : s0, s1, s2, gateGradient)
    for (int64_t c = 0; c < hidden; c++) {
        T b0 = e.big[c], b1 = e.big[hidden + c], b2 = e.big[2 * hidden + c];
        T along = b0 * u0 + b1 * u1 + b2 * u2;
        T v = value[c], f = filter[c], both = v * f;
        valueGradient[c] += along * f * gate;
        filterGradient[c] = along * v * gate * slope[c];
        gateGradient += along * both;
        s0 += b0 * both;
        s1 += b1 * both;
        s2 += b2 * both;
    }
    e.arrowGradient[w] = s0 * gate;
    e.arrowGradient[arrowCount + w] = s1 * gate;
    e.arrowGradient[2 * arrowCount + w] = s2 * gate;
    return gateGradient;
}

template <typename T>
void attendBackwardRows(
        const AttendProblem<T>& p, int64_t first, int64_t last, const AttendGradients<T>& g, T* scratch) {
    int64_t hidden = p.hidden, width = p.width(), stride = (2 + p.parts()) * hidden, arrows = p.arrowCount;
    T *weight = scratch, *scoreGradient = weight + hidden, *terms = scoreGradient + hidden;
    T *slope = terms + 2 * hidden, *rows = slope + width;
    for (int64_t i = first; i < last; i++) {
        product<T>(p.edges + i * p.slots * p.features, p.features, p.panels, p.bias, p.slots, p.features,
                width, rows, width);
        for (int64_t k = 0; k < p.slots; k++) {
            int64_t edge = i * p.slots + k, j = p.index[edge];
            T *filter = rows + k * width, *filterGradient = g.filters + ((i - first) * p.slots + k) * width;
            if (!p.mask[edge]) {
                fill(filterGradient, T(0), width);
                fill(g.arrows + edge * 3 * arrows, T(0), 3 * arrows);
                g.envelope[edge] = 0;
                continue;
            }
#pragma omp simd
            for (int64_t c = 0; c < width; c++)
                filter[c] = siluWithSlope(filter[c], slope[c]);
            const T* node = p.nodes + j * stride;
            T* nodeGradient = g.nodes + j * stride;
            EdgeGradient<T> e{hidden, p.nodes + i * stride, node + hidden, node + 2 * hidden,
                    p.vectors + j * 3 * hidden, p.arrows + edge * 3 * arrows, filter, slope,
                    g.scalars + i * hidden, g.vectors + i * 3 * hidden, g.nodes + i * stride,
                    nodeGradient + hidden, nodeGradient + 2 * hidden, g.ownVectors + j * 3 * hidden,
                    filterGradient, g.arrows + edge * 3 * arrows, weight, scoreGradient, terms,
                    p.envelope[edge], p.vectorEnvelope ? p.envelope[edge] : T(1)};
            T envelopeGradient = scoreBackward(e, p.heads, true), gateGradient = scalarBackward(e);
            for (int w = 0; w < arrows; w++)
                gateGradient += arrowBackward(e, w, int(arrows));
            g.envelope[edge] = envelopeGradient + (p.vectorEnvelope ? gateGradient : T(0));
        }
    }
}

} // namespace
} // namespace UniSimPlugin

#endif // UNISIM_ATTEND_BACKWARD_H_
