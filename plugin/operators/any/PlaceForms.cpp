#include "Forms.h"
#include <torch/library.h>

/** The operators of PlaceOperators.cpp on any device. */
namespace UniSimPlugin {
namespace {

using at::Tensor;
using Pair = std::tuple<Tensor, Tensor>;

/** [p_i + p_j; p_i p_j; kind, one-hot]. */
Tensor describePairs(const Tensor& first, const Tensor& second, const Tensor& kind, int64_t kinds) {
    return at::cat({first + second, first * second, oneHot(kind, kinds, first.scalar_type())}, -1);
}

Pair describePlaces(
        const Tensor& elements, const Tensor& adjacency, const Tensor& distance, at::TensorList weights) {
    TORCH_CHECK(weights.size() >= 6 && weights.size() % 3 == 0,
            "openmm_unisim::describe_places was given another number of weights; prepare the module again.");
    checkInference("describe_places", {weights[0], adjacency});
    const int64_t rounds = int64_t(weights.size()) / 3 - 2, width = weights[0].size(1);
    Tensor place = weights[0].index_select(0, elements);
    for (int64_t k = 0; k < rounds; k++) {
        Tensor near = at::mm(adjacency, affine(place, weights[3 * k + 3], std::nullopt, width));
        place = place + at::silu(affine(place, weights[3 * k + 1], weights[3 * k + 2], width) + near);
    }
    place = at::layer_norm(place, {width});
    const at::TensorList w = weights.slice(3 * rounds + 1);
    Tensor rows = describePairs(place.unsqueeze(1), place.unsqueeze(0), distance, w[4].size(0));
    Tensor inner = at::silu(affine(rows, w[0], w[1], w[1].size(0)));
    Tensor correction = at::matmul(inner, w[2].view({-1})) + w[3];
    Tensor typical = w[4].index_select(0, distance.reshape(-1)).view_as(distance);
    return {place, typical + 0.3 * correction};
}

/** Two linear layers with SiLU between. */
Tensor network(const Tensor& x, at::TensorList w) {
    return affine(at::silu(affine(x, w[0], w[1], w[1].size(0))), w[2], w[3], w[3].size(0));
}

Pair restraintVariances(const Tensor& endPoint, const Tensor& place, const Tensor& reference,
        const Tensor& times, const Tensor& pairs, const Tensor& apart, const Tensor& centres,
        at::TensorList weights, double limit, double heightBase, double restBase) {
    TORCH_CHECK(weights.size() == 9, "openmm_unisim::restraint_variances takes nine arrays of weights.");
    checkInference("restraint_variances", {endPoint, place, reference, times, weights[0]});
    const int64_t copies = endPoint.size(0), atoms = endPoint.size(1), count = pairs.size(0);
    const Tensor &typical = weights[8], first = pairs.select(1, 0), second = pairs.select(1, 1);
    const auto bounded = [limit](const Tensor& x) { return limit * at::tanh(x / limit); };
    const auto ofCopies = [&](const Tensor& x) { return x.expand({copies, x.size(-2), x.size(-1)}); };
    const auto timed = [&](int64_t rows) { return times.unsqueeze(1).expand({copies, rows, times.size(1)}); };

    Tensor length = at::linalg_vector_norm(
            endPoint.index_select(1, first) - endPoint.index_select(1, second), 2, {-1});
    Tensor expected = reference.reshape(-1).index_select(0, first * atoms + second);
    Tensor shortfall = (expected - length).masked_fill(apart.gt(2), 0);

    Tensor fixed = describePairs(
            place.index_select(0, first), place.index_select(0, second), apart, typical.size(0));
    Tensor seen = at::tanh(shortfall / 0.3).unsqueeze(-1);
    Tensor raw = network(at::cat({ofCopies(fixed), timed(count), seen}, 2), weights.slice(0, 4)).squeeze(-1);
    Tensor own = bounded(network(at::cat({ofCopies(place), timed(atoms)}, 2), weights.slice(4, 4)));
    Tensor ofPairs = typical.index_select(0, apart) + bounded(raw);
    Tensor heights = heightBase + own.select(2, 0).index_select(1, centres.select(1, 0));
    Tensor variances = ofPairs.to(at::kDouble).exp() + shortfall.to(at::kDouble).square();
    return {at::cat({variances, heights.to(at::kDouble).exp()}, 1),
            (restBase + own.select(2, 1)).to(at::kDouble).exp()};
}

} // namespace

TORCH_LIBRARY_IMPL(openmm_unisim, CompositeExplicitAutograd, library) {
    library.impl("describe_places", describePlaces);
    library.impl("restraint_variances", restraintVariances);
}

} // namespace UniSimPlugin
