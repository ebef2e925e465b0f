#ifndef UNISIM_ATTEND_BACKWARD_BLOCK_H_
#define UNISIM_ATTEND_BACKWARD_BLOCK_H_

#include "AttendBlock.h"

/**
 * First derivatives of AttendBlock.h for filters linear in edge features (kernels/AttendBackward.h has the
 * symbols). The gradients of a source's key, value and vectors are added atomically, in any order; rows of
 * filter gradients, of as many destinations as the caller asks for at once, first hold the filters
 * themselves.
 */
namespace UniSimPlugin {

/** Filters of the tile, and the products that the heads sum: q k f_k and ybar v_0 f_0. */
template <int W, typename T, class Block>
UNISIM_DEVICE void multiplyBoth(const Block& block, const AttendProblem<T>& p, const AttendGradients<T>& g,
        T* filters, Shared<T>& s) {
    const int64_t hidden = p.hidden, stride = (4 + W) * hidden, width = (3 + W) * hidden,
                  i = block.destination();
    for (int64_t c = block.thread(); c < hidden; c += block.threads()) {
        T f[TILE][3 + W];
        LinearRows<T>::template rows<3 + W>(p, s, c, 0, f);
        const T query = p.nodes[i * stride + c], y = g.scalars[i * hidden + c];
        UNISIM_UNROLL
        for (int t = 0; t < TILE; t++) {
            if (s.source[t] < 0)
                continue;
            const T* node = p.nodes + s.source[t] * stride + hidden + c;
            s.products[t * hidden + c] = query * node[0] * siluOf(f[t][0]);
            s.messages[t * hidden + c] = y * node[hidden] * siluOf(f[t][1]);
            UNISIM_UNROLL
            for (int r = 0; r < 3 + W; r++)
                filters[t * width + r * hidden + c] = f[t][r];
        }
    }
}

/** Weights again, what reaches the scores, and the heads' parts of the envelope's gradient. */
template <typename T, class Block>
UNISIM_DEVICE void weighBackward(const Block& block, const AttendProblem<T>& p, Shared<T>& s) {
    const int64_t size = p.hidden / p.heads;
    for (int64_t n = block.thread(); n < TILE * p.heads; n += block.threads()) {
        const int64_t t = n / p.heads;
        if (s.source[t] < 0)
            continue;
        T slope, attention = siluAndSlope(totalFrom(s.products + n * size, size, n % size), slope);
        const T reached = totalFrom(s.messages + n * size, size, n % size);
        s.score[n] = attention * s.envelope[t];
        s.scoreGradient[n] = reached * s.envelope[t] * slope;
        s.envelopeTerms[n] = reached * attention;
    }
}

/** Derivatives of channel c of edge t; adds to the sums over channels. */
template <int W, typename T, class Block>
UNISIM_DEVICE void channelBackward(const Block& block, const AttendProblem<T>& p, const AttendGradients<T>& g,
        const Shared<T>& s, T* filters, int t, int64_t c, T (&sums)[3 * W + 1]) {
    const int64_t hidden = p.hidden, stride = (4 + W) * hidden, i = block.destination(), j = s.source[t];
    const int64_t head = t * p.heads + c / (hidden / p.heads);
    const T *node = p.nodes + j * stride + hidden + c, *vector = p.vectors + 3 * j * hidden + c;
    T* nodeGradient = g.nodes + j * stride + hidden + c;
    const T query = p.nodes[i * stride + c], score = s.scoreGradient[head], gate = s.gate[t];
    const T y = g.scalars[i * hidden + c] * s.score[head];
    T big[3], slope, filter = siluAndSlope(filters[c], slope);
    g.nodes[i * stride + c] += score * node[0] * filter; // only this block has this query
    block.add(nodeGradient, score * query * filter);
    filters[c] = score * query * node[0] * slope;

    filter = siluAndSlope(filters[hidden + c], slope);
    block.add(nodeGradient + hidden, y * filter);
    filters[hidden + c] = y * node[hidden] * slope;

    T along = 0;
    UNISIM_UNROLL
    for (int d = 0; d < 3; d++) {
        big[d] = g.vectors[(3 * i + d) * hidden + c];
        along += big[d] * vector[d * hidden];
    }
    filter = siluAndSlope(filters[2 * hidden + c], slope);
    const T own = node[2 * hidden] * filter;
    block.add(nodeGradient + 2 * hidden, along * filter * gate);
    filters[2 * hidden + c] = along * node[2 * hidden] * gate * slope;
    sums[3 * W] += along * own;
    UNISIM_UNROLL
    for (int d = 0; d < 3; d++)
        block.add(g.ownVectors + (3 * j + d) * hidden + c, big[d] * own * gate);

    UNISIM_UNROLL
    for (int w = 0; w < W; w++) {
        const T value = node[(3 + w) * hidden];
        T* to = filters + (3 + w) * hidden + c;
        filter = siluAndSlope(*to, slope);
        along = 0;
        UNISIM_UNROLL
        for (int d = 0; d < 3; d++) {
            along += big[d] * s.arrows[(3 * t + d) * W + w];
            sums[d * W + w] += big[d] * value * filter;
        }
        block.add(nodeGradient + (3 + w) * hidden, along * filter * gate);
        *to = along * value * gate * slope;
        sums[3 * W] += along * value * filter;
    }
}

/** Zero for a padded slot of the tile; `filters` is its row. */
template <typename T, class Block>
UNISIM_DEVICE void clearSlot(const Block& block, const AttendProblem<T>& p, const AttendGradients<T>& g,
        int64_t edge, T* filters) {
    for (int64_t n = block.thread(); n < p.width(); n += block.threads())
        filters[n] = T(0);
    for (int64_t n = block.thread(); n < 3 * p.arrowCount; n += block.threads())
        g.arrows[edge * 3 * p.arrowCount + n] = T(0);
    if (block.thread() == 0)
        g.envelope[edge] = T(0);
}

/** Arrows' and envelopes' gradients of the tile, from the sums that the warps left. */
template <int W, typename T, class Block>
UNISIM_DEVICE void finishSums(const Block& block, const AttendProblem<T>& p, const AttendGradients<T>& g,
        int64_t edge, const Shared<T>& s) {
    constexpr int COUNT = 3 * W + 1;
    for (int64_t n = block.thread(); n < TILE * COUNT; n += block.threads()) {
        const int64_t t = n / COUNT, q = n % COUNT;
        if (s.source[t] < 0)
            continue;
        T sum = 0;
        for (int64_t warp = 0; warp < block.warps(); warp++)
            sum += s.sums[(t * block.warps() + warp) * COUNT + q];
        if (q < 3 * W) {
            g.arrows[(edge + t) * 3 * W + q] = sum * s.gate[t];
            continue;
        }
        T envelope = p.vectorEnvelope ? sum : T(0);
        for (int64_t head = 0; head < p.heads; head++)
            envelope += s.envelopeTerms[t * p.heads + head];
        g.envelope[edge + t] = envelope;
    }
}

/** All derivatives that the block's destination has a part in; `filters` are its rows of `g.filters`. */
template <int W, typename T, class Block>
UNISIM_DEVICE void attendBackwardDestination(const Block& block, const AttendProblem<T>& p,
        int64_t destinations, const AttendGradients<T>& g, T* filters, Shared<T> s) {
    const int64_t width = p.width();
    for (int64_t first = 0; first < p.slots; first += TILE) {
        const int64_t edge = block.destination() * p.slots + first;
        T* rows = filters + first * width;
        block.sync(); // the tile before has been read
        loadTile<LinearRows<T>>(block, p, destinations, first, s);
        block.sync();
        multiplyBoth<W>(block, p, g, rows, s);
        block.sync();
        weighBackward(block, p, s);
        block.sync();
        for (int t = 0; t < TILE && first + t < p.slots; t++) {
            if (s.source[t] < 0) {
                clearSlot(block, p, g, edge + t, rows + t * width);
                continue;
            }
            T sums[3 * W + 1] = {};
            for (int64_t c = block.thread(); c < p.hidden; c += block.threads())
                channelBackward<W>(block, p, g, s, rows + t * width, t, c, sums);
            UNISIM_UNROLL
            for (int q = 0; q < 3 * W + 1; q++) {
                const T sum = block.warpSum(sums[q]);
                if (block.leadsWarp())
                    s.sums[(t * block.warps() + block.warp()) * (3 * W + 1) + q] = sum;
            }
        }
        block.sync();
        finishSums<W>(block, p, g, edge, s);
    }
}

} // namespace UniSimPlugin

#endif // UNISIM_ATTEND_BACKWARD_BLOCK_H_
