#ifndef UNISIM_ATTEND_LAUNCHER_H_
#define UNISIM_ATTEND_LAUNCHER_H_

#include "Levels.h"

/** The CUDA kernels as functions of pointers to device memory; see AttendBlock.h for `panels`. */
namespace UniSimPlugin {

/** Where to run: the number of the device, and a cudaStream_t. */
struct CudaPlace {
    int device;
    void* stream;
};

/** Messages of all destinations; linear or tabulated filters, as `p` says. Returns null, or what CUDA says.
 */
template <typename T>
const char* launchAttend(
        const AttendProblem<T>& p, int64_t destinations, T* scalars, T* vectors, const CudaPlace& place);

/** Derivatives of the destinations [first, last); rows of `g.filters` count from the first one. */
template <typename T>
const char* launchAttendBackward(const AttendProblem<T>& p, int64_t destinations, int64_t first, int64_t last,
        const AttendGradients<T>& g, const CudaPlace& place);

} // namespace UniSimPlugin

#endif // UNISIM_ATTEND_LAUNCHER_H_
