#ifndef UNISIM_EDGES_H_
#define UNISIM_EDGES_H_

#include "Attend.h"

/**
 * What the conditioned form reads off each pair of atoms (openmm_unisim/model/conditioned.py and
 * refinement.py define it), for molecules that are fully connected:
 *
 *   symbol        meaning                                                     name
 *   r, u          length and direction of x_j - x_i                           length, arrow 0
 *   C(r)          cos^2(pi r / (2 r_c)), 0 beyond the cutoff                  cosineEnvelope
 *   phi_k(r)      C(r) exp(-beta_k (exp(-alpha r) - mu_k)^2)                  radialBasis
 *   features      phi(r) [phi(r_0)] change strain kind times                  features
 *   embedding     SiLU(W_2 SiLU(W_1 features + b_1) + b_2)                    embedded
 */
namespace UniSimPlugin {
namespace {

template <typename T, int N>
inline T cosineSeries(T squared, T sum) {
    if constexpr (N < 0)
        return sum;
    else
        return cosineSeries<T, N - 2>(
                squared, sum * squared + T(N % 4 == 0 ? inverseFactorial(N) : -inverseFactorial(N)));
}

/** By the Taylor series of the cosine within pi / 2: to degree 16 in float (rest 1e-11), 24 in double
 * (1e-20). */
template <typename T>
inline T cosineEnvelope(T r, T cutoff) {
    constexpr int DEGREE = sizeof(T) == 4 ? 16 : 24;
    T y = r * (T(1.5707963267948966) / cutoff);
    T cosine = cosineSeries<T, DEGREE - 2>(y * y, T(inverseFactorial(DEGREE)));
    return r < cutoff ? cosine * cosine : T(0);
}

template <typename T>
inline void radialBasis(const EdgeProblem<T>& p, T r, T envelope, T* result) {
    T bent = exponential(-p.decay * r);
    const T *means = p.means, *betas = p.betas;
    int64_t count = p.radial;
#pragma omp simd
    for (int64_t k = 0; k < count; k++)
        result[k] = envelope * exponential(-betas[k] * (bent - means[k]) * (bent - means[k]));
}

/** Length of `from` to `to`; its direction, too, zero where they coincide. */
template <typename T>
inline T lengthOf(const T* from, const T* to, T* direction) {
    T d[3], squared = 0;
    for (int c = 0; c < 3; c++) {
        d[c] = to[c] - from[c];
        squared += d[c] * d[c];
    }
    T length = squared > T(0) ? T(__builtin_sqrt(squared)) : T(1);
    for (int c = 0; c < 3; c++)
        direction[c] = d[c] / length;
    return squared > T(0) ? length : T(0);
}

template <typename T>
inline T soften(T x, T limit) {
    return x / T(__builtin_sqrt(T(1) + (x / limit) * (x / limit)));
}

/** Length and arrows of slot k of destination i. */
template <typename T>
inline T pointAlong(const EdgeProblem<T>& p, int64_t i, int64_t k, T* arrows) {
    int64_t j = i / p.atoms * p.atoms + k;
    T direction[3], relative[3], squared = 0;
    T length = lengthOf(p.points + 3 * i, p.points + 3 * j, direction);
    for (int c = 0; c < 3; c++) {
        relative[c] = p.moved[3 * j + c] - p.moved[3 * i + c];
        squared += relative[c] * relative[c];
    }
    T bound = T(1) / T(__builtin_sqrt(T(1) + squared / T(16)));
    for (int c = 0; c < 3; c++) {
        arrows[2 * c] = direction[c];
        arrows[2 * c + 1] = relative[c] * bound;
    }
    return length;
}

/** Features of slot k of destination i, the same as those of slot i of destination k. */
template <typename T>
inline void describeEdge(const EdgeProblem<T>& p, int64_t i, int64_t k, T length, T envelope, T* features) {
    int64_t copy = i / p.atoms, own = i % p.atoms, j = copy * p.atoms + k, kind = p.kinds[own * p.atoms + k];
    T before[3], start = lengthOf(p.initial + 3 * i, p.initial + 3 * j, before);
    radialBasis(p, length, envelope, features);
    features += p.radial;
    if (p.both) {
        radialBasis(p, start, cosineEnvelope(start, p.cutoff), features);
        features += p.radial;
    }
    bool stiff = kind == 1 || kind == 2;
    *features++ = soften((length - start) / p.changeScale[copy], T(4));
    *features++ =
            stiff ? soften((length - p.reference[own * p.atoms + k]) / p.strainWidth[copy], T(4)) : T(0);
    for (int64_t n = 0; n < p.kindCount; n++)
        *features++ = n == kind ? T(1) : T(0);
    for (int64_t n = 0; n < p.timeCount; n++)
        *features++ = p.times[copy * p.timeCount + n];
}

template <typename T>
inline void activateRow(T* values, int64_t count) {
#pragma omp simd
    for (int64_t c = 0; c < count; c++)
        values[c] = silu(values[c]);
}

/** Copy rows for i <= j, in their order, to (i, j) and (j, i). */
template <typename T>
inline void spreadPairs(const T* pairs, int64_t atoms, int64_t width, T* result) {
    for (int64_t i = 0; i < atoms; i++)
        for (int64_t j = i; j < atoms; j++, pairs += width)
            for (int64_t c = 0; c < width; c++)
                result[(i * atoms + j) * width + c] = result[(j * atoms + i) * width + c] = pairs[c];
}

/**
 * Edges of whole copies of the molecule; features and embedding are made for i <= j. `scratch` holds
 * atoms (atoms + 1) / 2 * (features + inner + outputs) numbers.
 */
template <typename T>
void embedEdges(const EdgeProblem<T>& p, int64_t firstCopy, int64_t lastCopy, T* embedded, T* arrows,
        T* envelope, T* scratch) {
    int64_t width = p.featureCount(), atoms = p.atoms, pairs = atoms * (atoms + 1) / 2;
    T *features = scratch, *inner = features + pairs * width, *outer = inner + pairs * p.innerCount;
    for (int64_t copy = firstCopy; copy < lastCopy; copy++) {
        T* next = features;
        for (int64_t i = copy * atoms; i < (copy + 1) * atoms; i++)
            for (int64_t k = 0; k < atoms; k++) {
                int64_t edge = i * atoms + k;
                T length = pointAlong(p, i, k, arrows + edge * 6);
                envelope[edge] = cosineEnvelope(length, p.cutoff);
                if (k < i % atoms)
                    continue;
                describeEdge(p, i, k, length, envelope[edge], next);
                next += width;
            }
        product<T>(
                features, width, p.firstPanels, p.firstBias, pairs, width, p.innerCount, inner, p.innerCount);
        activateRow(inner, pairs * p.innerCount);
        product<T>(inner, p.innerCount, p.secondPanels, p.secondBias, pairs, p.innerCount, p.outputCount,
                outer, p.outputCount);
        activateRow(outer, pairs * p.outputCount);
        spreadPairs(outer, atoms, p.outputCount, embedded + copy * atoms * atoms * p.outputCount);
    }
}

} // namespace
} // namespace UniSimPlugin

#endif // UNISIM_EDGES_H_
