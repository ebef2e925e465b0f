#ifndef UNISIM_PAIR_MESSAGES_BACKWARD_H_
#define UNISIM_PAIR_MESSAGES_BACKWARD_H_

#include "PairMessages.h"

/**
 * First derivatives of PairMessages.h. Filters and scores of a chunk are made again; a bar is the derivative
 * of the loss by that quantity.
 *
 *   symbol      meaning                                                     name
 *   SiLU'       slope of a filter, of a score                               slope
 *   zbar_h      (sum over head h of ybar v_0 f_0) C SiLU'(z_h)              scoreGradient
 *   fbar        of both ways, times the filter's slope                      filterGradient
 */
namespace UniSimPlugin {
namespace {

template <typename T>
inline void activateWithSlope(T* values, T* slopes, int64_t count) {
#pragma omp simd
    for (int64_t c = 0; c < count; c++)
        values[c] = siluWithSlope(values[c], slopes[c]);
}

/** One way of a pair: from its source to its destination. */
template <typename T>
struct Way {
    const T *query, *node, *source, *filter; // of the destination; of the source
    const T *y, *big;                        // gradients at the destination
    const T *weight, *scoreGradient;         // of each channel
    T *queryGradient, *nodeGradient, *sourceGradient;
};

/**
 * Adds to all gradients of one way; sets `filterGradient` if FRESH and adds otherwise. Returns the gradient
 * of the gate of the vector messages; along[d][w] gets that of the arrows, without gate and sign.
 */
template <typename T, int W, int H, bool FRESH>
inline T wayBackward(int64_t hidden_, const Way<T>& e, const T* arrows, T gate, T sign, T* filterGradient,
        T (&along)[3][W]) {
    const int64_t hidden = H > 0 ? H : hidden_;
    const T *query = e.query, *key = e.node + hidden, *value = e.node + 2 * hidden, *source = e.source;
    const T *filter = e.filter, *y = e.y, *big = e.big, *weight = e.weight, *score = e.scoreGradient;
    T *queryGradient = e.queryGradient, *keyGradient = e.nodeGradient + hidden;
    T *valueGradient = e.nodeGradient + 2 * hidden, *sourceGradient = e.sourceGradient;
    T u[3][W], gateGradient = 0;
    for (int d = 0; d < 3; d++)
        for (int w = 0; w < W; w++)
            u[d][w] = arrows[d * W + w] * sign;
#pragma omp simd reduction(+ : gateGradient)
    for (int64_t c = 0; c < hidden; c++) {
        T z = score[c], q = query[c], k = key[c], f = filter[c], zq = z * q;
        queryGradient[c] += z * k * f;
        keyGradient[c] += zq * f;
        T yw = y[c] * weight[c], f0 = filter[hidden + c], v0 = value[c];
        valueGradient[c] += yw * f0;
        T b0 = big[c], b1 = big[hidden + c], b2 = big[2 * hidden + c];
        T dot = b0 * source[c] + b1 * source[hidden + c] + b2 * source[2 * hidden + c];
        T f1 = filter[2 * hidden + c], v1 = value[hidden + c], both = v1 * f1;
        valueGradient[hidden + c] += dot * f1 * gate;
        gateGradient += dot * both;
        both *= gate;
        sourceGradient[c] += b0 * both;
        sourceGradient[hidden + c] += b1 * both;
        sourceGradient[2 * hidden + c] += b2 * both;
        filterGradient[c] = zq * k + (FRESH ? T(0) : filterGradient[c]);
        filterGradient[hidden + c] = yw * v0 + (FRESH ? T(0) : filterGradient[hidden + c]);
        filterGradient[2 * hidden + c] = dot * v1 * gate + (FRESH ? T(0) : filterGradient[2 * hidden + c]);
    }
    for (int w = 0; w < W; w++) {
        T s0 = 0, s1 = 0, s2 = 0, u0 = u[0][w], u1 = u[1][w], u2 = u[2][w];
        const T *v = value + (2 + w) * hidden, *f = filter + (3 + w) * hidden;
        T *vGradient = valueGradient + (2 + w) * hidden, *fGradient = filterGradient + (3 + w) * hidden;
#pragma omp simd reduction(+ : s0, s1, s2)
        for (int64_t c = 0; c < hidden; c++) {
            T b0 = big[c], b1 = big[hidden + c], b2 = big[2 * hidden + c], both = v[c] * f[c];
            T dot = (b0 * u0 + b1 * u1 + b2 * u2) * gate;
            vGradient[c] += dot * f[c];
            fGradient[c] = dot * v[c] + (FRESH ? T(0) : fGradient[c]);
            s0 += b0 * both;
            s1 += b1 * both;
            s2 += b2 * both;
        }
        gateGradient += s0 * u0 + s1 * u1 + s2 * u2;
        along[0][w] = s0;
        along[1][w] = s1;
        along[2][w] = s2;
    }
    return gateGradient;
}

/** What the chunk's pairs need: filters and slopes, scores, what reaches the scores, and gradients. */
template <typename T>
struct BackwardScratch {
    T *filters, *slopes, *gradients, *scores, *scoreSlopes, *reached, *weight, *scoreGradient, *outer;

    BackwardScratch(T* scratch, int64_t width, int64_t heads, int64_t hidden) {
        filters = scratch;
        slopes = filters + PAIR_CHUNK * width;
        gradients = slopes + PAIR_CHUNK * width;
        scores = gradients + PAIR_CHUNK * width;
        scoreSlopes = scores + PAIR_CHUNK * 2 * heads;
        reached = scoreSlopes + PAIR_CHUNK * 2 * heads;
        weight = reached + PAIR_CHUNK * 2 * heads;
        scoreGradient = weight + hidden;
        outer = scoreGradient + hidden;
    }
};

/** Scores of both ways, and the gradients that reach their SiLUs. */
template <typename T, int W, int H, int HEADS>
inline void scoresBackward(const PairMessages<T>& p, const T* yGradient, int64_t from, int64_t count,
        const BackwardScratch<T>& s) {
    const int64_t hidden = H > 0 ? H : p.hidden, heads = HEADS > 0 ? HEADS : p.heads;
    const int64_t width = (3 + W) * hidden, stride = (4 + W) * hidden;
    for (int64_t n = 0; n < count; n++) {
        int64_t i = p.first[from + n], j = p.second[from + n];
        const T *one = p.nodes + i * stride, *two = p.nodes + j * stride, *filter = s.filters + n * width;
        T *score = s.scores + n * 2 * heads, *reached = s.reached + n * 2 * heads;
        headSums<T, H, HEADS>(one, two + hidden, filter, hidden, heads, s.weight, score);
        headSums<T, H, HEADS>(two, one + hidden, filter, hidden, heads, s.weight, score + heads);
        headSums<T, H, HEADS>(
                yGradient + i * hidden, two + 2 * hidden, filter + hidden, hidden, heads, s.weight, reached);
        headSums<T, H, HEADS>(yGradient + j * hidden, one + 2 * hidden, filter + hidden, hidden, heads,
                s.weight, reached + heads);
    }
    activateWithSlope(s.scores, s.scoreSlopes, count * 2 * heads);
}

/** Derivatives of one pair but for the slopes of the filters. */
template <typename T, int W, int H, int HEADS>
inline void pairBackward(const PairMessages<T>& p, const PairMessageGradients<T>& g, int64_t pair, int64_t n,
        const BackwardScratch<T>& s) {
    const int64_t hidden = H > 0 ? H : p.hidden, heads = HEADS > 0 ? HEADS : p.heads;
    const int64_t width = (3 + W) * hidden, stride = (4 + W) * hidden;
    int64_t i = p.first[pair], j = p.second[pair];
    T gate = p.envelope[pair], envelopeGradient = 0, along[3][W];
    T *score = s.scores + n * 2 * heads, *slope = s.scoreSlopes + n * 2 * heads,
      *reached = s.reached + n * 2 * heads;
    const T* arrows = p.arrows + pair * 3 * W;
    T *gradient = s.gradients + n * width, *arrowGradient = g.arrows + pair * 3 * W;
    for (int64_t way = 0; way < (i == j ? 1 : 2); way++) {
        for (int64_t head = way * heads; head < (way + 1) * heads; head++) {
            envelopeGradient += reached[head] * score[head];
            slope[head] *= reached[head] * gate;
            score[head] *= gate;
        }
        overChannels<T, H, HEADS>(score + way * heads, hidden, heads, s.weight);
        overChannels<T, H, HEADS>(slope + way * heads, hidden, heads, s.scoreGradient);
        int64_t to = way == 0 ? i : j, from = way == 0 ? j : i;
        Way<T> e{p.nodes + to * stride, p.nodes + from * stride, p.vectors + from * 3 * hidden,
                s.filters + n * width, g.scalars + to * hidden, g.vectors + to * 3 * hidden, s.weight,
                s.scoreGradient, g.nodes + to * stride, g.nodes + from * stride,
                g.ownVectors + from * 3 * hidden};
        if (way == 0)
            envelopeGradient += wayBackward<T, W, H, true>(hidden, e, arrows, gate, T(1), gradient, along);
        else
            envelopeGradient += wayBackward<T, W, H, false>(hidden, e, arrows, gate, T(-1), gradient, along);
        for (int d = 0; d < 3; d++)
            for (int w = 0; w < W; w++)
                arrowGradient[d * W + w] =
                        way == 0 ? along[d][w] * gate : arrowGradient[d * W + w] - along[d][w] * gate;
    }
    g.envelope[pair] = envelopeGradient;
}

template <typename T, int W, int H, int HEADS>
void pairMessagesBackward(
        const PairMessages<T>& p, const PairMessageGradients<T>& g, int64_t begin, int64_t end, T* scratch) {
    const int64_t hidden = H > 0 ? H : p.hidden, width = (3 + W) * hidden;
    BackwardScratch<T> s(scratch, width, p.heads, hidden);
    for (int64_t from = begin; from < end; from += PAIR_CHUNK) {
        int64_t count = end - from < PAIR_CHUNK ? end - from : PAIR_CHUNK;
        const T* edges = p.edges + from * p.features;
        product<T>(edges, p.features, p.panels, p.bias, count, p.features, width, s.filters, width);
        activateWithSlope(s.filters, s.slopes, count * width);
        scoresBackward<T, W, H, HEADS>(p, g.scalars, from, count, s);
        for (int64_t n = 0; n < count; n++)
            pairBackward<T, W, H, HEADS>(p, g, from + n, n, s);
#pragma omp simd
        for (int64_t c = 0; c < count * width; c++)
            s.gradients[c] *= s.slopes[c];
        product<T>(s.gradients, width, p.transposed, nullptr, count, width, p.features,
                g.edges + from * p.features, p.features);
        addOuter(s.gradients, edges, width, p.features, count, g.weight, s.outer);
        addColumns(s.gradients, count, width, g.bias);
    }
}

} // namespace
} // namespace UniSimPlugin

#endif // UNISIM_PAIR_MESSAGES_BACKWARD_H_
