#ifndef UNISIM_PAIR_LEVELS_H_
#define UNISIM_PAIR_LEVELS_H_

#include <cstdint>

/**
 * The loops over pairs of atoms, with their derivatives: what the conditioned form is trained with. Compiled
 * once for each instruction set, like those of Levels.h. A pair (i, j), i <= j, stands for both edges: they
 * have equal features and envelopes and opposite edge vectors. Pairs come copy by copy of the molecule.
 */
namespace UniSimPlugin {

/** Messages of one attention layer; rows of `nodes` are [q, k, v_0 .. v_(parts-1)]. */
template <typename T>
struct PairMessages {
    int64_t hidden, heads, arrowCount, features;
    const int64_t *first, *second;
    const T *nodes, *vectors;
    const T *edges, *arrows, *envelope; // arrows point from the first atom to the second
    const T *panels, *bias;             // filters before their SiLU: edges B + bias, B packed
    const T* transposed;                // B^T packed, for the derivatives

    int64_t parts() const {
        return 2 + arrowCount;
    }
    int64_t width() const { // of a row of filters
        return (1 + parts()) * hidden;
    }
    int64_t stride() const { // of a row of nodes
        return (2 + parts()) * hidden;
    }
};

/** Derivatives of the loss: by the results, and by what the messages read. */
template <typename T>
struct PairMessageGradients {
    const T *scalars, *vectors;   // by y and Y
    T *nodes, *ownVectors;        // added to
    T *edges, *arrows, *envelope; // written
    T *weight, *bias;             // added to
};

/** One layer: what stands around the messages. Matrices are packed, once as they are and once transposed. */
template <typename T>
struct PairLayer {
    PairMessages<T> messages;
    T epsilon;
    const T *normWeight, *normBias, *node, *nodeBias, *mix, *output, *outputBias;
    const T *nodeTransposed, *mixTransposed, *outputTransposed;
};

/** Arrays of atoms that a layer's forward pass leaves for its derivatives. */
template <typename T>
struct PairLayerState {
    const T *scalars, *vectors;            // what came in
    T *normed, *nodes, *mixed, *y, *gates; // made by the forward pass
    T *newScalars, *newVectors;            // results
};

/** Gradients of a layer. */
template <typename T>
struct PairLayerGradients {
    const T *newScalars, *newVectors; // by the results
    T *scalars, *vectors;             // written
    T *edges, *arrows, *envelope;     // written
    T *normWeight, *normBias, *node, *nodeBias, *mix, *output, *outputBias, *filter, *filterBias; // added to
};

/** Embedding of pairs; see kernels/PairEmbedding.h. */
template <typename T>
struct PairEmbedding {
    int64_t atoms, radial, kindCount, timeCount, innerCount, outputCount;
    bool both; // features of the initial length, too
    T decay, cutoff;
    const int64_t *first, *second, *start; // start: first pair of each copy, and their number
    const T *points, *initial, *moved, *reference, *times, *changeScale, *strainWidth;
    const int64_t* kinds;
    const T *means, *betas, *firstPanels, *firstBias, *secondPanels, *secondBias;
    const T *firstTransposed, *secondTransposed;

    int64_t featureCount() const {
        return (both ? 2 : 1) * radial + 2 + kindCount + timeCount;
    }
};

template <typename T>
struct PairEmbeddingGradients {
    const T *embedded, *arrows, *envelope;      // by the results
    T *points, *moved;                          // added to, unless null
    T *first, *firstBias, *second, *secondBias; // added to
};

/** Sum over pairs of filters linear in the edge features, times a row of the other atom. */
template <typename T>
struct PairSum {
    int64_t hidden, features;
    const int64_t *first, *second;
    const T *edges, *envelope, *rows, *panels, *bias, *transposed;
};

template <typename T>
struct PairSumGradients {
    const T* result;
    T *edges, *envelope;     // written
    T *rows, *weight, *bias; // added to
};

/** The loops at one instruction set. */
template <typename T>
struct PairKernels {
    /** B (inner x columns), element (k, n) at b[k * strideInner + n * strideColumn], as panels. */
    void (*pack)(
            const T* b, int64_t inner, int64_t columns, int64_t strideInner, int64_t strideColumn, T* panels);
    /** Whole copies: atoms [atom, atomEnd) and pairs [pair, pairEnd) belong together. */
    void (*layer)(const PairLayer<T>&, const PairLayerState<T>&, int64_t atom, int64_t atomEnd, int64_t pair,
            int64_t pairEnd, T* scratch);
    void (*layerBackward)(const PairLayer<T>&, const PairLayerState<T>&, const PairLayerGradients<T>&,
            int64_t atom, int64_t atomEnd, int64_t pair, int64_t pairEnd, T* scratch);
    void (*embed)(const PairEmbedding<T>&, int64_t copy, int64_t copyEnd, T* embedded, T* arrows, T* envelope,
            T* scratch);
    void (*embedBackward)(const PairEmbedding<T>&, const PairEmbeddingGradients<T>&, int64_t copy,
            int64_t copyEnd, T* scratch);
    void (*sum)(const PairSum<T>&, int64_t pair, int64_t pairEnd, T* result, T* scratch);
    void (*sumBackward)(
            const PairSum<T>&, const PairSumGradients<T>&, int64_t pair, int64_t pairEnd, T* scratch);
    /** c (rows x columns) += sum_k a[k][row] b[k][column], both with contiguous rows. */
    void (*addOuter)(const T* a, const T* b, int64_t rows, int64_t columns, int64_t inner, T* c, T* scratch);
    /** Pairs of one copy closer than the cutoff, each atom with itself among them; returns their number. */
    int64_t (*near)(
            const T* points, int64_t atoms, T cutoff, int64_t offset, int64_t* first, int64_t* second);
};

const int64_t PAIR_CHUNK = 96;   // pairs whose filters and gradients stay in the second-level cache
const int64_t OUTER_CHUNK = 192; // rows that addOuter packs at once

/** Numbers that the scratch of `addOuter` must hold. */
inline int64_t outerScratch(int64_t rows, int64_t columns) {
    return rows * columns + OUTER_CHUNK * (columns + 64);
}

/** The loops at the best instruction set that this processor has. */
template <typename T>
const PairKernels<T>& pairKernels();

} // namespace UniSimPlugin

#endif // UNISIM_PAIR_LEVELS_H_
