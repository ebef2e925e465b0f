#ifndef UNISIM_ATTEND_BLOCK_H_
#define UNISIM_ATTEND_BLOCK_H_

#include "Levels.h"
#include <cmath>

/**
 * Messages of one attention layer on a GPU: one block of threads for each destination, channels across the
 * threads, TILE edges at a time (kernels/Attend.h has the equations and their names). What a thread keeps is
 * a few numbers an edge of the tile; what the block shares is a few rows of channels.
 *
 * `Block` says which thread this is and how threads wait for each other. nvcc compiles this file for the
 * device (Attend.cu); tests/plugin/attend_on_host.cpp compiles it for the host, with threads of the host as a
 * block's.
 *
 * In AttendProblem, `panels` is here one panel of all columns: [features][width].
 */
#if defined(__CUDACC__)
#define UNISIM_DEVICE __device__ __forceinline__
#define UNISIM_BOTH __host__ __device__ inline
#define UNISIM_UNROLL _Pragma("unroll")
#else
#define UNISIM_DEVICE inline
#define UNISIM_BOTH inline
#define UNISIM_UNROLL
#endif

namespace UniSimPlugin {

constexpr int TILE = 8; // edges for which a weight is read once

template <typename T>
UNISIM_DEVICE T siluOf(T x) {
    return x / (T(1) + std::exp(-x));
}

template <typename T>
UNISIM_DEVICE T siluAndSlope(T x, T& slope) {
    T s = T(1) / (T(1) + std::exp(-x));
    slope = s * (T(1) + x * (T(1) - s));
    return x * s;
}

/** What the threads of a block share, cut from one piece of memory. */
template <typename T>
struct Shared {
    int64_t* source; // TILE; -1 for a padded slot
    T *envelope, *gate, *arrows, *filters, *score, *products, *y, *big;
    T *scoreGradient, *envelopeTerms, *messages, *sums; // backward only
};

/** Cuts `memory`, if it isn't null, and returns how many bytes are needed. */
template <typename T>
UNISIM_BOTH int64_t share(
        const AttendProblem<T>& p, bool backward, int64_t warps, char* memory, Shared<T>& s) {
    const int64_t perEdge = p.table.count > 0 ? 5 : p.features;
    char* next = memory + TILE * sizeof(int64_t);
    auto cut = [&next](int64_t count) {
        T* piece = reinterpret_cast<T*>(next);
        next += count * sizeof(T);
        return piece;
    };
    s.source = reinterpret_cast<int64_t*>(memory);
    s.envelope = cut(TILE);
    s.gate = cut(TILE);
    s.arrows = cut(TILE * 3 * p.arrowCount);
    s.filters = cut(TILE * perEdge);
    s.score = cut(TILE * p.heads);
    s.products = cut(TILE * p.hidden);
    s.y = cut(backward ? 0 : p.hidden);
    s.big = cut(backward ? 0 : 3 * p.hidden);
    s.scoreGradient = cut(backward ? TILE * p.heads : 0);
    s.envelopeTerms = cut(backward ? TILE * p.heads : 0);
    s.messages = cut(backward ? TILE * p.hidden : 0);
    s.sums = cut(backward ? TILE * warps * (3 * p.arrowCount + 1) : 0);
    return next - memory;
}

/** Filters that are linear in edge features. */
template <typename T>
struct LinearRows {
    static constexpr bool ACTIVATED = false;

    template <class Block>
    static UNISIM_DEVICE void load(
            const Block& block, const AttendProblem<T>& p, int64_t edge, int64_t count, Shared<T>& s) {
        for (int64_t n = block.thread(); n < TILE * p.features; n += block.threads())
            s.filters[n] = n < count * p.features ? p.edges[edge * p.features + n] : T(0);
    }

    /** Rows first .. first + ROWS - 1 of the filters of channel c, for all edges of the tile. */
    template <int ROWS>
    static UNISIM_DEVICE void rows(
            const AttendProblem<T>& p, const Shared<T>& s, int64_t c, int first, T (&f)[TILE][ROWS]) {
        const int64_t width = p.width(), column = first * p.hidden + c;
        UNISIM_UNROLL
        for (int r = 0; r < ROWS; r++) {
            const T bias = p.bias[column + r * p.hidden];
            UNISIM_UNROLL
            for (int t = 0; t < TILE; t++)
                f[t][r] = bias;
        }
        for (int64_t k = 0; k < p.features; k++) {
            UNISIM_UNROLL
            for (int r = 0; r < ROWS; r++) {
                const T weight = p.panels[k * width + column + r * p.hidden];
                UNISIM_UNROLL
                for (int t = 0; t < TILE; t++)
                    f[t][r] += s.filters[t * p.features + k] * weight;
            }
        }
    }
};

template <typename T>
UNISIM_DEVICE T knotOf(const T* knots, int64_t at) {
    return knots[at];
}

/** A bfloat16 is the upper half of a float. */
UNISIM_DEVICE float knotOf(const Half* knots, int64_t at) {
    union {
        uint32_t bits;
        float value;
    } wide;
    wide.bits = uint32_t(knots[at]) << 16;
    return wide.value;
}

/** Filters that are tabulated functions of the distance, after their SiLU. */
template <typename T, typename Knot>
struct RadialRows {
    static constexpr bool ACTIVATED = true;

    static UNISIM_DEVICE const Knot* knots(const AttendProblem<T>& p) {
        if constexpr (sizeof(Knot) == sizeof(Half))
            return p.table.halfKnots;
        else
            return p.table.knots;
    }

    /** For each edge the knot before it and the four weights of the Hermite spline. */
    template <class Block>
    static UNISIM_DEVICE void load(
            const Block& block, const AttendProblem<T>& p, int64_t edge, int64_t count, Shared<T>& s) {
        for (int64_t t = block.thread(); t < TILE; t += block.threads()) {
            const T r = t < count ? p.distance[edge + t] : T(0), last = T(p.table.count - 1);
            T place = (T(1) - std::exp(-p.table.decay * r) + p.table.slope * r) / p.table.spacing;
            place = place > last ? last : place;
            int64_t knot = place > T(0) ? int64_t(place) : 0; // 0 for NaN, which stays in x
            knot = knot > p.table.count - 2 ? p.table.count - 2 : knot;
            const T x = place - T(knot), rest = T(1) - x;
            T* to = s.filters + 5 * t;
            to[0] = T(knot); // exact: tables have at most 8192 knots
            to[1] = (T(1) + 2 * x) * rest * rest;
            to[2] = x * rest * rest;
            to[3] = x * x * (T(3) - 2 * x);
            to[4] = -x * x * rest;
        }
    }

    template <int ROWS>
    static UNISIM_DEVICE void rows(
            const AttendProblem<T>& p, const Shared<T>& s, int64_t c, int first, T (&f)[TILE][ROWS]) {
        const int64_t width = p.width();
        UNISIM_UNROLL
        for (int t = 0; t < TILE; t++) {
            const T* w = s.filters + 5 * t;
            const Knot* a = knots(p) + int64_t(w[0]) * 2 * width + first * p.hidden + c;
            UNISIM_UNROLL
            for (int r = 0; r < ROWS; r++) {
                const Knot* row = a + r * p.hidden;
                f[t][r] = w[1] * T(knotOf(row, 0)) + w[2] * T(knotOf(row, width)) +
                          w[3] * T(knotOf(row, 2 * width)) + w[4] * T(knotOf(row, 3 * width));
            }
        }
    }
};

template <class Rows, typename T>
UNISIM_DEVICE T activated(T filter) {
    if constexpr (Rows::ACTIVATED)
        return filter;
    else
        return siluOf(filter);
}

/** Sum over a head's channels; each thread starts elsewhere, so that they read different banks. */
template <typename T>
UNISIM_DEVICE T totalFrom(const T* values, int64_t count, int64_t start) {
    T sum = 0;
    for (int64_t n = 0; n < count; n++) {
        const int64_t k = start + n < count ? start + n : start + n - count;
        sum += values[k];
    }
    return sum;
}

/** Sources, envelopes, gated arrows and what filters need, of the tile that begins at slot `first`. */
template <class Rows, typename T, class Block>
UNISIM_DEVICE void loadTile(
        const Block& block, const AttendProblem<T>& p, int64_t destinations, int64_t first, Shared<T>& s) {
    const int64_t edge = block.destination() * p.slots + first;
    const int64_t count = p.slots - first < TILE ? p.slots - first : TILE, components = 3 * p.arrowCount;
    for (int64_t t = block.thread(); t < TILE; t += block.threads()) {
        const bool real = t < count && p.mask[edge + t];
        const T envelope = real ? p.envelope[edge + t] : T(0);
        s.source[t] = real ? p.index[edge + t] : -1;
        s.envelope[t] = envelope;
        s.gate[t] = p.vectorEnvelope ? envelope : T(1);
        block.require(!real || (s.source[t] >= 0 && s.source[t] < destinations));
    }
    for (int64_t n = block.thread(); n < count * components; n += block.threads())
        s.arrows[n] = p.arrows[edge * components + n];
    Rows::load(block, p, edge, count, s);
}

/** q k SiLU(f_k) of each channel. */
template <class Rows, typename T, class Block>
UNISIM_DEVICE void multiplyScores(const Block& block, const AttendProblem<T>& p, Shared<T>& s) {
    const int64_t hidden = p.hidden, stride = (2 + p.parts()) * hidden;
    for (int64_t c = block.thread(); c < hidden; c += block.threads()) {
        T f[TILE][1];
        Rows::template rows<1>(p, s, c, 0, f);
        const T query = p.nodes[block.destination() * stride + c];
        UNISIM_UNROLL
        for (int t = 0; t < TILE; t++)
            if (s.source[t] >= 0)
                s.products[t * hidden + c] =
                        query * p.nodes[s.source[t] * stride + hidden + c] * activated<Rows>(f[t][0]);
    }
}

/** a_h = SiLU(z_h) C of each edge and head. */
template <typename T, class Block>
UNISIM_DEVICE void weighHeads(const Block& block, const AttendProblem<T>& p, Shared<T>& s) {
    const int64_t size = p.hidden / p.heads;
    for (int64_t n = block.thread(); n < TILE * p.heads; n += block.threads()) {
        const int64_t t = n / p.heads;
        if (s.source[t] >= 0)
            s.score[n] = siluOf(totalFrom(s.products + n * size, size, n % size)) * s.envelope[t];
    }
}

/** Adds the tile's messages to y and Y of each channel. */
template <class Rows, int W, typename T, class Block>
UNISIM_DEVICE void addMessages(const Block& block, const AttendProblem<T>& p, Shared<T>& s) {
    const int64_t hidden = p.hidden, stride = (4 + W) * hidden, size = hidden / p.heads;
    for (int64_t c = block.thread(); c < hidden; c += block.threads()) {
        T f[TILE][2 + W], y = 0, x[3] = {0, 0, 0};
        Rows::template rows<2 + W>(p, s, c, 1, f);
        UNISIM_UNROLL
        for (int t = 0; t < TILE; t++) {
            if (s.source[t] < 0)
                continue;
            const T* value = p.nodes + s.source[t] * stride + 2 * hidden + c;
            const T* vector = p.vectors + s.source[t] * 3 * hidden + c;
            const T gate = s.gate[t], own = value[hidden] * activated<Rows>(f[t][1]) * gate;
            y += value[0] * activated<Rows>(f[t][0]) * s.score[t * p.heads + c / size];
            UNISIM_UNROLL
            for (int d = 0; d < 3; d++)
                x[d] += vector[d * hidden] * own;
            UNISIM_UNROLL
            for (int w = 0; w < W; w++) {
                const T along = value[(2 + w) * hidden] * activated<Rows>(f[t][2 + w]) * gate;
                UNISIM_UNROLL
                for (int d = 0; d < 3; d++)
                    x[d] += s.arrows[(3 * t + d) * W + w] * along;
            }
        }
        s.y[c] += y;
        UNISIM_UNROLL
        for (int d = 0; d < 3; d++)
            s.big[d * hidden + c] += x[d];
    }
}

/** y and Y of the block's destination. */
template <class Rows, int W, typename T, class Block>
UNISIM_DEVICE void attendDestination(const Block& block, const AttendProblem<T>& p, int64_t destinations,
        Shared<T> s, T* scalars, T* vectors) {
    const int64_t hidden = p.hidden, i = block.destination();
    for (int64_t c = block.thread(); c < hidden; c += block.threads()) // a channel has one thread throughout
        s.y[c] = s.big[c] = s.big[hidden + c] = s.big[2 * hidden + c] = T(0);
    for (int64_t first = 0; first < p.slots; first += TILE) {
        block.sync(); // the tile before has been read
        loadTile<Rows>(block, p, destinations, first, s);
        block.sync();
        multiplyScores<Rows>(block, p, s);
        block.sync();
        weighHeads(block, p, s);
        block.sync();
        addMessages<Rows, W>(block, p, s);
    }
    for (int64_t c = block.thread(); c < hidden; c += block.threads()) {
        scalars[i * hidden + c] = s.y[c];
        for (int d = 0; d < 3; d++)
            vectors[(3 * i + d) * hidden + c] = s.big[d * hidden + c];
    }
}

} // namespace UniSimPlugin

#endif // UNISIM_ATTEND_BLOCK_H_
