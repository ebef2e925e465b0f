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

/** Sums over channels that a pair's gate and arrows get, lane by lane; arrows without the gate. */
template <typename V, int W>
struct LaneSums {
    V gate{}, arrows[3][W]{};
};

/** Adds to all gradients of one way; sets `filterGradient` if FRESH and adds otherwise. */
template <typename T, typename V, int W, int H, bool FRESH>
inline void wayBackward(int64_t hidden_, const Way<T>& e, const T* arrows, T gate, T sign, T* filterGradient,
        LaneSums<V, W>& sums) {
    const int64_t hidden = H > 0 ? H : hidden_;
    const T *key = e.node + hidden, *value = e.node + 2 * hidden;
    T *keyGradient = e.nodeGradient + hidden, *valueGradient = e.nodeGradient + 2 * hidden;
    auto filterGets = [&](int64_t at, V gradient) {
        store<V>(FRESH ? gradient : load<V>(filterGradient + at) + gradient, filterGradient + at);
    };
#pragma GCC unroll 4
    for (int64_t c = 0; c < hidden; c += STEP<V, T>) {
        V z = load<V>(e.scoreGradient + c), q = load<V>(e.query + c), k = load<V>(key + c);
        V f = load<V>(e.filter + c), zq = z * q;
        addTo<V>(e.queryGradient + c, z * k * f);
        addTo<V>(keyGradient + c, zq * f);
        filterGets(c, zq * k);
        V y = load<V>(e.y + c) * load<V>(e.weight + c);
        addTo<V>(valueGradient + c, y * load<V>(e.filter + hidden + c));
        filterGets(hidden + c, y * load<V>(value + c));
        V big[3], dot{};
        for (int d = 0; d < 3; d++) {
            big[d] = load<V>(e.big + d * hidden + c);
            dot += big[d] * load<V>(e.source + d * hidden + c);
        }
        V v = load<V>(value + hidden + c), both;
        f = load<V>(e.filter + 2 * hidden + c);
        both = v * f;
        sums.gate += dot * both;
        dot *= gate;
        both *= gate;
        addTo<V>(valueGradient + hidden + c, dot * f);
        filterGets(2 * hidden + c, dot * v);
        for (int d = 0; d < 3; d++)
            addTo<V>(e.sourceGradient + d * hidden + c, big[d] * both);
        for (int w = 0; w < W; w++) {
            v = load<V>(value + (2 + w) * hidden + c);
            f = load<V>(e.filter + (3 + w) * hidden + c);
            both = v * f * sign;
            dot = (big[0] * arrows[w] + big[1] * arrows[W + w] + big[2] * arrows[2 * W + w]) * (gate * sign);
            addTo<V>(valueGradient + (2 + w) * hidden + c, dot * f);
            filterGets((3 + w) * hidden + c, dot * v);
            for (int d = 0; d < 3; d++)
                sums.arrows[d][w] += big[d] * both;
        }
    }
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
template <typename T, typename V, int W, int H, int HEADS>
inline void scoresBackward(const PairMessages<T>& p, const T* yGradient, int64_t from, int64_t count,
        const BackwardScratch<T>& s) {
    const int64_t hidden = H > 0 ? H : p.hidden, heads = HEADS > 0 ? HEADS : p.heads;
    const int64_t width = (3 + W) * hidden, stride = (4 + W) * hidden;
    for (int64_t n = 0; n < count; n++) {
        int64_t i = p.first[from + n], j = p.second[from + n];
        const T *one = p.nodes + i * stride, *two = p.nodes + j * stride, *filter = s.filters + n * width;
        T *score = s.scores + n * 2 * heads, *reached = s.reached + n * 2 * heads;
        headSums<T, V, H, HEADS>(one, two + hidden, filter, hidden, heads, s.weight, score);
        headSums<T, V, H, HEADS>(two, one + hidden, filter, hidden, heads, s.weight, score + heads);
        headSums<T, V, H, HEADS>(
                yGradient + i * hidden, two + 2 * hidden, filter + hidden, hidden, heads, s.weight, reached);
        headSums<T, V, H, HEADS>(yGradient + j * hidden, one + 2 * hidden, filter + hidden, hidden, heads,
                s.weight, reached + heads);
    }
    activateWithSlope(s.scores, s.scoreSlopes, count * 2 * heads);
}

/** Derivatives of one pair but for the slopes of the filters. */
template <typename T, typename V, int W, int H, int HEADS>
inline void pairBackward(const PairMessages<T>& p, const PairMessageGradients<T>& g, int64_t pair, int64_t n,
        const BackwardScratch<T>& s) {
    const int64_t hidden = H > 0 ? H : p.hidden, heads = HEADS > 0 ? HEADS : p.heads;
    const int64_t width = (3 + W) * hidden, stride = (4 + W) * hidden;
    int64_t i = p.first[pair], j = p.second[pair];
    T gate = p.envelope[pair], envelopeGradient = 0;
    T *score = s.scores + n * 2 * heads, *slope = s.scoreSlopes + n * 2 * heads,
      *reached = s.reached + n * 2 * heads;
    const T *arrows = p.arrows + pair * 3 * W, *filter = s.filters + n * width;
    T *gradient = s.gradients + n * width, *arrowGradient = g.arrows + pair * 3 * W;
    LaneSums<V, W> sums;
    for (int64_t way = 0; way < (i == j ? 1 : 2); way++) {
        for (int64_t head = way * heads; head < (way + 1) * heads; head++) {
            envelopeGradient += reached[head] * score[head];
            slope[head] *= reached[head] * gate;
            score[head] *= gate;
        }
        overChannels<T, H, HEADS>(score + way * heads, hidden, heads, s.weight);
        overChannels<T, H, HEADS>(slope + way * heads, hidden, heads, s.scoreGradient);
        int64_t to = way == 0 ? i : j, from = way == 0 ? j : i;
        Way<T> e{p.nodes + to * stride, p.nodes + from * stride, p.vectors + from * 3 * hidden, filter,
                g.scalars + to * hidden, g.vectors + to * 3 * hidden, s.weight, s.scoreGradient,
                g.nodes + to * stride, g.nodes + from * stride, g.ownVectors + from * 3 * hidden};
        if (way == 0)
            wayBackward<T, V, W, H, true>(hidden, e, arrows, gate, T(1), gradient, sums);
        else
            wayBackward<T, V, W, H, false>(hidden, e, arrows, gate, T(-1), gradient, sums);
    }
    envelopeGradient += across<T>(sums.gate);
    for (int k = 0; k < 3 * W; k++) {
        T sum = across<T>(sums.arrows[k / W][k % W]);
        envelopeGradient += sum * arrows[k];
        arrowGradient[k] = sum * gate;
    }
    g.envelope[pair] = envelopeGradient;
}

template <typename T, typename V, int W, int H, int HEADS>
void pairMessagesBackward(
        const PairMessages<T>& p, const PairMessageGradients<T>& g, int64_t begin, int64_t end, T* scratch) {
    const int64_t hidden = H > 0 ? H : p.hidden, width = (3 + W) * hidden;
    BackwardScratch<T> s(scratch, width, p.heads, hidden);
    for (int64_t from = begin; from < end; from += PAIR_CHUNK) {
        int64_t count = end - from < PAIR_CHUNK ? end - from : PAIR_CHUNK;
        const T* edges = p.edges + from * p.features;
        product<T>(edges, p.features, p.panels, p.bias, count, p.features, width, s.filters, width);
        activateWithSlope(s.filters, s.slopes, count * width);
        scoresBackward<T, V, W, H, HEADS>(p, g.scalars, from, count, s);
        for (int64_t n = 0; n < count; n++)
            pairBackward<T, V, W, H, HEADS>(p, g, from + n, n, s);
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
