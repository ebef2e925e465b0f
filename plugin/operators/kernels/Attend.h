#ifndef UNISIM_ATTEND_H_
#define UNISIM_ATTEND_H_

#include "Elementary.h"
#include "HalfProduct.h"
#include "Levels.h"
#include "SmallProduct.h"

/**
 * Messages of one attention layer, destination by destination (openmm_unisim/model/attention.py defines
 * them):
 *
 *   symbol              meaning                                        name
 *   z_h                 sum over head h of q k SiLU(f_k)               score
 *   a_h                 SiLU(z_h) C                                    weight
 *   y                   sum_j v_0 SiLU(f_0) a                          y
 *   Y                   sum_j (V_j v_1 SiLU(f_1) + sum_w u^w v_(1+w) SiLU(f_(1+w))) g    big
 *   C, g                envelope; envelope or 1                        envelope, gate
 *
 * Channels are the inner loop; nothing of the size of the edges times the channels is kept but the filters of
 * one destination. Padded slots are skipped.
 */
namespace UniSimPlugin {
namespace {

/** Sum over the channels of a head of a product per channel. */
template <typename T>
inline T total(const T* values, int64_t count) {
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < count; c++)
        sum += values[c];
    return sum;
}

template <typename T>
inline void fill(T* values, T value, int64_t count) {
    for (int64_t c = 0; c < count; c++)
        values[c] = value;
}

/** Filters that are a linear function of edge features, before their SiLU. */
template <typename T>
struct LinearFilters {
    const AttendProblem<T>& p;
    T* rows;

    void begin(int64_t destination) {
        product<T>(p.edges + destination * p.slots * p.features, p.features, p.panels, p.bias, p.slots,
                p.features, p.width(), rows, p.width());
    }
    const T* row(int64_t, int64_t slot) {
        T* values = rows + slot * p.width();
        int64_t width = p.width();
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
            values[c] = silu(values[c]);
        return values;
    }
};

/** The same where (i, j) and (j, i) have equal features: those of a whole block, i <= j, are made at once. */
template <typename T>
struct PairFilters {
    const AttendProblem<T>& p;
    T* rows;

    /** Pairs of the block before those of its atom `own`. */
    int64_t before(int64_t own) const {
        return own * p.block - own * (own - 1) / 2;
    }
    void begin(int64_t destination) {
        if (destination % p.block != 0)
            return;
        int64_t width = p.width(), pairs = before(p.block), count = pairs * width;
        T *gathered = rows + count, *to = gathered; // in one product: it is slow for few rows
        for (int64_t own = 0; own < p.block; own++) {
            const T* from = p.edges + ((destination + own) * p.slots + own) * p.features;
            for (int64_t c = 0; c < (p.block - own) * p.features; c++)
                *to++ = from[c];
        }
        product<T>(gathered, p.features, p.panels, p.bias, pairs, p.features, width, rows, width);
        T* values = rows;
#pragma omp simd
        for (int64_t c = 0; c < count; c++)
            values[c] = silu(values[c]);
    }
    const T* row(int64_t destination, int64_t slot) {
        int64_t own = destination % p.block, low = own < slot ? own : slot, high = own < slot ? slot : own;
        return rows + (before(low) + high - low) * p.width();
    }
};

/**
 * Functions of the distance as cubic Hermite splines of u(r) = 1 - exp(-decay r) + slope r, whose knots are
 * `spacing` apart (openmm_unisim/model/radial_table.py): rows of `knots` are [value, derivative * spacing].
 */
template <typename T>
inline int64_t locate(const RadialKnots<T>& table, T r, T& x) {
    T place = (T(1) - exponential(-table.decay * r) + table.slope * r) / table.spacing;
    T last = T(table.count - 1);
    place = place > last ? last : place;
    int64_t knot = place > T(0) ? int64_t(place) : 0; // 0 for NaN, which stays in x
    knot = knot > table.count - 2 ? table.count - 2 : knot;
    x = place - T(knot);
    return knot;
}

template <typename T>
inline T widen(T x) {
    return x;
}

template <typename T>
inline T widen(Half x) {
    return T(fromHalf(x));
}

/** All functions `x` of the way from one knot to the next, while the knots of `coming` are fetched. */
template <typename T, typename Knot>
inline void interpolate(const Knot* a, const Knot* coming, T x, int64_t width, T* result) {
    constexpr int64_t BLOCK = 256 / sizeof(Knot);
    const Knot *b = a + width, *c = b + width, *d = c + width;
    const T rest = T(1) - x;
    T value0 = (T(1) + 2 * x) * rest * rest, slope0 = x * rest * rest;
    T value1 = x * x * (T(3) - 2 * x), slope1 = -x * x * rest;
    for (int64_t first = 0; first < width; first += BLOCK) {
        int64_t last = first + BLOCK < width ? first + BLOCK : width;
        for (int64_t line = 4 * first; line < 4 * last; line += 64 / sizeof(Knot))
            __builtin_prefetch(coming + line, 0, 3);
#pragma omp simd
        for (int64_t n = first; n < last; n++)
            result[n] = value0 * widen<T>(a[n]) + slope0 * widen<T>(b[n]) + value1 * widen<T>(c[n]) +
                        slope1 * widen<T>(d[n]);
    }
}

/** All functions at distance r, while the knots of distance `next` are fetched: they lie in a farther cache.
 */
template <typename T>
inline void evaluate(const RadialKnots<T>& table, T r, T next, int64_t width, T* result) {
    T x, ignored;
    const int64_t here = 2 * width * locate(table, r, x), there = 2 * width * locate(table, next, ignored);
    if (table.halfKnots != nullptr)
        interpolate<T, Half>(table.halfKnots + here, table.halfKnots + there, x, width, result);
    else
        interpolate<T, T>(table.knots + here, table.knots + there, x, width, result);
}

/** Filters that are functions of the distance, after their SiLU. */
template <typename T>
struct RadialFilters {
    const AttendProblem<T>& p;
    T* rows;

    void begin(int64_t) {
    }
    const T* row(int64_t destination, int64_t slot) {
        const T* r = p.distance + destination * p.slots + slot;
        evaluate(p.table, r[0], r[slot + 1 < p.slots ? 1 : 0], p.width(), rows);
        return rows;
    }
};

/** result_i = sum_j w_ij f(r_ij) x_j, channel by channel; edges of no weight are skipped. */
template <typename T>
void radialSum(const RadialKnots<T>& table, const T* values, const int64_t* index, const T* distance,
        const T* weights, int64_t rows, int64_t slots, int64_t width, T* result, T* scratch) {
    for (int64_t i = 0; i < rows; i++, result += width) {
        fill(result, T(0), width);
        for (int64_t edge = i * slots; edge < (i + 1) * slots; edge++) {
            if (weights[edge] == T(0))
                continue;
            evaluate(table, distance[edge], distance[edge + 1 < rows * slots ? edge + 1 : edge], width,
                    scratch);
            const T *source = values + index[edge] * width, weight = weights[edge];
#pragma omp simd
            for (int64_t c = 0; c < width; c++)
                result[c] += weight * scratch[c] * source[c];
        }
    }
}

/** The attention of one edge, spread over the channels: weight[c] = SiLU(z_h) C. */
template <typename T>
inline void weigh(const AttendProblem<T>& p, const T* query, const T* key, const T* filter, T envelope,
        T* terms, T* weight) {
    int64_t hidden = p.hidden, size = p.hidden / p.heads;
#pragma omp simd
    for (int64_t c = 0; c < hidden; c++)
        terms[c] = query[c] * key[c] * filter[c];
    for (int64_t head = 0; head < p.heads; head++)
        terms[head] = total(terms + head * size, size); // head <= head * size: not yet needed
#pragma omp simd
    for (int64_t head = 0; head < p.heads; head++)
        terms[head] = silu(terms[head]) * envelope;
    for (int64_t head = 0; head < p.heads; head++)
        fill(weight + head * size, terms[head], size);
}

/** Add one edge's messages to y and Y. */
template <typename T, int W>
inline void addMessages(int64_t hidden, const T* value, const T* filter, const T* weight, const T* source,
        const T* arrows, T gate, T* y, T* big) {
    T u[3][W];
    for (int d = 0; d < 3; d++)
        for (int w = 0; w < W; w++)
            u[d][w] = arrows[d * W + w] * gate;
#pragma omp simd
    for (int64_t c = 0; c < hidden; c++) {
        y[c] += value[c] * filter[c] * weight[c];
        T own = value[hidden + c] * filter[hidden + c] * gate;
        T x0 = source[c] * own, x1 = source[hidden + c] * own, x2 = source[2 * hidden + c] * own;
        for (int w = 0; w < W; w++) {
            T along = value[(2 + w) * hidden + c] * filter[(2 + w) * hidden + c];
            x0 += u[0][w] * along;
            x1 += u[1][w] * along;
            x2 += u[2][w] * along;
        }
        big[c] += x0;
        big[hidden + c] += x1;
        big[2 * hidden + c] += x2;
    }
}

template <typename T, int W, class Filters>
void attendRows(const AttendProblem<T>& p, int64_t first, int64_t last, T* scalars, T* vectors, T* scratch) {
    int64_t hidden = p.hidden, stride = (2 + p.parts()) * hidden;
    T *terms = scratch, *weight = terms + hidden;
    Filters filters{p, weight + hidden};
    for (int64_t i = first; i < last; i++) {
        T *y = scalars + (i - p.firstResult) * hidden, *big = vectors + (i - p.firstResult) * 3 * hidden;
        fill(y, T(0), hidden);
        fill(big, T(0), 3 * hidden);
        filters.begin(i);
        for (int64_t k = 0; k < p.slots; k++) {
            int64_t edge = i * p.slots + k;
            if (!p.mask[edge])
                continue;
            const T *source = p.nodes + p.index[edge] * stride, *filter = filters.row(i, k);
            weigh(p, p.nodes + i * stride, source + hidden, filter, p.envelope[edge], terms, weight);
            addMessages<T, W>(hidden, source + 2 * hidden, filter + hidden, weight,
                    p.vectors + p.index[edge] * 3 * hidden, p.arrows + edge * 3 * W,
                    p.vectorEnvelope ? p.envelope[edge] : T(1), y, big);
        }
    }
}

} // namespace
} // namespace UniSimPlugin

#endif // UNISIM_ATTEND_H_
