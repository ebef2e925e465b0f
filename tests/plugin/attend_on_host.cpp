#include "cuda/AttendBackwardBlock.h"
#include <atomic>
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <vector>

/**
 * The CUDA source of the messages on the host: as many threads of the host as a block is to have, one
 * destination after another. test_cuda_source.py compiles this, with a checker of data races, and compares
 * the numbers.
 *
 * attend_on_host TYPE TABLE THREADS INPUT OUTPUT: TYPE float or double; TABLE linear, radial or half. INPUT
 * holds ten int64 (destinations, slots, hidden, heads, arrowCount, features, vectorEnvelope, knots and two
 * unused), three numbers of the table, then the arrays in the order of `read` below; OUTPUT what was
 * computed.
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

/** Runs work(block) in all threads of the blocks of all destinations. */
template <class Work>
void runBlocks(int64_t destinations, int threads, const Work& work) {
    Barrier meeting(threads);
    auto own = [&](int thread) {
        for (int64_t i = 0; i < destinations; i++) {
            work(HostBlock{thread, threads, i, &meeting});
            meeting.arrive_and_wait(); // blocks share one piece of memory here
        }
    };
    std::vector<std::thread> team;
    for (int thread = 0; thread < threads; thread++)
        team.emplace_back(own, thread);
    for (std::thread& thread : team)
        thread.join();
}

struct Files {
    std::ifstream in;
    std::ofstream out;

    template <typename N>
    std::vector<N> read(int64_t count) {
        std::vector<N> values(count);
        in.read(reinterpret_cast<char*>(values.data()), count * sizeof(N));
        if (!in)
            throw std::runtime_error("the input is too short");
        return values;
    }
    template <typename N>
    void write(const std::vector<N>& values) {
        out.write(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(N));
    }
};

template <class Rows, int W, typename T>
void forward(Files& files, const AttendProblem<T>& p, int64_t n, int threads) {
    Shared<T> s;
    std::vector<char> memory(share<T>(p, false, threads, nullptr, s));
    share<T>(p, false, threads, memory.data(), s);
    std::vector<T> y(n * p.hidden), big(3 * n * p.hidden);
    runBlocks(n, threads, [&](const HostBlock& block) {
        attendDestination<Rows, W>(block, p, n, s, y.data(), big.data());
    });
    files.write(y);
    files.write(big);
}

template <int W, typename T>
void backward(Files& files, const AttendProblem<T>& p, int64_t n, int threads) {
    const int64_t edges = n * p.slots, stride = (2 + p.parts()) * p.hidden;
    auto gy = files.read<T>(n * p.hidden), gBig = files.read<T>(3 * n * p.hidden);
    std::vector<T> nodes(n * stride), vectors(3 * n * p.hidden), filters(edges * p.width());
    std::vector<T> arrows(edges * 3 * W), envelope(edges);
    AttendGradients<T> g{gy.data(), gBig.data(), nodes.data(), vectors.data(), filters.data(), arrows.data(),
            envelope.data()};
    Shared<T> s;
    std::vector<char> memory(share<T>(p, true, threads, nullptr, s));
    share<T>(p, true, threads, memory.data(), s);
    runBlocks(n, threads, [&](const HostBlock& block) {
        attendBackwardDestination<W>(
                block, p, n, g, g.filters + block.destination() * p.slots * p.width(), s);
    });
    for (const auto* result : {&nodes, &vectors, &filters, &arrows, &envelope})
        files.write(*result);
}

template <int W, typename T>
void runWith(Files& files, const AttendProblem<T>& p, int64_t n, int threads) {
    if (p.table.halfKnots != nullptr)
        return forward<RadialRows<T, Half>, W>(files, p, n, threads);
    if (p.table.knots != nullptr)
        return forward<RadialRows<T, T>, W>(files, p, n, threads);
    forward<LinearRows<T>, W>(files, p, n, threads);
    backward<W>(files, p, n, threads);
}

template <typename T>
void run(Files& files, const char* table, int threads) {
    const auto sizes = files.read<int64_t>(10);
    const auto shape = files.read<T>(3);
    const int64_t n = sizes[0];
    AttendProblem<T> p{};
    p.slots = sizes[1];
    p.hidden = sizes[2];
    p.heads = sizes[3];
    p.arrowCount = sizes[4];
    p.features = sizes[5];
    p.vectorEnvelope = sizes[6] != 0;
    const int64_t edges = n * p.slots;
    const auto index = files.read<int64_t>(edges);
    const auto mask = files.read<uint8_t>(edges);
    const auto nodes = files.read<T>(n * (2 + p.parts()) * p.hidden),
               vectors = files.read<T>(3 * n * p.hidden);
    const auto arrows = files.read<T>(edges * 3 * p.arrowCount), envelope = files.read<T>(edges);
    const auto features = files.read<T>(edges * p.features), weights = files.read<T>(p.features * p.width());
    const auto bias = files.read<T>(p.width()), distance = files.read<T>(edges);
    const bool half = std::strcmp(table, "half") == 0, linear = std::strcmp(table, "linear") == 0;
    const auto knots = files.read<T>(half ? 0 : sizes[7] * 2 * p.width());
    const auto halfKnots = files.read<Half>(half ? sizes[7] * 2 * p.width() : 0);
    p.index = index.data();
    p.mask = reinterpret_cast<const bool*>(mask.data());
    p.nodes = nodes.data();
    p.vectors = vectors.data();
    p.arrows = arrows.data();
    p.envelope = envelope.data();
    p.edges = features.data();
    p.panels = weights.data();
    p.bias = bias.data();
    p.distance = distance.data();
    if (!linear)
        p.table = {half ? nullptr : knots.data(), half ? halfKnots.data() : nullptr, sizes[7], shape[0],
                shape[1], shape[2]};
    switch (p.arrowCount) {
    case 1:
        return runWith<1>(files, p, n, threads);
    case 2:
        return runWith<2>(files, p, n, threads);
    default:
        return runWith<3>(files, p, n, threads);
    }
}

} // namespace
} // namespace UniSimPlugin

int main(int count, char** words) {
    if (count != 6)
        return 2;
    UniSimPlugin::Files files{
            std::ifstream(words[4], std::ios::binary), std::ofstream(words[5], std::ios::binary)};
    if (std::strcmp(words[1], "double") == 0)
        UniSimPlugin::run<double>(files, words[2], std::atoi(words[3]));
    else
        UniSimPlugin::run<float>(files, words[2], std::atoi(words[3]));
    return 0;
}
