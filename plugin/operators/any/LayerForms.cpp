#include "AttendForms.h"
#include "Forms.h"
#include "LayerWeights.h"
#include <torch/library.h>

/** The operators of LayerOperators.cpp on any device; messages by the device's own kernel if it has one. */
namespace UniSimPlugin {
namespace {

using at::Tensor;
using Pair = std::tuple<Tensor, Tensor>;

Tensor linear(const Tensor& x, const Tensor& panels, const Tensor& bias) {
    checkInference("linear", {x, bias});
    return affine(x, panels, bias, bias.size(0));
}

/** Query, key and the parts of the value of each atom. */
Tensor nodesOf(const Tensor& scalars, const LayerWeights& w, double epsilon) {
    Tensor normed = at::layer_norm(scalars, {scalars.size(1)}, w.normWeight, w.normBias, epsilon);
    return affine(normed, w.nodes, w.nodeBias, w.nodeBias.size(0));
}

/** The layer after its messages: dx = s o2 + o3 with s = sum_xyz V1 V2, dV = V3 o1 + Y. */
Pair update(const Tensor& scalars, const Tensor& vectors, const Pair& messages, const LayerWeights& w) {
    const int64_t hidden = scalars.size(1);
    auto mixed = affine(vectors, w.mix, std::nullopt, 3 * hidden).chunk(3, -1);
    auto gates = affine(std::get<0>(messages), w.output, w.outputBias, 3 * hidden).chunk(3, -1);
    Tensor product = (mixed[0] * mixed[1]).sum(1);
    return {scalars + product * gates[1] + gates[2],
            vectors + mixed[2] * gates[0].unsqueeze(1) + std::get<1>(messages)};
}

Pair attentionLayer(const Tensor& scalars, const Tensor& vectors, const Tensor& index, const Tensor& mask,
        const Tensor& edges, const Tensor& arrows, const Tensor& envelope, at::TensorList weights,
        int64_t heads, bool vectorEnvelope, double epsilon, int64_t) {
    TORCH_CHECK(weights.size() == 9, "openmm_unisim::attention_layer takes nine arrays of weights.");
    checkInference("attention_layer", {scalars, vectors, edges, arrows, envelope, weights[0]});
    LayerWeights w(weights);
    Tensor filters = unpackPanels(weights[7], weights[8].size(0), edges.size(2));
    Pair messages = callAttend(nodesOf(scalars, w, epsilon), vectors, index, mask, edges, filters, weights[8],
            arrows, envelope, heads, vectorEnvelope);
    return update(scalars, vectors, messages, w);
}

Pair attentionRadial(const Tensor& scalars, const Tensor& vectors, const Tensor& index, const Tensor& mask,
        const Tensor& distance, const Tensor& arrows, const Tensor& envelope, at::TensorList weights,
        int64_t heads, bool vectorEnvelope, double epsilon, double spacing, double decay, double slope) {
    TORCH_CHECK(weights.size() == 8, "openmm_unisim::attention_radial takes eight arrays of weights.");
    checkInference("attention_radial", {scalars, vectors, distance, arrows, envelope, weights[0]});
    LayerWeights w(weights);
    Pair messages = callAttendRadial(nodesOf(scalars, w, epsilon), vectors, index, mask, distance, weights[7],
            arrows, envelope, heads, vectorEnvelope, spacing, decay, slope);
    return update(scalars, vectors, messages, w);
}

Tensor radialSum(const Tensor& values, const Tensor& index, const Tensor& distance, const Tensor& weights,
        const Tensor& knots, double spacing, double decay, double slope) {
    checkInference("radial_sum", {values, distance, weights});
    Tensor filters = radialFunctions(distance, knots, spacing, decay, slope);
    return (weights.unsqueeze(-1) * filters * sourcesOf(values, index)).sum(1);
}

/** V <- gamma V / (std_channels |V| + 1e-5). */
Tensor normalised(const Tensor& vectors, const Tensor& scale) {
    Tensor length = at::linalg_vector_norm(vectors, 2, {1}, true);
    Tensor spread = length.std(at::OptionalIntArrayRef({2}), /*correction=*/1, /*keepdim=*/true);
    return scale * vectors / (spread + 1e-5);
}

Pair gatedHead(
        const Tensor& scalars, const Tensor& vectors, at::TensorList weights, const Tensor& normScale) {
    TORCH_CHECK(weights.size() == 5, "openmm_unisim::gated_head takes five arrays of weights.");
    checkInference("gated_head", {scalars, vectors, weights[2]});
    const int64_t hidden = scalars.size(1), total = weights[4].size(0), outputs = total - hidden;
    Tensor seen = normScale.numel() == 1 ? normalised(vectors, normScale) : vectors;
    Tensor mixed = affine(seen, weights[0], std::nullopt, total);
    Tensor length = at::linalg_vector_norm(mixed.narrow(2, 0, hidden), 2, {1});
    Tensor inner =
            at::silu(affine(at::cat({scalars, length}, 1), weights[1], weights[2], weights[2].size(0)));
    Tensor gated = affine(inner, weights[3], weights[4], total);
    return {gated.narrow(1, 0, hidden),
            mixed.narrow(2, hidden, outputs) * gated.narrow(1, hidden, outputs).unsqueeze(1)};
}

} // namespace

TORCH_LIBRARY_IMPL(openmm_unisim, CompositeExplicitAutograd, library) {
    library.impl("linear", linear);
    library.impl("attention_layer", attentionLayer);
    library.impl("attention_radial", attentionRadial);
    library.impl("radial_sum", radialSum);
    library.impl("gated_head", gatedHead);
}

} // namespace UniSimPlugin
