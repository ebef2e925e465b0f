#include "Multiply.h"
#include <torch/library.h>

/**
 * `openmm_unisim::embed_atoms`: AtomEmbedding.forward after its neighbour sum, without derivatives. The
 * expansion tables of all atoms (n, D, H), which the plain layer gathers, are never made.
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
        checkPanels(choice, 2 * hidden, count);
        checkPanels(combine, 3 * hidden, hidden);
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
    library.def("embed_atoms(Tensor z_index, Tensor extra, Tensor neighbours, Tensor[] weights) -> Tensor");
}

TORCH_LIBRARY_IMPL(openmm_unisim, CPU, library) {
    library.impl("embed_atoms", embedAtoms);
}

} // namespace UniSimPlugin
