#include "Attend.h"
#include "AttendBackward.h"
#include "Edges.h"
#include "Expansion.h"
#include "HalfProduct.h"
#include "Layer.h"

/** The table of loops at the instruction set UNISIM_LEVEL, for which this file is being compiled. */
namespace UniSimPlugin {
namespace {

template <typename T, int W>
void attendWith(const AttendProblem<T>& p, int64_t first, int64_t last, T* scalars, T* vectors, T* scratch) {
    if (p.table.count > 0)
        attendRows<T, W, RadialFilters<T>>(p, first, last, scalars, vectors, scratch);
    else if (p.block > 0)
        attendRows<T, W, PairFilters<T>>(p, first, last, scalars, vectors, scratch);
    else
        attendRows<T, W, LinearFilters<T>>(p, first, last, scalars, vectors, scratch);
}

template <typename T>
void attend(const AttendProblem<T>& p, int64_t first, int64_t last, T* scalars, T* vectors, T* scratch) {
    switch (p.arrowCount) {
    case 1:
        return attendWith<T, 1>(p, first, last, scalars, vectors, scratch);
    case 2:
        return attendWith<T, 2>(p, first, last, scalars, vectors, scratch);
    case 3:
        return attendWith<T, 3>(p, first, last, scalars, vectors, scratch);
    }
}

template <typename T>
void activate(T* values, int64_t count) {
#pragma omp simd
    for (int64_t c = 0; c < count; c++)
        values[c] = silu(values[c]);
}

template <typename T>
constexpr Kernels<T> TABLE = {attend<T>, attendBackwardRows<T>, radialSum<T>, embedEdges<T>, product<T>,
        halfProduct, transposedProduct<T>, neighbourSum<T>, activate<T>, normaliseRows<T>, update<T>,
        normaliseVectors<T>, measure<T>, carry<T>, expandRows<T>};

} // namespace

namespace UNISIM_LEVEL {
extern const Kernels<float> floatKernels;
extern const Kernels<double> doubleKernels;
const Kernels<float> floatKernels = TABLE<float>;
const Kernels<double> doubleKernels = TABLE<double>;
} // namespace UNISIM_LEVEL

} // namespace UniSimPlugin
