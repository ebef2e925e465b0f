#ifndef UNISIM_PAIR_EMBEDDING_H_
#define UNISIM_PAIR_EMBEDDING_H_

#include "Edges.h"
#include "PairMessagesBackward.h"

/**
 * What the conditioned form reads off each pair of atoms, as in Edges.h, with derivatives by weights and,
 * where they are wanted, by the points. Features are made again in the backward pass.
 *
 *   symbol        meaning                                                     name
 *   C'(r)         -(pi / r_c) cos sin (pi r / (2 r_c))                        envelopeSlope
 *   phi'_k        C' e_k + 2 alpha beta_k b (b - mu_k) C e_k, b = e^(-alpha r)
 *   S(x)          x (1 + x^2/16)^(-1/2), S' = (1 + x^2/16)^(-3/2)             soften, softenSlope
 */
namespace UniSimPlugin {
namespace {

template <typename T, int N>
inline T sineSeries(T squared, T sum) {
    if constexpr (N < 1)
        return sum;
    else
        return sineSeries<T, N - 2>(
                squared, sum * squared + T(N % 4 == 1 ? inverseFactorial(N) : -inverseFactorial(N)));
}

template <typename T>
inline T envelopeSlope(T r, T cutoff) {
    constexpr int DEGREE = sizeof(T) == 4 ? 16 : 24;
    T factor = T(1.5707963267948966) / cutoff, y = r * factor, squared = y * y;
    T cosine = cosineSeries<T, DEGREE - 2>(squared, T(inverseFactorial(DEGREE)));
    T sine = y * sineSeries<T, DEGREE - 1>(squared, T(inverseFactorial(DEGREE + 1)));
    return r < cutoff ? T(-2) * factor * cosine * sine : T(0);
}

template <typename T>
inline T softenSlope(T x) {
    T inverse = T(1) / T(__builtin_sqrt(T(1) + x * x / T(16)));
    return inverse * inverse * inverse;
}

/** What is known of each pair of a chunk. */
template <typename T>
struct PairGeometry {
    T length[PAIR_CHUNK], before[PAIR_CHUNK], envelope[PAIR_CHUNK], envelopeBefore[PAIR_CHUNK];
    T direction[PAIR_CHUNK][3], apart[PAIR_CHUNK][3];
};

template <typename T>
void measurePairs(const PairEmbedding<T>& p, int64_t from, int64_t count, PairGeometry<T>& g) {
    T ignored[3];
    for (int64_t n = 0; n < count; n++) {
        int64_t i = 3 * p.first[from + n], j = 3 * p.second[from + n];
        g.length[n] = lengthOf(p.points + i, p.points + j, g.direction[n]);
        g.before[n] = lengthOf(p.initial + i, p.initial + j, ignored);
        for (int c = 0; c < 3; c++)
            g.apart[n][c] = p.moved[j + c] - p.moved[i + c];
    }
#pragma omp simd
    for (int64_t n = 0; n < count; n++) {
        g.envelope[n] = cosineEnvelope(g.length[n], p.cutoff);
        g.envelopeBefore[n] = cosineEnvelope(g.before[n], p.cutoff);
    }
}

/** exp(-beta_k (exp(-alpha r) - mu_k)^2), rows of `radial` numbers; `bent` holds the inner exponentials. */
template <typename T>
void gaussians(const PairEmbedding<T>& p, const T* lengths, int64_t count, T* bent, T* basis) {
#pragma omp simd
    for (int64_t n = 0; n < count; n++)
        bent[n] = exponential(-p.decay * lengths[n]);
    for (int64_t n = 0; n < count; n++)
        for (int64_t k = 0; k < p.radial; k++)
            basis[n * p.radial + k] = -p.betas[k] * (bent[n] - p.means[k]) * (bent[n] - p.means[k]);
    int64_t size = count * p.radial;
#pragma omp simd
    for (int64_t n = 0; n < size; n++)
        basis[n] = exponential(basis[n]);
}

/** Change and strain of pair n, before softening; strain only of stiff pairs. */
template <typename T>
inline bool strains(
        const PairEmbedding<T>& p, const PairGeometry<T>& g, int64_t pair, int64_t n, T* change, T* strain) {
    int64_t i = p.first[pair], copy = i / p.atoms, own = i % p.atoms, other = p.second[pair] - copy * p.atoms;
    int64_t kind = p.kinds[own * p.atoms + other];
    *change = (g.length[n] - g.before[n]) / p.changeScale[copy];
    *strain = (g.length[n] - p.reference[own * p.atoms + other]) / p.strainWidth[copy];
    return kind == 1 || kind == 2;
}

/** Rows of features of a chunk; `basis` and `bent` are left as those of the present lengths. */
template <typename T>
void describePairs(const PairEmbedding<T>& p, const PairGeometry<T>& g, int64_t from, int64_t count,
        T* features, T* basis, T* bent) {
    int64_t width = p.featureCount(), radial = p.radial;
    if (p.both) {
        gaussians(p, g.before, count, bent, basis);
        for (int64_t n = 0; n < count; n++)
            for (int64_t k = 0; k < radial; k++)
                features[n * width + radial + k] = g.envelopeBefore[n] * basis[n * radial + k];
    }
    gaussians(p, g.length, count, bent, basis);
    for (int64_t n = 0; n < count; n++) {
        T *row = features + n * width, change, strain;
        for (int64_t k = 0; k < radial; k++)
            row[k] = g.envelope[n] * basis[n * radial + k];
        row += (p.both ? 2 : 1) * radial;
        int64_t pair = from + n, i = p.first[pair], copy = i / p.atoms, own = i % p.atoms;
        int64_t kind = p.kinds[own * p.atoms + p.second[pair] - copy * p.atoms];
        bool stiff = strains(p, g, pair, n, &change, &strain);
        *row++ = soften(change, T(4));
        *row++ = stiff ? soften(strain, T(4)) : T(0);
        for (int64_t k = 0; k < p.kindCount; k++)
            *row++ = k == kind ? T(1) : T(0);
        for (int64_t k = 0; k < p.timeCount; k++)
            *row++ = p.times[copy * p.timeCount + k];
    }
}

template <typename T>
void embedPairs(const PairEmbedding<T>& p, int64_t copy, int64_t copyEnd, T* embedded, T* arrows, T* envelope,
        T* scratch) {
    PairGeometry<T> g;
    int64_t width = p.featureCount();
    T *features = scratch, *inner = features + PAIR_CHUNK * width, *basis = inner + PAIR_CHUNK * p.innerCount;
    T* bent = basis + PAIR_CHUNK * p.radial;
    for (int64_t from = p.start[copy]; from < p.start[copyEnd]; from += PAIR_CHUNK) {
        int64_t rest = p.start[copyEnd] - from, count = rest < PAIR_CHUNK ? rest : PAIR_CHUNK;
        measurePairs(p, from, count, g);
        for (int64_t n = 0; n < count; n++) {
            const T* m = g.apart[n];
            T bound = T(1) / T(__builtin_sqrt(T(1) + (m[0] * m[0] + m[1] * m[1] + m[2] * m[2]) / T(16)));
            for (int c = 0; c < 3; c++) {
                arrows[(from + n) * 6 + 2 * c] = g.direction[n][c];
                arrows[(from + n) * 6 + 2 * c + 1] = m[c] * bound;
            }
            envelope[from + n] = g.envelope[n];
        }
        describePairs(p, g, from, count, features, basis, bent);
        product<T>(
                features, width, p.firstPanels, p.firstBias, count, width, p.innerCount, inner, p.innerCount);
        activateRows(inner, count * p.innerCount);
        T* to = embedded + from * p.outputCount;
        product<T>(inner, p.innerCount, p.secondPanels, p.secondBias, count, p.innerCount, p.outputCount, to,
                p.outputCount);
        activateRows(to, count * p.outputCount);
    }
}

/** Derivatives by points and displacements of pair n, from those by its features, arrows and envelope. */
template <typename T>
void pointsBackward(const PairEmbedding<T>& p, const PairEmbeddingGradients<T>& d, const PairGeometry<T>& g,
        int64_t pair, int64_t n, const T* features, const T* basis, T bent) {
    int64_t i = p.first[pair], j = p.second[pair], copy = i / p.atoms;
    if (i == j)
        return;
    T slope = envelopeSlope(g.length[n], p.cutoff), byLength = d.envelope[pair] * slope, change, strain;
    for (int64_t k = 0; k < p.radial; k++)
        byLength += features[k] * basis[k] *
                    (slope + T(2) * p.decay * p.betas[k] * bent * (bent - p.means[k]) * g.envelope[n]);
    features += (p.both ? 2 : 1) * p.radial;
    bool stiff = strains(p, g, pair, n, &change, &strain);
    byLength += features[0] * softenSlope(change) / p.changeScale[copy];
    if (stiff)
        byLength += features[1] * softenSlope(strain) / p.strainWidth[copy];
    const T *u = g.direction[n], *m = g.apart[n], *arrow = d.arrows + pair * 6;
    T along = 0, dot = 0, squared = 0;
    for (int c = 0; c < 3; c++) {
        along += u[c] * arrow[2 * c];
        dot += m[c] * arrow[2 * c + 1];
        squared += m[c] * m[c];
    }
    T bound = T(1) / T(__builtin_sqrt(T(1) + squared / T(16)));
    T inverse = g.length[n] > T(0) ? T(1) / g.length[n] : T(0);
    for (int c = 0; c < 3; c++) {
        T point = (arrow[2 * c] - u[c] * along) * inverse + u[c] * byLength;
        T moved = bound * arrow[2 * c + 1] - bound * bound * bound / T(16) * m[c] * dot;
        d.points[3 * j + c] += point;
        d.points[3 * i + c] -= point;
        d.moved[3 * j + c] += moved;
        d.moved[3 * i + c] -= moved;
    }
}

template <typename T>
void embedPairsBackward(const PairEmbedding<T>& p, const PairEmbeddingGradients<T>& d, int64_t copy,
        int64_t copyEnd, T* scratch) {
    PairGeometry<T> g;
    int64_t width = p.featureCount(), inners = p.innerCount, outputs = p.outputCount;
    T *features = scratch, *inner = features + PAIR_CHUNK * width, *innerSlope = inner + PAIR_CHUNK * inners;
    T *outer = innerSlope + PAIR_CHUNK * inners, *outerSlope = outer + PAIR_CHUNK * outputs;
    T *innerGradient = outerSlope + PAIR_CHUNK * outputs, *basis = innerGradient + PAIR_CHUNK * inners;
    T *bent = basis + PAIR_CHUNK * p.radial, *rest = bent + PAIR_CHUNK;
    for (int64_t from = p.start[copy]; from < p.start[copyEnd]; from += PAIR_CHUNK) {
        int64_t left = p.start[copyEnd] - from, count = left < PAIR_CHUNK ? left : PAIR_CHUNK;
        measurePairs(p, from, count, g);
        describePairs(p, g, from, count, features, basis, bent);
        product<T>(features, width, p.firstPanels, p.firstBias, count, width, inners, inner, inners);
        activateWithSlope(inner, innerSlope, count * inners);
        product<T>(inner, inners, p.secondPanels, p.secondBias, count, inners, outputs, outer, outputs);
        activateWithSlope(outer, outerSlope, count * outputs);
        const T* given = d.embedded + from * outputs;
        for (int64_t n = 0; n < count * outputs; n++)
            outer[n] = given[n] * outerSlope[n];
        addOuter(outer, inner, outputs, inners, count, d.second, rest);
        addColumns(outer, count, outputs, d.secondBias);
        product<T>(
                outer, outputs, p.secondTransposed, nullptr, count, outputs, inners, innerGradient, inners);
        for (int64_t n = 0; n < count * inners; n++)
            innerGradient[n] *= innerSlope[n];
        addOuter(innerGradient, features, inners, width, count, d.first, rest);
        addColumns(innerGradient, count, inners, d.firstBias);
        if (d.points == nullptr)
            continue;
        product<T>(innerGradient, inners, p.firstTransposed, nullptr, count, inners, width, features, width);
        for (int64_t n = 0; n < count; n++)
            pointsBackward(p, d, g, from + n, n, features + n * width, basis + n * p.radial, bent[n]);
    }
}

/** Pairs of one copy closer than the cutoff, ordered by first and second atom. */
template <typename T>
int64_t nearPairs(const T* points, int64_t atoms, T cutoff, int64_t offset, int64_t* first, int64_t* second) {
    int64_t count = 0;
    T squared = cutoff * cutoff;
    for (int64_t i = 0; i < atoms; i++)
        for (int64_t j = i; j < atoms; j++) {
            T x = points[3 * j] - points[3 * i], y = points[3 * j + 1] - points[3 * i + 1];
            T z = points[3 * j + 2] - points[3 * i + 2];
            if (x * x + y * y + z * z > squared) // false for NaN, which must come out again
                continue;
            first[count] = offset + i;
            second[count++] = offset + j;
        }
    return count;
}

} // namespace
} // namespace UniSimPlugin

#endif // UNISIM_PAIR_EMBEDDING_H_
