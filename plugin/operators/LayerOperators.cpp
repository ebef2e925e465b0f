#include "LayerWeights.h"
#include "Multiply.h"
#include <algorithm>
#include <torch/library.h>

/**
 * Operators for inference, without derivatives: whole attention layers, heads and linear layers on packed
 * weights. openmm_unisim/model/inference.py packs the weights and calls them.
 *
 *   linear              x W^T + b
 *   attention_layer     EquivariantAttention.forward
 *   attention_radial    the same for filters that are functions of the distance, tabulated
 *   radial_sum          AtomEmbedding.neighbour_sum, likewise
 *   gated_head          GatedVectorHead.forward
 */
namespace UniSimPlugin {
namespace {

using at::Tensor;
using Pair = std::tuple<Tensor, Tensor>;
const int64_t LARGEST_BLOCK = 64; // atoms up to which the filters of all pairs stay in a cache

Tensor linear(const Tensor& x, const Tensor& panels, const Tensor& bias) {
    checkInference("linear", {x, bias});
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = bias.size(0);
    Tensor result, rows = x.contiguous();
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "linear", [&] {
        result = multiply<scalar_t>(rows, panels, bias.const_data_ptr<scalar_t>(), bias.size(0));
    });
    return result.view(shape);
}

/** A layer around the messages that `p` describes; p.nodes and p.vectors are set here. */
template <typename T>
Pair layer(AttendProblem<T>& p, const Tensor& scalars, const Tensor& vectors, const LayerWeights& w,
        double epsilon) {
    const int64_t atoms = scalars.size(0), hidden = p.hidden, columns = w.nodeBias.size(0);
    const int64_t unit = std::max<int64_t>(1, p.block); // a block stays together
    const Kernels<T>& loops = kernels<T>();
    checkPanels<T>(w.nodes, hidden, columns);
    checkPanels<T>(w.mix, hidden, 3 * hidden);
    checkPanels<T>(w.output, hidden, 3 * hidden);
    Tensor nodes = at::empty({atoms, columns}, scalars.options());
    Tensor newScalars = at::empty_like(scalars), newVectors = at::empty_like(vectors);
    const T *x = scalars.const_data_ptr<T>(), *v = vectors.const_data_ptr<T>();
    T *nodesTo = nodes.data_ptr<T>(), *xTo = newScalars.data_ptr<T>(), *vTo = newVectors.data_ptr<T>();
    overBlocks<T>(atoms, unit, hidden, 0, [&](int64_t first, int64_t last, T* normed) {
        loops.normaliseRows(x + first * hidden, w.normWeight.const_data_ptr<T>(),
                w.normBias.const_data_ptr<T>(), T(epsilon), last - first, hidden, normed);
        multiplyRows(normed, last - first, hidden, w.nodes, w.nodeBias.const_data_ptr<T>(), columns,
                nodesTo + first * columns);
    });
    p.nodes = nodesTo;
    p.vectors = v;
    overBlocks<T>(atoms, unit, 16 * hidden, scratchSize(p), [&](int64_t first, int64_t last, T* y) {
        int64_t rows = last - first;
        T *big = y + rows * hidden, *mixed = big + rows * 3 * hidden, *gates = mixed + rows * 9 * hidden;
        AttendProblem<T> own = p;
        own.firstResult = first;
        loops.attend(own, first, last, y, big, gates + rows * 3 * hidden);
        multiplyRows<T>(v + first * 3 * hidden, 3 * rows, hidden, w.mix, nullptr, 3 * hidden, mixed);
        multiplyRows<T>(y, rows, hidden, w.output, w.outputBias.const_data_ptr<T>(), 3 * hidden, gates);
        std::copy(x + first * hidden, x + last * hidden, xTo + first * hidden);
        std::copy(v + first * 3 * hidden, v + last * 3 * hidden, vTo + first * 3 * hidden);
        loops.update(mixed, gates, big, rows, hidden, xTo + first * hidden, vTo + first * 3 * hidden);
    });
    return {newScalars, newVectors};
}

/** Shapes and pointers that both kinds of layers share. */
template <typename T>
AttendProblem<T> describe(const Tensor& scalars, const Tensor& vectors, const Tensor& index,
        const Tensor& mask, const Tensor& arrows, const Tensor& envelope, int64_t heads,
        bool vectorEnvelope) {
    int64_t atoms = vectors.size(0), slots = index.size(1);
    TORCH_CHECK(vectors.dim() == 3 && heads > 0 &&
                        scalars.sizes() == at::IntArrayRef({atoms, vectors.size(2)}) &&
                        index.sizes() == at::IntArrayRef({atoms, slots}) && mask.sizes() == index.sizes() &&
                        envelope.sizes() == index.sizes() && arrows.dim() == 4 && arrows.size(0) == atoms &&
                        arrows.size(1) == slots && arrows.size(2) == 3 && arrows.size(3) >= 1 &&
                        arrows.size(3) <= 3 && vectors.size(2) % heads == 0,
            "openmm_unisim::attention_layer was given arrays whose shapes don't agree; use "
            "EquivariantAttention.");
    checkSources(index, atoms);
    AttendProblem<T> p{};
    p.slots = slots;
    p.hidden = vectors.size(2);
    p.heads = heads;
    p.arrowCount = arrows.size(3);
    p.vectorEnvelope = vectorEnvelope;
    p.index = index.const_data_ptr<int64_t>();
    p.mask = mask.const_data_ptr<bool>();
    p.arrows = arrows.const_data_ptr<T>();
    p.envelope = envelope.const_data_ptr<T>();
    return p;
}

Pair attentionLayer(const Tensor& scalars, const Tensor& vectors, const Tensor& index, const Tensor& mask,
        const Tensor& edges, const Tensor& arrows, const Tensor& envelope, at::TensorList weights,
        int64_t heads, bool vectorEnvelope, double epsilon, int64_t block) {
    TORCH_CHECK(weights.size() == 9, "openmm_unisim::attention_layer takes nine arrays of weights.");
    checkInference("attention_layer", {scalars, vectors, edges, arrows, envelope, weights[0]});
    Tensor x = scalars.contiguous(), v = vectors.contiguous(), u = arrows.contiguous(),
           c = envelope.contiguous();
    Tensor sources = index.contiguous(), real = mask.contiguous(), features = edges.contiguous();
    Pair result;
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "attention_layer", [&] {
        auto p = describe<scalar_t>(x, v, sources, real, u, c, heads, vectorEnvelope);
        TORCH_CHECK(weights[7].size(1) == features.size(2) && weights[8].size(0) == p.width(),
                "openmm_unisim::attention_layer was given filters of other sizes; prepare the module again.");
        TORCH_CHECK(block == 0 || (block == p.slots && x.size(0) % block == 0),
                "openmm_unisim::attention_layer takes blocks that are fully connected; check the neighbour "
                "table.");
        p.block = block <= LARGEST_BLOCK ? block : 0;
        p.features = features.size(2);
        p.edges = features.const_data_ptr<scalar_t>();
        p.panels = weights[7].const_data_ptr<scalar_t>();
        p.bias = weights[8].const_data_ptr<scalar_t>();
        result = layer<scalar_t>(p, x, v, LayerWeights(weights), epsilon);
    });
    return result;
}

template <typename T>
RadialKnots<T> knotsOf(const Tensor& knots, double spacing, double decay, double slope) {
    TORCH_CHECK(knots.dim() == 3 && knots.size(0) >= 2 && knots.size(1) == 2 && knots.is_contiguous(),
            "A fused operator was given no radial table; prepare the module again.");
    bool half = isHalf(knots, c10::CppTypeToScalarType<T>::value);
    return {half ? nullptr : knots.const_data_ptr<T>(), half ? halfNumbers(knots) : nullptr, knots.size(0),
            T(spacing), T(decay), T(slope)};
}

Tensor radialSum(const Tensor& values, const Tensor& index, const Tensor& distance, const Tensor& weights,
        const Tensor& knots, double spacing, double decay, double slope) {
    checkInference("radial_sum", {values, distance, weights});
    Tensor x = values.contiguous(), sources = index.contiguous(), r = distance.contiguous();
    Tensor w = weights.contiguous(), result = at::empty_like(x);
    int64_t atoms = x.size(0), width = x.size(1), slots = sources.size(1);
    TORCH_CHECK(sources.size(0) == atoms && r.sizes() == sources.sizes() && w.sizes() == sources.sizes() &&
                        knots.size(2) == width,
            "openmm_unisim::radial_sum was given arrays whose shapes don't agree; use AtomEmbedding.");
    checkSources(sources, atoms);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "radial_sum", [&] {
        RadialKnots<scalar_t> table = knotsOf<scalar_t>(knots, spacing, decay, slope);
        const scalar_t *from = x.const_data_ptr<scalar_t>(), *lengths = r.const_data_ptr<scalar_t>();
        const scalar_t* factors = w.const_data_ptr<scalar_t>();
        const int64_t* source = sources.const_data_ptr<int64_t>();
        scalar_t* to = result.data_ptr<scalar_t>();
        overBlocks<scalar_t>(atoms, 1, 0, width, [&](int64_t first, int64_t last, scalar_t* scratch) {
            int64_t edge = first * slots;
            kernels<scalar_t>().radialSum(table, from, source + edge, lengths + edge, factors + edge,
                    last - first, slots, width, to + first * width, scratch);
        });
    });
    return result;
}

Pair attentionRadial(const Tensor& scalars, const Tensor& vectors, const Tensor& index, const Tensor& mask,
        const Tensor& distance, const Tensor& arrows, const Tensor& envelope, at::TensorList weights,
        int64_t heads, bool vectorEnvelope, double epsilon, double spacing, double decay, double slope) {
    TORCH_CHECK(weights.size() == 8, "openmm_unisim::attention_radial takes eight arrays of weights.");
    checkInference("attention_radial", {scalars, vectors, distance, arrows, envelope, weights[0]});
    Tensor x = scalars.contiguous(), v = vectors.contiguous(), u = arrows.contiguous(),
           c = envelope.contiguous();
    Tensor sources = index.contiguous(), real = mask.contiguous(), r = distance.contiguous();
    Pair result;
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "attention_radial", [&] {
        auto p = describe<scalar_t>(x, v, sources, real, u, c, heads, vectorEnvelope);
        TORCH_CHECK(weights[7].size(-1) == p.width() && r.sizes() == sources.sizes(),
                "openmm_unisim::attention_radial was given a table of other sizes; prepare the module "
                "again.");
        p.distance = r.const_data_ptr<scalar_t>();
        p.table = knotsOf<scalar_t>(weights[7], spacing, decay, slope);
        result = layer<scalar_t>(p, x, v, LayerWeights(weights), epsilon);
    });
    return result;
}

/** weights: mix, first and its bias, second and its bias; norm_scale is empty where vectors aren't
 * normalised. */
Pair gatedHead(
        const Tensor& scalars, const Tensor& vectors, at::TensorList weights, const Tensor& normScale) {
    TORCH_CHECK(weights.size() == 5, "openmm_unisim::gated_head takes five arrays of weights.");
    checkInference("gated_head", {scalars, vectors, weights[2]});
    Tensor x = scalars.contiguous(), v = vectors.contiguous();
    const int64_t atoms = x.size(0), hidden = x.size(1), total = weights[4].size(0), outputs = total - hidden;
    const int64_t inner = weights[2].size(0);
    Tensor gated = at::empty({atoms, total}, x.options());
    Tensor carried = at::empty({atoms, 3, outputs}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "gated_head", [&] {
        checkPanels<scalar_t>(weights[0], hidden, total);
        checkPanels<scalar_t>(weights[1], 2 * hidden, inner);
        checkPanels<scalar_t>(weights[3], inner, total);
        const bool norms = normScale.numel() == 1;
        const scalar_t scale = norms ? normScale.item<scalar_t>() : scalar_t(1);
        const scalar_t *xFrom = x.const_data_ptr<scalar_t>(), *vFrom = v.const_data_ptr<scalar_t>();
        scalar_t *gatedTo = gated.data_ptr<scalar_t>(), *carriedTo = carried.data_ptr<scalar_t>();
        const Kernels<scalar_t>& loops = kernels<scalar_t>();
        const scalar_t* firstBias = weights[2].const_data_ptr<scalar_t>();
        const scalar_t* secondBias = weights[4].const_data_ptr<scalar_t>();
        const int64_t each = 3 * hidden + 3 * total + 2 * hidden + inner;
        overBlocks<scalar_t>(atoms, 1, each, hidden, [&](int64_t first, int64_t last, scalar_t* normed) {
            int64_t rows = last - first;
            scalar_t *mixed = normed + rows * 3 * hidden, *seen = mixed + rows * 3 * total;
            scalar_t *within = seen + rows * 2 * hidden, *lengths = within + rows * inner;
            const scalar_t* own = vFrom + first * 3 * hidden;
            if (norms)
                loops.normaliseVectors(own, scale, rows, hidden, lengths, normed);
            multiplyRows<scalar_t>(norms ? normed : own, 3 * rows, hidden, weights[0], nullptr, total, mixed);
            loops.measure(xFrom + first * hidden, mixed, rows, hidden, outputs, seen);
            multiplyRows(seen, rows, 2 * hidden, weights[1], firstBias, inner, within);
            loops.activate(within, rows * inner);
            multiplyRows(within, rows, inner, weights[3], secondBias, total, gatedTo + first * total);
            loops.carry(
                    mixed, gatedTo + first * total, rows, hidden, outputs, carriedTo + first * 3 * outputs);
        });
    });
    return {gated.narrow(1, 0, hidden), carried};
}

} // namespace

TORCH_LIBRARY_FRAGMENT(openmm_unisim, library) {
    library.def("linear(Tensor x, Tensor panels, Tensor bias) -> Tensor");
    library.def("attention_layer(Tensor scalars, Tensor vectors, Tensor index, Tensor mask, Tensor "
                "edge_features, Tensor edge_vectors, Tensor envelope, Tensor[] weights, int heads, "
                "bool vector_envelope, float epsilon, SymInt symmetric_block) -> (Tensor, Tensor)");
    library.def(
            "attention_radial(Tensor scalars, Tensor vectors, Tensor index, Tensor mask, Tensor distance, "
            "Tensor edge_vectors, Tensor envelope, Tensor[] weights, int heads, bool vector_envelope, "
            "float epsilon, float spacing, float decay, float slope) -> (Tensor, Tensor)");
    library.def("radial_sum(Tensor values, Tensor index, Tensor distance, Tensor weights, Tensor knots, "
                "float spacing, float decay, float slope) -> Tensor");
    library.def("gated_head(Tensor scalars, Tensor vectors, Tensor[] weights, Tensor norm_scale) -> (Tensor, "
                "Tensor)");
}

TORCH_LIBRARY_IMPL(openmm_unisim, CPU, library) {
    library.impl("linear", linear);
    library.impl("attention_layer", attentionLayer);
    library.impl("attention_radial", attentionRadial);
    library.impl("radial_sum", radialSum);
    library.impl("gated_head", gatedHead);
}

} // namespace UniSimPlugin
