#include "PairTools.h"
#include <torch/library.h>

/**
 * `openmm_unisim::pair_layer`: EquivariantAttention.forward over pairs, and its derivatives. The loops are in
 * kernels/PairLayer.h; openmm_unisim/model/pair_operators.py tells torch that the second belongs to the
 * first.
 */
namespace UniSimPlugin {
namespace {

using at::Tensor;

/** Everything that both passes read. */
struct LayerInputs {
    Tensor scalars, vectors, edges, arrows, envelope;
    Tensor normWeight, normBias, node, nodeBias, mix, output, outputBias, filter, filterBias;
    Pairs pairs;
    int64_t each, heads;
    double epsilon;

    LayerInputs(const Tensor& scalars, const Tensor& vectors, const Tensor& index, int64_t each,
            const Tensor& edges, const Tensor& arrows, const Tensor& envelope, at::TensorList w,
            int64_t heads, double epsilon)
            : scalars(scalars.contiguous()), vectors(vectors.contiguous()), edges(edges.contiguous()),
              arrows(arrows.contiguous()), envelope(envelope.contiguous()),
              pairs(index, each, scalars.size(0)), each(each), heads(heads), epsilon(epsilon) {
        TORCH_CHECK(w.size() == 9, "openmm_unisim::pair_layer takes nine arrays of weights.");
        Tensor* own[] = {
                &normWeight, &normBias, &node, &nodeBias, &mix, &output, &outputBias, &filter, &filterBias};
        for (int k = 0; k < 9; k++)
            *own[k] = w[k].contiguous();
        check();
        checkOneType("pair_layer", {scalars, vectors, edges, arrows, envelope});
        checkOneType("pair_layer", {scalars, w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]});
    }

    int64_t atoms() const {
        return scalars.size(0);
    }
    int64_t hidden() const {
        return scalars.size(1);
    }

    void check() const {
        using Shape = at::IntArrayRef;
        TORCH_CHECK(scalars.dim() == 2 && arrows.dim() == 3 && edges.dim() == 2,
                "openmm_unisim::pair_layer takes scalars (n, H), edges (P, F) and arrows (P, 3, W).");
        int64_t n = atoms(), h = hidden(), w = arrows.size(2), p = pairs.count(), f = edges.size(1);
        TORCH_CHECK(w == 1 || w == 2, "openmm_unisim::pair_layer handles 1 or 2 vectors per edge, not ", w,
                "; use the plain layer.");
        TORCH_CHECK(heads > 0 && h % heads == 0,
                "openmm_unisim::pair_layer takes channels that are a multiple of the heads.");
        bool agree = vectors.sizes() == Shape({n, 3, h}) && edges.size(0) == p &&
                     envelope.sizes() == Shape({p}) && arrows.sizes() == Shape({p, 3, w}) &&
                     normWeight.sizes() == Shape({h}) && normBias.sizes() == Shape({h}) &&
                     node.sizes() == Shape({(4 + w) * h, h}) && nodeBias.sizes() == Shape({(4 + w) * h}) &&
                     mix.sizes() == Shape({3 * h, h}) && output.sizes() == Shape({3 * h, h}) &&
                     outputBias.sizes() == Shape({3 * h}) && filter.sizes() == Shape({(3 + w) * h, f}) &&
                     filterBias.sizes() == Shape({(3 + w) * h});
        TORCH_CHECK(
                agree, "openmm_unisim::pair_layer was given arrays whose shapes don't agree; use PairField.");
    }
};

/** A layer as pointers; holds the packed weights. */
template <typename T>
struct PackedPairLayer {
    Tensor node, mix, output, filter, nodeBack, mixBack, outputBack, filterBack;
    PairLayer<T> layer{};

    PackedPairLayer(const LayerInputs& in, bool backward) {
        auto pointer = [](const Tensor& x) { return x.const_data_ptr<T>(); };
        if (backward) {
            nodeBack = packedTransposed<T>(in.node);
            mixBack = packedTransposed<T>(in.mix);
            outputBack = packedTransposed<T>(in.output);
            filterBack = packedTransposed<T>(in.filter);
            layer.nodeTransposed = pointer(nodeBack);
            layer.mixTransposed = pointer(mixBack);
            layer.outputTransposed = pointer(outputBack);
        }
        else {
            node = packed<T>(in.node);
            mix = packed<T>(in.mix);
            output = packed<T>(in.output);
            layer.node = pointer(node);
            layer.mix = pointer(mix);
            layer.output = pointer(output);
        }
        filter = packed<T>(in.filter);
        layer.epsilon = T(in.epsilon);
        layer.normWeight = pointer(in.normWeight);
        layer.normBias = pointer(in.normBias);
        layer.nodeBias = pointer(in.nodeBias);
        layer.outputBias = pointer(in.outputBias);
        PairMessages<T>& p = layer.messages;
        p = {in.hidden(), in.heads, in.arrows.size(2), in.edges.size(1), in.pairs.first(), in.pairs.second(),
                nullptr, nullptr, pointer(in.edges), pointer(in.arrows), pointer(in.envelope),
                pointer(filter), pointer(in.filterBias), backward ? pointer(filterBack) : nullptr};
    }
};

template <typename T>
int64_t backwardScratch(const LayerInputs& in, const PairMessages<T>& p) {
    int64_t h = p.hidden, pair = PAIR_CHUNK * (3 * p.width() + 6 * p.heads) + 2 * h;
    int64_t outer = std::max(
            {outerScratch(p.width(), p.features), outerScratch(p.stride(), h), outerScratch(3 * h, h)});
    return blockAtoms(in.each) * (14 * h + p.stride()) + pair + outer;
}

/** Results, and what the backward pass reads: normed, nodes, mixed, y, gates. */
std::vector<Tensor> pairLayer(const Tensor& scalars, const Tensor& vectors, const Tensor& index, int64_t each,
        const Tensor& edges, const Tensor& arrows, const Tensor& envelope, at::TensorList weights,
        int64_t heads, double epsilon) {
    LayerInputs in(scalars, vectors, index, each, edges, arrows, envelope, weights, heads, epsilon);
    int64_t n = in.atoms(), h = in.hidden();
    auto made = [&](at::IntArrayRef shape) { return at::empty(shape, scalars.options()); };
    std::vector<Tensor> made_{made({n, h}), made({n, 3, h}), made({n, h}), made({n, in.node.size(0)}),
            made({n, 3, 3 * h}), made({n, h}), made({n, 3 * h})};
    AT_DISPATCH_FLOATING_TYPES(scalars.scalar_type(), "pair_layer", [&] {
        using T = scalar_t;
        PackedPairLayer<T> own(in, false);
        auto pointer = [&](int k) { return made_[k].data_ptr<T>(); };
        PairLayerState<T> state{in.scalars.const_data_ptr<T>(), in.vectors.const_data_ptr<T>(), pointer(2),
                pointer(3), pointer(4), pointer(5), pointer(6), pointer(0), pointer(1)};
        const int64_t* offsets = in.pairs.start.data();
        const PairMessages<T>& p = own.layer.messages;
        overShares(
                in.pairs.copies(), shareCount(in.pairs.copies()), [&](int64_t, int64_t begin, int64_t end) {
                    Scratch<T> scratch(PAIR_CHUNK * (p.width() + 2 * heads) + 2 * h);
                    overBlocks(begin, end, each, [&](int64_t copy, int64_t last) {
                        pairKernels<T>().layer(own.layer, state, copy * each, last * each, offsets[copy],
                                offsets[last], scratch.get());
                    });
                });
    });
    return made_;
}

/** Gradients of scalars, vectors, edges, arrows, envelope and the nine weights. */
std::vector<Tensor> pairLayerBackward(const Tensor& scalarGradient, const Tensor& vectorGradient,
        const Tensor& scalars, const Tensor& vectors, const Tensor& index, int64_t each, const Tensor& edges,
        const Tensor& arrows, const Tensor& envelope, at::TensorList weights, at::TensorList saved,
        int64_t heads, double epsilon) {
    LayerInputs in(scalars, vectors, index, each, edges, arrows, envelope, weights, heads, epsilon);
    TORCH_CHECK(saved.size() == 5,
            "openmm_unisim::pair_layer_backward takes the five arrays of the forward pass.");
    int64_t shares = shareCount(in.pairs.copies());
    Tensor gx = scalarGradient.contiguous(), gv = vectorGradient.contiguous();
    std::vector<Tensor> result{at::empty_like(in.scalars), at::empty_like(in.vectors),
            at::empty_like(in.edges), at::empty_like(in.arrows), at::empty_like(in.envelope)};
    SharedGradients added(shares, weights);
    AT_DISPATCH_FLOATING_TYPES(scalars.scalar_type(), "pair_layer_backward", [&] {
        using T = scalar_t;
        PackedPairLayer<T> own(in, true);
        auto pointer = [&](int k) { return saved[k].data_ptr<T>(); };
        PairLayerState<T> state{in.scalars.const_data_ptr<T>(), in.vectors.const_data_ptr<T>(), pointer(0),
                pointer(1), pointer(2), pointer(3), pointer(4), nullptr, nullptr};
        const int64_t* offsets = in.pairs.start.data();
        int64_t size = backwardScratch(in, own.layer.messages);
        overShares(in.pairs.copies(), shares, [&](int64_t share, int64_t begin, int64_t end) {
            auto mine = [&](int k) { return added.at<T>(share, k); };
            auto written = [&](int k) { return result[k].data_ptr<T>(); };
            PairLayerGradients<T> g{gx.const_data_ptr<T>(), gv.const_data_ptr<T>(), written(0), written(1),
                    written(2), written(3), written(4), mine(0), mine(1), mine(2), mine(3), mine(4), mine(5),
                    mine(6), mine(7), mine(8)};
            Scratch<T> scratch(size);
            overBlocks(begin, end, each, [&](int64_t copy, int64_t last) {
                pairKernels<T>().layerBackward(own.layer, state, g, copy * each, last * each, offsets[copy],
                        offsets[last], scratch.get());
            });
        });
    });
    for (const Tensor& sum : added.sums())
        result.push_back(sum);
    return result;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(openmm_unisim, library) {
    const std::string common = "Tensor scalars, Tensor vectors, Tensor pairs, int atoms, "
                               "Tensor edges, Tensor arrows, Tensor envelope, Tensor[] weights, ";
    library.def(("pair_layer(" + common + "int heads, float epsilon) -> Tensor[]").c_str());
    library.def(("pair_layer_backward(Tensor scalars_gradient, Tensor vectors_gradient, " + common +
                 "Tensor[] saved, int heads, float epsilon) -> Tensor[]")
                        .c_str());
}

TORCH_LIBRARY_IMPL(openmm_unisim, CPU, library) {
    library.impl("pair_layer", pairLayer);
    library.impl("pair_layer_backward", pairLayerBackward);
}

} // namespace UniSimPlugin
