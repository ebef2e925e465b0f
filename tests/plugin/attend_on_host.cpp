#include "cuda/AttendLauncher.h"
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <vector>

/**
 * A program around launch_on_host.cpp, so that a checker of data races can watch it (test_cuda_source.py):
 *
 *   attend_on_host TYPE TABLE THREADS INPUT OUTPUT
 *
 * TYPE is float or double; TABLE linear, radial or half. INPUT holds eight int64 (destinations, slots,
 * hidden, heads, arrowCount, features, vectorEnvelope, knots), three numbers of the table, then the arrays in
 * the order of `read` below; OUTPUT what was computed: messages and, for linear filters, their derivatives.
 */
namespace UniSimPlugin {
namespace {

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

template <typename T>
void attend(Files& files, const AttendProblem<T>& p, int64_t n, const CudaPlace& place) {
    std::vector<T> y(n * p.hidden), big(3 * n * p.hidden);
    launchAttend(p, n, y.data(), big.data(), place);
    files.write(y);
    files.write(big);
    if (p.table.count > 0)
        return;
    const int64_t edges = n * p.slots;
    const auto gy = files.read<T>(n * p.hidden), gBig = files.read<T>(3 * n * p.hidden);
    std::vector<T> nodes(n * (2 + p.parts()) * p.hidden), vectors(3 * n * p.hidden);
    std::vector<T> filters(edges * p.width()), arrows(edges * 3 * p.arrowCount), envelope(edges);
    AttendGradients<T> g{gy.data(), gBig.data(), nodes.data(), vectors.data(), filters.data(), arrows.data(),
            envelope.data()};
    launchAttendBackward(p, n, 0, n, g, place);
    for (const auto* result : {&nodes, &vectors, &filters, &arrows, &envelope})
        files.write(*result);
}

template <typename T>
void run(Files& files, const char* table, const CudaPlace& place) {
    const auto sizes = files.read<int64_t>(8);
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
    attend(files, p, n, place);
}

} // namespace
} // namespace UniSimPlugin

int main(int count, char** words) {
    if (count != 6)
        return 2;
    UniSimPlugin::Files files{
            std::ifstream(words[4], std::ios::binary), std::ofstream(words[5], std::ios::binary)};
    const UniSimPlugin::CudaPlace place{std::atoi(words[3]), nullptr};
    if (std::strcmp(words[1], "double") == 0)
        UniSimPlugin::run<double>(files, words[2], place);
    else
        UniSimPlugin::run<float>(files, words[2], place);
    return 0;
}
