#include "Multiply.h"
#include <torch/library.h>

/**
 * The atom embedding without derivatives (openmm_unisim/model/embedding.py defines it):
 *
 *   neighbour_sum     AtomEmbedding.neighbour_sum; radial_sum is the same of tabulated filters
 *   embed_atoms       AtomEmbedding.forward after that sum. The expansion tables of all atoms (n, D, H),
 * which the plain layer gathers, are never made.
 */
namespace UniSimPlugin {
namespace {

using at::Tensor;

/** The weights, in the order of openmm_unisim/model/inference.py. */
template <typename T>
struct EmbeddingWeights {
    Tensor choice, combine; // packed
    const T *element, *choiceBias, *expansion, *combineBias;
    int64_t ownWidth, count, hidden;

    EmbeddingWeights(at::TensorList w, int64_t width)
            : choice(w[1]), combine(w[4]), element(w[0].const_data_ptr<T>()),
              choiceBias(w[2].const_data_ptr<T>()), expansion(w[3].const_data_ptr<T>()),
              combineBias(w[5].const_data_ptr<T>()), ownWidth(w[0].size(1)), count(w[2].size(0)),
              hidden(width) {
        checkPanels<T>(choice, 2 * hidden, count);
        checkPanels<T>(combine, 3 * hidden, hidden);
        TORCH_CHECK(w[3].sizes() == at::IntArrayRef({w[0].size(0), count, hidden}) && w[3].is_contiguous() &&
                            w[0].is_contiguous() && w[5].size(0) == hidden,
                "openmm_unisim::embed_atoms was given weights of other sizes; prepare the module again.");
    }
};

/** Rows [E[z]; extra; n], and then [E[z]; extra; e; n], of one block of atoms. */
template <typename T>
void embedBlock(const EmbeddingWeights<T>& w, const int64_t* kinds, const T* extra, const T* neighbours,
        int64_t rows, T* result, T* scratch) {
    const int64_t hidden = w.hidden, extras = hidden - w.ownWidth;
    T *seen = scratch, *logits = seen + rows * 3 * hidden;
    auto fill = [&](int64_t stride) {
        for (int64_t row = 0; row < rows; row++) {
            T* to = seen + row * stride;
            to = std::copy_n(w.element + kinds[row] * w.ownWidth, w.ownWidth, to);
            std::copy_n(extra + row * extras, extras, to);
            std::copy_n(neighbours + row * hidden, hidden, seen + (row + 1) * stride - hidden);
        }
    };
    fill(2 * hidden);
    multiplyRows(seen, rows, 2 * hidden, w.choice, w.choiceBias, w.count, logits);
    fill(3 * hidden);
    kernels<T>().expandRows(logits, w.expansion, kinds, rows, w.count, hidden, seen + hidden, 3 * hidden);
    multiplyRows(seen, rows, 3 * hidden, w.combine, w.combineBias, hidden, result);
}

/** Filters are linear in the edge features, with packed weights; an atom isn't its own neighbour. */
Tensor neighbourSum(const Tensor& values, const Tensor& index, const Tensor& mask, const Tensor& edges,
        const Tensor& envelope, const Tensor& panels, const Tensor& bias) {
    checkInference("neighbour_sum", {values, edges, envelope, panels, bias});
    Tensor x = values.contiguous(), sources = index.contiguous(), features = edges.contiguous();
    const int64_t atoms = x.size(0), slots = index.size(1), hidden = x.size(1), count = features.size(2);
    TORCH_CHECK(sources.size(0) == atoms && envelope.sizes() == sources.sizes() &&
                        mask.sizes() == sources.sizes() && features.size(0) == atoms &&
                        features.size(1) == slots && bias.size(0) == hidden,
            "openmm_unisim::neighbour_sum was given arrays whose shapes don't agree; use AtomEmbedding.");
    checkSources(sources, atoms);
    Tensor weight = (envelope * mask).contiguous(), result = at::empty_like(x);
    const int64_t* j = sources.const_data_ptr<int64_t>();
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "neighbour_sum", [&] {
        checkPanels<scalar_t>(panels, count, hidden);
        scalar_t* w = weight.data_ptr<scalar_t>();
        for (int64_t i = 0; i < atoms; i++)
            for (int64_t k = i * slots; k < (i + 1) * slots; k++)
                w[k] = j[k] == i ? scalar_t(0) : w[k];
        const scalar_t *from = features.const_data_ptr<scalar_t>(), *rows = x.const_data_ptr<scalar_t>();
        scalar_t* to = result.data_ptr<scalar_t>();
        overBlocks<scalar_t>(
                atoms, 1, 0, (slots + 1) * hidden, [&](int64_t first, int64_t last, scalar_t* scratch) {
                    int64_t edge = first * slots;
                    kernels<scalar_t>().neighbourSum(from + edge * count, panels.const_data_ptr<scalar_t>(),
                            bias.const_data_ptr<scalar_t>(), j + edge, w + edge, rows, last - first, slots,
                            count, hidden, to + first * hidden, scratch);
                });
    });
    return result;
}

Tensor embedAtoms(
        const Tensor& kinds, const Tensor& extra, const Tensor& neighbours, at::TensorList weights) {
    TORCH_CHECK(weights.size() == 6, "openmm_unisim::embed_atoms takes six arrays of weights.");
    checkInference("embed_atoms", {neighbours, extra, weights[0], weights[2], weights[3], weights[5]});
    Tensor z = kinds.contiguous(), more = extra.contiguous(), n = neighbours.contiguous();
    const int64_t atoms = n.size(0), hidden = n.size(1), elements = weights[0].size(0);
    TORCH_CHECK(z.dim() == 1 && z.size(0) == atoms && z.scalar_type() == at::kLong &&
                        more.sizes() == at::IntArrayRef({atoms, hidden - weights[0].size(1)}),
            "openmm_unisim::embed_atoms was given arrays whose shapes don't agree; use AtomEmbedding.");
    const int64_t* kind = z.const_data_ptr<int64_t>();
    TORCH_CHECK(std::all_of(kind, kind + atoms, [&](int64_t k) { return k >= 0 && k < elements; }),
            "openmm_unisim::embed_atoms was given an element outside the vocabulary.");
    Tensor result = at::empty_like(n);
    AT_DISPATCH_FLOATING_TYPES(n.scalar_type(), "embed_atoms", [&] {
        EmbeddingWeights<scalar_t> w(weights, hidden);
        const scalar_t *extras = more.const_data_ptr<scalar_t>(), *sums = n.const_data_ptr<scalar_t>();
        scalar_t* to = result.data_ptr<scalar_t>();
        overBlocks<scalar_t>(
                atoms, 1, 3 * hidden + w.count, 0, [&](int64_t first, int64_t last, scalar_t* scratch) {
                    embedBlock(w, kind + first, extras + first * more.size(1), sums + first * hidden,
                            last - first, to + first * hidden, scratch);
                });
    });
    return result;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(openmm_unisim, library) {
    library.def(
            "neighbour_sum(Tensor values, Tensor index, Tensor mask, Tensor edge_features, Tensor envelope, "
            "Tensor panels, Tensor bias) -> Tensor");
    library.def("embed_atoms(Tensor z_index, Tensor extra, Tensor neighbours, Tensor[] weights) -> Tensor");
}

TORCH_LIBRARY_IMPL(openmm_unisim, CPU, library) {
    library.impl("neighbour_sum", neighbourSum);
    library.impl("embed_atoms", embedAtoms);
}

} // namespace UniSimPlugin
