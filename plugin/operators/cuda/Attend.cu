#include "AttendBackwardBlock.h"
#include "AttendLauncher.h"
#include <cuda_runtime.h>

/** Kernels and their launches. No torch headers: nvcc reads only this, the loops and CUDA's own. */
namespace UniSimPlugin {
namespace {

constexpr int WARP = 32, MOST_THREADS = 256;

/** This thread's place in its block. */
struct CudaBlock {
    int64_t own;

    __device__ int thread() const {
        return int(threadIdx.x);
    }
    __device__ int threads() const {
        return int(blockDim.x);
    }
    __device__ int64_t destination() const {
        return own;
    }
    __device__ void sync() const {
        __syncthreads();
    }
    __device__ int warp() const {
        return thread() / WARP;
    }
    __device__ int warps() const {
        return threads() / WARP;
    }
    __device__ bool leadsWarp() const {
        return thread() % WARP == 0;
    }
    /** Sum over the threads of a warp, in its first one. */
    template <typename T>
    __device__ T warpSum(T x) const {
        for (int distance = WARP / 2; distance > 0; distance /= 2)
            x += __shfl_down_sync(0xFFFFFFFFu, x, distance);
        return x;
    }
    template <typename T>
    __device__ void add(T* to, T x) const {
        atomicAdd(to, x);
    }
    /** As torch's own kernels do for an index outside: the launch fails, and torch reports it. */
    __device__ void require(bool holds) const {
        if (!holds)
            __trap();
    }
};

extern __shared__ __align__(16) char sharedMemory[];

template <class Rows, int W, typename T>
__global__ void __launch_bounds__(MOST_THREADS)
        attendKernel(const AttendProblem<T> p, int64_t destinations, T* scalars, T* vectors) {
    Shared<T> s;
    share(p, false, blockDim.x / WARP, sharedMemory, s);
    attendDestination<Rows, W>(CudaBlock{int64_t(blockIdx.x)}, p, destinations, s, scalars, vectors);
}

template <int W, typename T>
__global__ void __launch_bounds__(MOST_THREADS) attendBackwardKernel(
        const AttendProblem<T> p, int64_t destinations, int64_t first, const AttendGradients<T> g) {
    Shared<T> s;
    share(p, true, blockDim.x / WARP, sharedMemory, s);
    const CudaBlock block{first + int64_t(blockIdx.x)};
    attendBackwardDestination<W>(
            block, p, destinations, g, g.filters + int64_t(blockIdx.x) * p.slots * p.width(), s);
}

int threadsFor(int64_t hidden) {
    const int64_t whole = (hidden + WARP - 1) / WARP * WARP;
    return int(whole < MOST_THREADS ? whole : MOST_THREADS);
}

/** Launches a kernel with the shared memory that it needs; more than 48 KiB must be asked for. */
template <typename T, typename... Arguments>
const char* launch(void (*kernel)(Arguments...), const AttendProblem<T>& p, bool backward, int64_t blocks,
        const CudaPlace& place, Arguments... arguments) {
    if (blocks == 0)
        return nullptr;
    Shared<T> ignored;
    const int threads = threadsFor(p.hidden);
    const int64_t bytes = share<T>(p, backward, threads / WARP, nullptr, ignored);
    cudaError_t error = cudaSetDevice(place.device);
    if (error == cudaSuccess && bytes > 48 * 1024)
        error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes));
    if (error == cudaSuccess) {
        kernel<<<unsigned(blocks), threads, bytes, static_cast<cudaStream_t>(place.stream)>>>(arguments...);
        error = cudaGetLastError();
    }
    return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

template <class Rows, int W, typename T>
const char* attendWith(
        const AttendProblem<T>& p, int64_t destinations, T* scalars, T* vectors, const CudaPlace& place) {
    return launch<T>(
            attendKernel<Rows, W, T>, p, false, destinations, place, p, destinations, scalars, vectors);
}

template <int W, typename T>
const char* attendFor(
        const AttendProblem<T>& p, int64_t destinations, T* scalars, T* vectors, const CudaPlace& place) {
    if (p.table.count == 0)
        return attendWith<LinearRows<T>, W>(p, destinations, scalars, vectors, place);
    if (p.table.halfKnots == nullptr)
        return attendWith<RadialRows<T, T>, W>(p, destinations, scalars, vectors, place);
    if constexpr (sizeof(T) == sizeof(float))
        return attendWith<RadialRows<T, Half>, W>(p, destinations, scalars, vectors, place);
    return "a table in bfloat16 needs arrays in float";
}

} // namespace

template <typename T>
const char* launchAttend(
        const AttendProblem<T>& p, int64_t destinations, T* scalars, T* vectors, const CudaPlace& place) {
    switch (p.arrowCount) {
    case 1:
        return attendFor<1>(p, destinations, scalars, vectors, place);
    case 2:
        return attendFor<2>(p, destinations, scalars, vectors, place);
    default:
        return attendFor<3>(p, destinations, scalars, vectors, place);
    }
}

template <typename T>
const char* launchAttendBackward(const AttendProblem<T>& p, int64_t destinations, int64_t first, int64_t last,
        const AttendGradients<T>& g, const CudaPlace& place) {
    const int64_t blocks = last - first;
    switch (p.arrowCount) {
    case 1:
        return launch<T>(attendBackwardKernel<1, T>, p, true, blocks, place, p, destinations, first, g);
    case 2:
        return launch<T>(attendBackwardKernel<2, T>, p, true, blocks, place, p, destinations, first, g);
    default:
        return launch<T>(attendBackwardKernel<3, T>, p, true, blocks, place, p, destinations, first, g);
    }
}

#define UNISIM_INSTANTIATE(T)                                                                                \
    template const char* launchAttend<T>(const AttendProblem<T>&, int64_t, T*, T*, const CudaPlace&);        \
    template const char* launchAttendBackward<T>(const AttendProblem<T>&, int64_t, int64_t, int64_t,         \
            const AttendGradients<T>&, const CudaPlace&);

UNISIM_INSTANTIATE(float)
UNISIM_INSTANTIATE(double)

} // namespace UniSimPlugin
