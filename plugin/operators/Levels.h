#ifndef UNISIM_LEVELS_H_
#define UNISIM_LEVELS_H_

#include <cstdint>

/**
 * The loops of the operators, compiled once for each instruction set and chosen when the library is loaded, so that a
 * wheel is portable. Files in kernels/ may include nothing that defines non-static functions: the linker would keep
 * one copy of each, perhaps the one for a processor that isn't there.
 */
namespace UniSimPlugin {

/** One call of `attend`, as pointers; arrays are contiguous, rows of `nodes` are [q, k, v_0 .. v_(parts-1)]. */
template <typename T> struct AttendProblem {
    int64_t slots, hidden, heads, arrowCount, features;
    bool vectorEnvelope;
    const int64_t* index;
    const bool* mask;
    const T *nodes, *vectors, *arrows, *envelope;
    const T *edges, *bias, *panels; // pre-activation filters: edges B + bias, B packed (SmallProduct.h)
    const T *distance, *knots;      // or tabulated filters
    int64_t knotCount;
    T spacing, decay, slope; // of the table's argument, see SplineFilters

    int64_t parts() const {
        return 2 + arrowCount;
    }
    int64_t width() const { // of a row of filters
        return (1 + parts()) * hidden;
    }
};

/** Gradients that `attend`'s backward pass takes and writes. */
template <typename T> struct AttendGradients {
    const T *scalars, *vectors;      // of the results
    T *nodes, *ownVectors;           // added to; those of the sources, too
    T *filters, *arrows, *envelope;  // written; rows of filters count from the first destination asked for
};

/** The loops at one instruction set. */
template <typename T> struct Kernels {
    /** Values for one destination after another; `scratch` holds at least scratchSize. */
    void (*attend)(const AttendProblem<T>&, int64_t first, int64_t last, T* scalars, T* vectors, T* scratch);
    void (*attendBackward)(const AttendProblem<T>&, int64_t first, int64_t last, const AttendGradients<T>&, T* scratch);
    /** C = A B + bias, see SmallProduct.h. */
    void (*product)(const T* a, int64_t strideA, const T* panels, const T* bias, int64_t rows, int64_t inner,
            int64_t columns, T* c, int64_t strideC);
    /** values <- SiLU(values). */
    void (*activate)(T* values, int64_t count);
};

/** Numbers that the scratch of one thread must hold. */
template <typename T>
int64_t scratchSize(const AttendProblem<T>& problem) {
    return (problem.slots + 2) * problem.width() + 6 * problem.hidden + 4 * problem.heads;
}

/** The loops at the best instruction set that this processor has. */
template <typename T>
const Kernels<T>& kernels();

} // namespace UniSimPlugin

#endif // UNISIM_LEVELS_H_
