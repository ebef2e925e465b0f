#include "cuda/AttendBackwardBlock.h"
#include "cuda/AttendLauncher.h"
#include <atomic>
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

/**
 * In place of Attend.cu: the same loops with threads of the host as a block's, which wait for each other
 * where the GPU's would, one destination after another. `CudaPlace::device` is the number of threads, 4
 * unless positive.
 */
namespace UniSimPlugin {
namespace {

using Barrier = std::barrier<>;

/** One thread of a block whose warps are single threads. */
struct HostBlock {
    int own, count;
    int64_t where;
    Barrier* meeting;

    int thread() const {
        return own;
    }
    int threads() const {
        return count;
    }
    int64_t destination() const {
        return where;
    }
    void sync() const {
        meeting->arrive_and_wait();
    }
    int warp() const {
        return own;
    }
    int warps() const {
        return count;
    }
    bool leadsWarp() const {
        return true;
    }
    template <typename T>
    T warpSum(T x) const {
        return x;
    }
    template <typename T>
    void add(T* to, T x) const {
        std::atomic_ref<T>(*to).fetch_add(x);
    }
    void require(bool holds) const {
        if (!holds) {
            std::fputs("an index lies outside the atoms\n", stderr);
            std::_Exit(3);
        }
    }
};

/** Runs work(block, shared) in all threads of the blocks of the destinations [first, last). */
template <typename T, class Work>
const char* launch(const AttendProblem<T>& p, bool backward, int64_t first, int64_t last,
        const CudaPlace& place, const Work& work) {
    const int threads = place.device > 0 ? place.device : 4;
    Barrier meeting(threads);
    Shared<T> shared;
    std::vector<char> memory(share<T>(p, backward, threads, nullptr, shared));
    share<T>(p, backward, threads, memory.data(), shared);
    auto own = [&](int thread) {
        for (int64_t i = first; i < last; i++) {
            work(HostBlock{thread, threads, i, &meeting}, shared);
            meeting.arrive_and_wait(); // all blocks have one piece of memory here
        }
    };
    std::vector<std::thread> team;
    for (int thread = 0; thread < threads; thread++)
        team.emplace_back(own, thread);
    for (std::thread& thread : team)
        thread.join();
    return nullptr;
}

template <class Rows, int W, typename T>
const char* attendWith(
        const AttendProblem<T>& p, int64_t destinations, T* scalars, T* vectors, const CudaPlace& place) {
    return launch(p, false, 0, destinations, place, [&](const HostBlock& block, const Shared<T>& s) {
        attendDestination<Rows, W>(block, p, destinations, s, scalars, vectors);
    });
}

template <int W, typename T>
const char* attendFor(
        const AttendProblem<T>& p, int64_t destinations, T* scalars, T* vectors, const CudaPlace& place) {
    if (p.table.count == 0)
        return attendWith<LinearRows<T>, W>(p, destinations, scalars, vectors, place);
    if (p.table.halfKnots == nullptr)
        return attendWith<RadialRows<T, T>, W>(p, destinations, scalars, vectors, place);
    return attendWith<RadialRows<T, Half>, W>(p, destinations, scalars, vectors, place);
}

template <int W, typename T>
const char* backwardFor(const AttendProblem<T>& p, int64_t destinations, int64_t first, int64_t last,
        const AttendGradients<T>& g, const CudaPlace& place) {
    return launch(p, true, first, last, place, [&](const HostBlock& block, const Shared<T>& s) {
        attendBackwardDestination<W>(block, p, destinations, g,
                g.filters + (block.destination() - first) * p.slots * p.width(), s);
    });
}

} // namespace

template <typename T>
const char* launchAttend(
        const AttendProblem<T>& p, int64_t destinations, T* scalars, T* vectors, const CudaPlace& place) {
    auto* chosen = p.arrowCount == 1   ? attendFor<1, T>
                   : p.arrowCount == 2 ? attendFor<2, T>
                                       : attendFor<3, T>;
    return chosen(p, destinations, scalars, vectors, place);
}

template <typename T>
const char* launchAttendBackward(const AttendProblem<T>& p, int64_t destinations, int64_t first, int64_t last,
        const AttendGradients<T>& g, const CudaPlace& place) {
    auto* chosen = p.arrowCount == 1   ? backwardFor<1, T>
                   : p.arrowCount == 2 ? backwardFor<2, T>
                                       : backwardFor<3, T>;
    return chosen(p, destinations, first, last, g, place);
}

template const char* launchAttend<float>(
        const AttendProblem<float>&, int64_t, float*, float*, const CudaPlace&);
template const char* launchAttend<double>(
        const AttendProblem<double>&, int64_t, double*, double*, const CudaPlace&);
template const char* launchAttendBackward<float>(const AttendProblem<float>&, int64_t, int64_t, int64_t,
        const AttendGradients<float>&, const CudaPlace&);
template const char* launchAttendBackward<double>(const AttendProblem<double>&, int64_t, int64_t, int64_t,
        const AttendGradients<double>&, const CudaPlace&);

} // namespace UniSimPlugin
