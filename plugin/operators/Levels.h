#ifndef UNISIM_LEVELS_H_
#define UNISIM_LEVELS_H_

#include <cstdint>

/**
 * The loops of the operators, compiled once for each instruction set and chosen when the library is loaded,
 * so that a wheel is portable. Files in kernels/ may include nothing that defines non-static functions: the
 * linker would keep one copy of each, perhaps the one for a processor that isn't there.
 */
namespace UniSimPlugin {

typedef uint16_t Half; // the bits of a bfloat16

/** Functions of the distance, tabulated; see kernels/Attend.h. One of `knots` and `halfKnots` is null. */
template <typename T>
struct RadialKnots {
    const T* knots;
    const Half* halfKnots;
    int64_t count;
    T spacing, decay, slope;
};

/** One call of `attend`, as pointers; arrays are contiguous, rows of `nodes` are [q, k, v_0 .. v_(parts-1)].
 */
template <typename T>
struct AttendProblem {
    int64_t slots, hidden, heads, arrowCount, features;
    bool vectorEnvelope;
    int64_t block; // > 0: blocks of so many atoms are fully connected, and edge features of (i, j) and (j, i)
                   // equal
    int64_t firstResult; // rows of the results count from this destination
    const int64_t* index;
    const bool* mask;
    const T *nodes, *vectors, *arrows, *envelope;
    const T *edges, *bias, *panels; // pre-activation filters: edges B + bias, B packed (SmallProduct.h)
    const T* distance;              // or tabulated filters, if `table` has knots
    RadialKnots<T> table;

    constexpr int64_t parts() const { // constexpr: device code calls these, too
        return 2 + arrowCount;
    }
    constexpr int64_t width() const { // of a row of filters
        return (1 + parts()) * hidden;
    }
};

/** Gradients that `attend`'s backward pass takes and writes. */
template <typename T>
struct AttendGradients {
    const T *scalars, *vectors;     // of the results
    T *nodes, *ownVectors;          // added to; those of the sources, too
    T *filters, *arrows, *envelope; // written; rows of filters count from the first destination asked for
};

/** One call of `embed_edges`, as pointers; see kernels/Edges.h. */
template <typename T>
struct EdgeProblem {
    int64_t atoms, radial, kindCount, timeCount, innerCount, outputCount;
    bool both; // features of the initial length, too
    T decay, cutoff;
    const T *points, *initial, *moved, *reference, *times, *changeScale, *strainWidth;
    const int64_t* kinds;
    const T *means, *betas, *firstPanels, *firstBias, *secondPanels, *secondBias;

    int64_t featureCount() const {
        return (both ? 2 : 1) * radial + 2 + kindCount + timeCount;
    }
};

/** The loops at one instruction set. */
template <typename T>
struct Kernels {
    /** Values for one destination after another; `scratch` holds at least scratchSize. */
    void (*attend)(const AttendProblem<T>&, int64_t first, int64_t last, T* scalars, T* vectors, T* scratch);
    void (*attendBackward)(
            const AttendProblem<T>&, int64_t first, int64_t last, const AttendGradients<T>&, T* scratch);
    /** Sum of tabulated functions times the sources' values, in scratch of `width`. */
    void (*radialSum)(const RadialKnots<T>&, const T* values, const int64_t* index, const T* distance,
            const T* weights, int64_t rows, int64_t slots, int64_t width, T* result, T* scratch);
    /** Edges of one copy of the molecule after another. */
    void (*embedEdges)(const EdgeProblem<T>&, int64_t firstCopy, int64_t lastCopy, T* embedded, T* arrows,
            T* envelope, T* scratch);
    /** C = A B + bias, see SmallProduct.h. */
    void (*product)(const T* a, int64_t strideA, const T* panels, const T* bias, int64_t rows, int64_t inner,
            int64_t columns, T* c, int64_t strideC);
    /** C = A B + bias in bfloat16 with sums in float, see HalfProduct.h; `scratch` holds rows (inner + 1)
     * numbers. */
    void (*halfProduct)(const float* a, int64_t strideA, const Half* panels, const float* bias, int64_t rows,
            int64_t inner, int64_t columns, float* c, int64_t strideC, Half* scratch);
    /** C = A^T B with A stored as inner x rows. */
    void (*transposedProduct)(
            const T* a, const T* panels, int64_t rows, int64_t inner, int64_t columns, T* c, int64_t strideC);
    /** First scalars' sum over neighbours, see Layer.h; `scratch` holds (slots + 1) width numbers. */
    void (*neighbourSum)(const T* edges, const T* panels, const T* bias, const int64_t* index,
            const T* weights, const T* values, int64_t rows, int64_t slots, int64_t features, int64_t width,
            T* result, T* scratch);
    /** values <- SiLU(values). */
    void (*activate)(T* values, int64_t count);
    /** Around the messages of a layer, and in a head; see Layer.h. */
    void (*normaliseRows)(
            const T* x, const T* weight, const T* bias, T epsilon, int64_t rows, int64_t width, T* result);
    void (*update)(const T* mixed, const T* gates, const T* messages, int64_t rows, int64_t hidden,
            T* scalars, T* vectors);
    void (*normaliseVectors)(const T* vectors, T scale, int64_t rows, int64_t hidden, T* lengths, T* result);
    void (*measure)(
            const T* scalars, const T* mixed, int64_t rows, int64_t hidden, int64_t outputs, T* result);
    void (*carry)(const T* mixed, const T* gated, int64_t rows, int64_t hidden, int64_t outputs, T* result);
    /** In the atom embedding; see Expansion.h. */
    void (*expandRows)(T* logits, const T* table, const int64_t* kinds, int64_t rows, int64_t count,
            int64_t width, T* result, int64_t stride);
};

/** Numbers that the scratch of one thread must hold. */
template <typename T>
int64_t scratchSize(const AttendProblem<T>& problem) {
    int64_t rows = problem.slots + 2 + problem.block * (problem.block + 1) / 2;
    return rows * (problem.width() + problem.features) + 6 * problem.hidden + 4 * problem.heads;
}

/** The loops at the best instruction set that this processor has. */
template <typename T>
const Kernels<T>& kernels();

} // namespace UniSimPlugin

#endif // UNISIM_LEVELS_H_
