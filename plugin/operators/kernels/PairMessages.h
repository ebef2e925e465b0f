#ifndef UNISIM_PAIR_MESSAGES_H_
#define UNISIM_PAIR_MESSAGES_H_

#include "Attend.h"
#include "Dense.h"

/**
 * Messages of one attention layer, pair by pair, both ways (openmm_unisim/model/attention.py defines them,
 * with the envelope on the vector messages):
 *
 *   symbol     meaning                                                        name
 *   f          SiLU(W e_ij + b), the same from either end                     filter
 *   z_h        sum over head h of q_i k_j f_k                                 score
 *   a_h        SiLU(z_h) C                                                    weight
 *   y_i        sum_j v_0 f_0 a                                                y
 *   Y_i        sum_j C (V_j v_1 f_1 + sum_w (+-u^w) v_(1+w) f_(1+w))          big
 *
 * Scores of a chunk of pairs are made first, so that their SiLUs fill vectors. Sizes are template arguments
 * where they are the usual ones, 0 otherwise.
 */
namespace UniSimPlugin {
namespace {

template <typename T>
inline void activateRows(T* values, int64_t count) {
#pragma omp simd
    for (int64_t c = 0; c < count; c++)
        values[c] = silu(values[c]);
}

/** Neighbouring channels as one value: a register of them, or a single one where they don't fill registers.
 */
template <typename V, typename T>
inline V load(const T* from) {
    return *reinterpret_cast<const V*>(from);
}
template <typename V, typename T>
inline void store(V value, T* to) {
    *reinterpret_cast<V*>(to) = value;
}
template <typename V, typename T>
inline void addTo(T* to, V value) {
    store<V>(load<V>(to) + value, to);
}
template <typename V, typename T>
constexpr int64_t STEP = sizeof(V) / sizeof(T);

/** Sum over the lanes. */
template <typename T, typename V>
inline T across(V value) {
    T lanes[STEP<V, T>];
    store<V>(value, lanes);
    return total(lanes, STEP<V, T>);
}

/** z_h = sum over the channels of head h of x y f. */
template <typename T, typename V, int H, int HEADS>
inline void headSums(
        const T* x, const T* y, const T* filter, int64_t hidden_, int64_t heads_, T* terms, T* sums) {
    const int64_t hidden = H > 0 ? H : hidden_, heads = HEADS > 0 ? HEADS : heads_, size = hidden / heads;
#pragma GCC unroll 4
    for (int64_t c = 0; c < hidden; c += STEP<V, T>)
        store<V>(load<V>(x + c) * load<V>(y + c) * load<V>(filter + c), terms + c);
    for (int64_t head = 0; head < heads; head++)
        sums[head] = total(terms + head * size, size);
}

/** One number for each head to all channels of the head. */
template <typename T, int H, int HEADS>
inline void overChannels(const T* values, int64_t hidden_, int64_t heads_, T* channels) {
    const int64_t hidden = H > 0 ? H : hidden_, heads = HEADS > 0 ? HEADS : heads_, size = hidden / heads;
    for (int64_t head = 0; head < heads; head++)
        fill(channels + head * size, values[head], size);
}

/** Add the message of `node` and `source` to y and Y; arrows are those of the pair, times `sign`. */
template <typename T, typename V, int W, int H>
inline void addPair(int64_t hidden_, const T* node, const T* source, const T* filter, const T* weight,
        const T* arrows, T gate, T sign, T* y, T* big) {
    const int64_t hidden = H > 0 ? H : hidden_;
    const T *value = node + 2 * hidden, *values = filter + hidden;
#pragma GCC unroll 4
    for (int64_t c = 0; c < hidden; c += STEP<V, T>) {
        addTo<V>(y + c, load<V>(value + c) * load<V>(values + c) * load<V>(weight + c));
        V own = load<V>(value + hidden + c) * load<V>(values + hidden + c), along[W];
        for (int w = 0; w < W; w++)
            along[w] = load<V>(value + (2 + w) * hidden + c) * load<V>(values + (2 + w) * hidden + c) * sign;
        for (int d = 0; d < 3; d++) {
            V sum = load<V>(source + d * hidden + c) * own;
            for (int w = 0; w < W; w++)
                sum += along[w] * arrows[d * W + w];
            addTo<V>(big + d * hidden + c, sum * gate);
        }
    }
}

/** Messages of pairs [begin, end) added to y and Y. Scratch: PAIR_CHUNK * (width + 2 heads) + 2 hidden. */
template <typename T, typename V, int W, int H, int HEADS>
void pairMessages(const PairMessages<T>& p, int64_t begin, int64_t end, T* y, T* big, T* scratch) {
    const int64_t hidden = H > 0 ? H : p.hidden, heads = HEADS > 0 ? HEADS : p.heads;
    const int64_t width = (3 + W) * hidden, stride = (4 + W) * hidden;
    T *rows = scratch, *scores = rows + PAIR_CHUNK * width, *weight = scores + PAIR_CHUNK * 2 * heads;
    for (int64_t from = begin; from < end; from += PAIR_CHUNK) {
        int64_t count = end - from < PAIR_CHUNK ? end - from : PAIR_CHUNK;
        product<T>(p.edges + from * p.features, p.features, p.panels, p.bias, count, p.features, width, rows,
                width);
        activateRows(rows, count * width);
        for (int64_t n = 0; n < count; n++) {
            const T *one = p.nodes + p.first[from + n] * stride, *two = p.nodes + p.second[from + n] * stride;
            T* score = scores + n * 2 * heads;
            headSums<T, V, H, HEADS>(one, two + hidden, rows + n * width, hidden, heads, weight, score);
            headSums<T, V, H, HEADS>(
                    two, one + hidden, rows + n * width, hidden, heads, weight, score + heads);
        }
        activateRows(scores, count * 2 * heads);
        for (int64_t n = 0; n < count; n++) {
            int64_t pair = from + n, i = p.first[pair], j = p.second[pair];
            T gate = p.envelope[pair], *score = scores + n * 2 * heads;
            const T *filter = rows + n * width, *arrows = p.arrows + pair * 3 * W;
            for (int64_t head = 0; head < 2 * heads; head++)
                score[head] *= gate;
            overChannels<T, H, HEADS>(score, hidden, heads, weight);
            addPair<T, V, W, H>(hidden, p.nodes + j * stride, p.vectors + j * 3 * hidden, filter, weight,
                    arrows, gate, T(1), y + i * hidden, big + i * 3 * hidden);
            if (i == j)
                continue;
            overChannels<T, H, HEADS>(score + heads, hidden, heads, weight);
            addPair<T, V, W, H>(hidden, p.nodes + i * stride, p.vectors + i * 3 * hidden, filter, weight,
                    arrows, gate, T(-1), y + j * hidden, big + j * 3 * hidden);
        }
    }
}

} // namespace
} // namespace UniSimPlugin

#endif // UNISIM_PAIR_MESSAGES_H_
