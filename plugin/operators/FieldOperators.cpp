#include "Multiply.h"
#include <torch/library.h>

/**
 * Operators on the scalars of atoms, without derivatives, in place of a dozen small ones each (their twins
 * are named in brackets):
 *
 *   embed_atoms       [model.embedding.AtomEmbedding.forward]
 *   global_filter     [model.global_filter.GlobalFilter.forward]
 */
namespace UniSimPlugin {
namespace {

using at::Tensor;

/** Rows [own; ...; neighbours] of the embedding's linear layers, in one array. */
template <typename T>
void putColumns(const T* from, int64_t rows, int64_t width, T* to, int64_t stride) {
    for (int64_t row = 0; row < rows; row++)
        std::copy(from + row * width, from + (row + 1) * width, to + row * stride);
}

/** Sum of an element's expansion rows, weighted by the softmax of `scores`. */
template <typename T>
void expand(const T* scores, const T* table, int64_t choices, int64_t hidden, T* to) {
    T largest = *std::max_element(scores, scores + choices), sum = 0;
    std::vector<T> weights(choices);
    for (int64_t k = 0; k < choices; k++)
        sum += weights[k] = std::exp(scores[k] - largest);
    std::fill(to, to + hidden, T(0));
    for (int64_t k = 0; k < choices; k++)
        for (int64_t c = 0; c < hidden; c++)
            to[c] += weights[k] / sum * table[k * hidden + c];
}

/**
 * weights: elements, elements as neighbours, edge layer and its bias, layer of the expansion's weights and
 * its bias, expansion table, combining layer and its bias; linear layers packed.
 */
Tensor embedAtoms(const Tensor& elements, const Tensor& extra, const Tensor& index, const Tensor& mask,
        const Tensor& edges, const Tensor& envelope, at::TensorList weights) {
    TORCH_CHECK(weights.size() == 9, "openmm_unisim::embed_atoms takes nine arrays of weights.");
    checkInference("embed_atoms", {extra, edges, envelope, weights[0], weights[2]});
    Tensor z = elements.contiguous(), sources = index.contiguous(), features = edges.contiguous();
    int64_t atoms = z.size(0), slots = index.size(1), hidden = weights[1].size(1),
            choices = weights[6].size(1);
    checkSources(z, weights[0].size(0));
    checkSources(sources, atoms);
    TORCH_CHECK(sources.size(0) == atoms && envelope.sizes() == sources.sizes() &&
                        mask.sizes() == sources.sizes() && features.size(1) == slots &&
                        extra.size(0) == atoms && extra.size(1) + weights[0].size(1) == hidden &&
                        weights[2].size(1) == features.size(2),
            "openmm_unisim::embed_atoms was given arrays whose shapes don't agree; use AtomEmbedding.");
    Tensor own = at::cat({weights[0].index_select(0, z), extra}, 1), weight = envelope * mask;
    Tensor values = weights[1].index_select(0, z), neighbours = at::empty_like(own), result;
    AT_DISPATCH_FLOATING_TYPES(own.scalar_type(), "embed_atoms", [&] {
        using T = scalar_t;
        const int64_t* j = sources.const_data_ptr<int64_t>();
        T* w = weight.data_ptr<T>();
        for (int64_t i = 0; i < atoms; i++)
            for (int64_t k = i * slots; k < (i + 1) * slots; k++)
                w[k] = j[k] == i ? T(0) : w[k];
        overDestinations(atoms, 8, [&](int64_t first, int64_t last) {
            Scratch<T> scratch((slots + 1) * hidden);
            kernels<T>().neighbourSum(features.const_data_ptr<T>() + first * slots * features.size(2),
                    weights[2].const_data_ptr<T>(), weights[3].const_data_ptr<T>(), j + first * slots,
                    w + first * slots, values.const_data_ptr<T>(), last - first, slots, features.size(2),
                    hidden, neighbours.data_ptr<T>() + first * hidden, scratch.get());
        });
        Tensor rows = at::empty({atoms, 3 * hidden}, own.options());
        T* to = rows.data_ptr<T>();
        Tensor scores = multiply<T>(
                at::cat({own, neighbours}, 1), weights[4], weights[5].const_data_ptr<T>(), choices);
        putColumns(own.const_data_ptr<T>(), atoms, hidden, to, 3 * hidden);
        putColumns(neighbours.const_data_ptr<T>(), atoms, hidden, to + 2 * hidden, 3 * hidden);
        for (int64_t i = 0; i < atoms; i++)
            expand(scores.const_data_ptr<T>() + i * choices,
                    weights[6].const_data_ptr<T>() + z.const_data_ptr<int64_t>()[i] * choices * hidden,
                    choices, hidden, to + (3 * i + 1) * hidden);
        result = multiply<T>(rows, weights[7], weights[8].const_data_ptr<T>(), hidden);
    });
    return result;
}

/** Signals of one copy of the molecule, appended to its rows of scalars. */
template <typename T>
void appendSignals(const T* directions, const T* observed, const T* scalars, int64_t atoms, int64_t hidden,
        int64_t channels, T* rows) {
    std::vector<T> signal(channels, T(0));
    for (int64_t a = 0; a < 3 * atoms; a++)
        for (int64_t k = 0; k < channels; k++)
            signal[k] += observed[a] * directions[a * channels + k];
    T scale = T(1) / std::sqrt(T(atoms));
    for (int64_t i = 0; i < atoms; i++, rows += hidden + channels) {
        std::copy(scalars + i * hidden, scalars + (i + 1) * hidden, rows);
        for (int64_t k = 0; k < channels; k++)
            rows[hidden + k] = scale * signal[k];
    }
}

/** weights: direction, first layer and its bias, second layer and its bias. */
Tensor globalFilter(const Tensor& scalars, const Tensor& vectors, const Tensor& observed,
        at::TensorList weights, int64_t copies) {
    TORCH_CHECK(weights.size() == 5, "openmm_unisim::global_filter takes five arrays of weights.");
    checkInference("global_filter", {scalars, vectors, observed, weights[2]});
    Tensor x = scalars.contiguous(), v = vectors.contiguous(), moved = observed.contiguous();
    int64_t rows = x.size(0), hidden = x.size(1), channels = weights[1].size(1) - hidden;
    TORCH_CHECK(
            copies > 0 && rows % copies == 0 && v.size(0) == rows && moved.size(0) == rows && channels >= 0,
            "openmm_unisim::global_filter was given arrays whose shapes don't agree; use GlobalFilter.");
    int64_t atoms = rows / copies;
    Tensor result;
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "global_filter", [&] {
        using T = scalar_t;
        Tensor directions = multiply<T>(v, weights[0], nullptr, channels);
        Tensor seen = at::empty({rows, hidden + channels}, x.options());
        for (int64_t copy = 0; copy < copies; copy++)
            appendSignals(directions.const_data_ptr<T>() + copy * atoms * 3 * channels,
                    moved.const_data_ptr<T>() + copy * atoms * 3,
                    x.const_data_ptr<T>() + copy * atoms * hidden, atoms, hidden, channels,
                    seen.data_ptr<T>() + copy * atoms * (hidden + channels));
        Tensor inner = multiply<T>(seen, weights[1], weights[2].const_data_ptr<T>(), weights[2].size(0));
        kernels<T>().activate(inner.data_ptr<T>(), inner.numel());
        result = multiply<T>(inner, weights[3], weights[4].const_data_ptr<T>(), hidden).add_(x);
    });
    return result;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(openmm_unisim, library) {
    library.def("embed_atoms(Tensor z_index, Tensor extra, Tensor index, Tensor mask, Tensor edge_features, "
                "Tensor envelope, Tensor[] weights) -> Tensor");
    library.def(
            "global_filter(Tensor scalars, Tensor vectors, Tensor observed, Tensor[] weights, int copies) -> "
            "Tensor");
}

TORCH_LIBRARY_IMPL(openmm_unisim, CPU, library) {
    library.impl("embed_atoms", embedAtoms);
    library.impl("global_filter", globalFilter);
}

} // namespace UniSimPlugin
