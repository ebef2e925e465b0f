#include "Forms.h"
#include <cmath>
#include <torch/library.h>

/** The operators of EmbeddingOperator.cpp, FilterOperator.cpp and EdgeOperator.cpp on any device. */
namespace UniSimPlugin {
namespace {

using at::Tensor;

Tensor neighbourSum(const Tensor& values, const Tensor& index, const Tensor& mask, const Tensor& edges,
        const Tensor& envelope, const Tensor& panels, const Tensor& bias) {
    checkInference("neighbour_sum", {values, edges, envelope, bias});
    Tensor self = index.eq(at::arange(values.size(0), index.options()).unsqueeze(1));
    Tensor weight = (envelope * mask).masked_fill(self, 0).unsqueeze(1);
    Tensor filters = affine(edges, panels, bias, values.size(1));
    return at::bmm(weight, filters * sourcesOf(values, index)).squeeze(1);
}

Tensor embedAtoms(
        const Tensor& elements, const Tensor& extra, const Tensor& neighbours, at::TensorList weights) {
    TORCH_CHECK(weights.size() == 6, "openmm_unisim::embed_atoms takes six arrays of weights.");
    checkInference("embed_atoms", {extra, neighbours, weights[0], weights[2]});
    const int64_t hidden = neighbours.size(1), choices = weights[2].size(0);
    Tensor own = at::cat({weights[0].index_select(0, elements), extra}, 1);
    Tensor choice = affine(at::cat({own, neighbours}, 1), weights[1], weights[2], choices).softmax(1);
    Tensor expanded = at::bmm(choice.unsqueeze(1), weights[3].index_select(0, elements)).squeeze(1);
    return affine(at::cat({own, expanded, neighbours}, 1), weights[4], weights[5], hidden);
}

Tensor globalFilter(const Tensor& scalars, const Tensor& vectors, const Tensor& observed,
        at::TensorList weights, int64_t copies) {
    TORCH_CHECK(weights.size() == 5, "openmm_unisim::global_filter takes five arrays of weights.");
    checkInference("global_filter", {scalars, vectors, observed, weights[2]});
    const int64_t rows = scalars.size(0), hidden = scalars.size(1),
                  channels = weights[1].size(1) - hidden; // of a float panel, whose inner size isn't padded
    TORCH_CHECK(copies > 0 && rows % copies == 0 && channels >= 0,
            "openmm_unisim::global_filter was given arrays whose shapes don't agree; use GlobalFilter.");
    const int64_t atoms = rows / copies;
    Tensor directions = affine(vectors, weights[0], std::nullopt, channels);
    Tensor product = (observed.unsqueeze(-1) * directions).sum(1).view({copies, atoms, channels});
    Tensor signal = (product.sum(1, true) / std::sqrt(double(atoms))).expand({copies, atoms, channels});
    Tensor seen = at::cat({scalars, signal.reshape({rows, channels})}, 1);
    Tensor inner = at::silu(affine(seen, weights[1], weights[2], weights[2].size(0)));
    return affine(inner, weights[3], weights[4], hidden) + scalars;
}

/** x_j - x_i, (copies, i, j, 3). */
Tensor differences(const Tensor& x) {
    return x.unsqueeze(1) - x.unsqueeze(2);
}

Tensor cosineEnvelope(const Tensor& r, double cutoff) {
    return (r * (M_PI / (2 * cutoff))).cos().square() * r.lt(cutoff);
}

Tensor radialBasis(
        const Tensor& r, const Tensor& envelope, const Tensor& means, const Tensor& betas, double decay) {
    Tensor gap = (-decay * r).exp().unsqueeze(-1) - means;
    return envelope.unsqueeze(-1) * (-betas * gap.square()).exp();
}

std::tuple<Tensor, Tensor, Tensor> embedEdges(const Tensor& points, const Tensor& initial,
        const Tensor& moved, const Tensor& kinds, const Tensor& reference, const Tensor& times,
        const Tensor& changeScale, const Tensor& strainWidth, at::TensorList weights, double decay,
        double cutoff, bool both, int64_t kindCount) {
    TORCH_CHECK(points.dim() == 3 && times.dim() == 2 && weights.size() == 6,
            "openmm_unisim::embed_edges takes points (copies, atoms, 3) and six arrays of weights.");
    checkInference("embed_edges",
            {points, initial, moved, reference, times, changeScale, strainWidth, weights[0], weights[2]});
    const int64_t copies = points.size(0), atoms = points.size(1), rows = copies * atoms;
    const auto spread = [&](const Tensor& x) { // of copies or of pairs, over all edges
        return x.expand({copies, atoms, atoms, x.size(-1)});
    };
    Tensor arrow = differences(points), length = at::linalg_vector_norm(arrow, 2, {-1});
    Tensor start = at::linalg_vector_norm(differences(initial), 2, {-1});
    Tensor direction = arrow / length.masked_fill(length.eq(0), 1).unsqueeze(-1);
    Tensor relative = differences(moved);
    relative = relative / (1 + relative.square().sum(-1, true) / 16).sqrt();
    Tensor envelope = cosineEnvelope(length, cutoff);

    std::vector<Tensor> features = {radialBasis(length, envelope, weights[0], weights[1], decay)};
    if (both)
        features.push_back(radialBasis(start, cosineEnvelope(start, cutoff), weights[0], weights[1], decay));
    Tensor change = soften((length - start) / changeScale.view({copies, 1, 1}), 4);
    Tensor strain = soften((length - reference) / strainWidth.view({copies, 1, 1}), 4);
    Tensor stiff = kinds.eq(1).logical_or(kinds.eq(2)).to(points.scalar_type());
    features.push_back(change.unsqueeze(-1));
    features.push_back((strain * stiff).unsqueeze(-1));
    features.push_back(spread(oneHot(kinds, kindCount, points.scalar_type())));
    features.push_back(spread(times.view({copies, 1, 1, times.size(1)})));

    Tensor inner = at::silu(affine(at::cat(features, -1), weights[2], weights[3], weights[3].size(0)));
    Tensor embedded = at::silu(affine(inner, weights[4], weights[5], weights[5].size(0)));
    return {embedded.view({rows, atoms, weights[5].size(0)}),
            at::stack({direction, relative}, -1).view({rows, atoms, 3, 2}), envelope.view({rows, atoms})};
}

} // namespace

TORCH_LIBRARY_IMPL(openmm_unisim, CompositeExplicitAutograd, library) {
    library.impl("neighbour_sum", neighbourSum);
    library.impl("embed_atoms", embedAtoms);
    library.impl("global_filter", globalFilter);
    library.impl("embed_edges", embedEdges);
}

} // namespace UniSimPlugin
