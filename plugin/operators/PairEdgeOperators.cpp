#include "PairTools.h"
#include <torch/library.h>

/**
 * Pairs and what is read off them, with derivatives (openmm_unisim/model/pair_operators.py):
 *
 *   near_pairs       pairs of atoms of each copy that are closer than a cutoff
 *   embed_pairs      ConditionedField.edges, Refinement.edges
 *   pair_sum         AtomEmbedding.neighbour_sum
 */
namespace UniSimPlugin {
namespace {

using at::Tensor;

Tensor nearPairs(const Tensor& positions, double cutoff) {
    TORCH_CHECK(positions.dim() == 3 && positions.size(2) == 3,
            "openmm_unisim::near_pairs takes positions (copies, atoms, 3).");
    int64_t copies = positions.size(0), atoms = positions.size(1), count = 0, most = atoms * (atoms + 1) / 2;
    Tensor x = positions.contiguous();
    Scratch<int64_t> first(copies * most), second(copies * most); // pages never written cost nothing
    AT_DISPATCH_FLOATING_TYPES(positions.scalar_type(), "near_pairs", [&] {
        for (int64_t copy = 0; copy < copies; copy++)
            count += pairKernels<scalar_t>().near(x.const_data_ptr<scalar_t>() + copy * atoms * 3, atoms,
                    scalar_t(cutoff), copy * atoms, first.get() + count, second.get() + count);
    });
    Tensor result = at::empty({2, count}, at::kLong);
    std::copy(first.get(), first.get() + count, result.data_ptr<int64_t>());
    std::copy(second.get(), second.get() + count, result.data_ptr<int64_t>() + count);
    return result;
}

/** One embedding as pointers; holds contiguous arrays and packed weights. */
struct EmbeddingInputs {
    Tensor points, initial, moved, kinds, reference, times, changeScale, strainWidth;
    Tensor means, betas, first, firstBias, second, secondBias;
    std::vector<Tensor> panels;
    Pairs pairs;

    EmbeddingInputs(const Tensor& points, const Tensor& initial, const Tensor& moved, const Pairs& pairs,
            at::TensorList described, at::TensorList w)
            : points(points.contiguous()), initial(initial.contiguous()), moved(moved.contiguous()),
              pairs(pairs) {
        TORCH_CHECK(described.size() == 5 && w.size() == 6 && points.dim() == 3,
                "openmm_unisim::embed_pairs takes points (copies, atoms, 3), five arrays of what is known of "
                "the "
                "pairs and six of weights.");
        Tensor* known[] = {&kinds, &reference, &times, &changeScale, &strainWidth};
        for (int k = 0; k < 5; k++)
            *known[k] = described[k].contiguous();
        Tensor* weights[] = {&means, &betas, &first, &firstBias, &second, &secondBias};
        for (int k = 0; k < 6; k++)
            *weights[k] = w[k].contiguous();
        checkOneType("embed_pairs", {points, initial, moved, reference, times, changeScale, strainWidth});
        checkOneType("embed_pairs", {points, w[0], w[1], w[2], w[3], w[4], w[5]});
    }

    void check(int64_t width) const {
        using Shape = at::IntArrayRef;
        int64_t copies = points.size(0), atoms = points.size(1), inner = first.size(0),
                outputs = second.size(0);
        bool agree = initial.sizes() == points.sizes() && moved.sizes() == points.sizes() &&
                     pairs.copies() == copies && kinds.sizes() == Shape({atoms, atoms}) &&
                     kinds.scalar_type() == at::kLong && reference.sizes() == kinds.sizes() &&
                     times.dim() == 2 && times.size(0) == copies && changeScale.sizes() == Shape({copies}) &&
                     strainWidth.sizes() == Shape({copies}) && means.sizes() == betas.sizes() &&
                     first.sizes() == Shape({inner, width}) && firstBias.sizes() == Shape({inner}) &&
                     second.sizes() == Shape({outputs, inner}) && secondBias.sizes() == Shape({outputs});
        TORCH_CHECK(agree,
                "openmm_unisim::embed_pairs was given arrays whose shapes don't agree; use PairField.");
    }

    template <typename T>
    PairEmbedding<T> problem(double decay, double cutoff, bool both, int64_t kindCount) {
        auto pointer = [](const Tensor& x) { return x.const_data_ptr<T>(); };
        panels = {
                packed<T>(first), packed<T>(second), packedTransposed<T>(first), packedTransposed<T>(second)};
        PairEmbedding<T> p{points.size(1), means.size(0), kindCount, times.size(1), first.size(0),
                second.size(0), both, T(decay), T(cutoff), pairs.first(), pairs.second(), pairs.start.data(),
                pointer(points), pointer(initial), pointer(moved), pointer(reference), pointer(times),
                pointer(changeScale), pointer(strainWidth), kinds.const_data_ptr<int64_t>(), pointer(means),
                pointer(betas), pointer(panels[0]), pointer(firstBias), pointer(panels[1]),
                pointer(secondBias), pointer(panels[2]), pointer(panels[3])};
        check(p.featureCount());
        return p;
    }
};

std::vector<Tensor> embedPairs(const Tensor& points, const Tensor& initial, const Tensor& moved,
        const Tensor& index, at::TensorList described, at::TensorList weights, double decay, double cutoff,
        bool both, int64_t kindCount) {
    EmbeddingInputs in(points, initial, moved, Pairs(index, points.size(1), points.size(0) * points.size(1)),
            described, weights);
    int64_t count = in.pairs.count();
    std::vector<Tensor> result{at::empty({count, in.second.size(0)}, points.options()),
            at::empty({count, 3, 2}, points.options()), at::empty({count}, points.options())};
    AT_DISPATCH_FLOATING_TYPES(points.scalar_type(), "embed_pairs", [&] {
        using T = scalar_t;
        auto p = in.problem<T>(decay, cutoff, both, kindCount);
        int64_t size = PAIR_CHUNK * (p.featureCount() + p.innerCount + p.radial + 1);
        overShares(
                in.pairs.copies(), shareCount(in.pairs.copies()), [&](int64_t, int64_t begin, int64_t end) {
                    Scratch<T> scratch(size);
                    pairKernels<T>().embed(p, begin, end, result[0].data_ptr<T>(), result[1].data_ptr<T>(),
                            result[2].data_ptr<T>(), scratch.get());
                });
    });
    return result;
}

/** Gradients of points and displacements, if they are wanted, and of the four weights. */
std::vector<Tensor> embedPairsBackward(at::TensorList gradients, const Tensor& points, const Tensor& initial,
        const Tensor& moved, const Tensor& index, at::TensorList described, at::TensorList weights,
        double decay, double cutoff, bool both, int64_t kindCount, bool ofPoints) {
    EmbeddingInputs in(points, initial, moved, Pairs(index, points.size(1), points.size(0) * points.size(1)),
            described, weights);
    Tensor embedded = gradients[0].contiguous(), arrows = gradients[1].contiguous();
    Tensor envelope = gradients[2].contiguous(), byPoints, byMoved;
    if (ofPoints) {
        byPoints = at::zeros_like(in.points);
        byMoved = at::zeros_like(in.points);
    }
    int64_t shares = shareCount(in.pairs.copies());
    SharedGradients added(shares, {in.first, in.firstBias, in.second, in.secondBias});
    AT_DISPATCH_FLOATING_TYPES(points.scalar_type(), "embed_pairs_backward", [&] {
        using T = scalar_t;
        auto p = in.problem<T>(decay, cutoff, both, kindCount);
        int64_t row = p.featureCount() + 3 * p.innerCount + 2 * p.outputCount + p.radial + 1;
        int64_t outer = std::max(
                outerScratch(p.outputCount, p.innerCount), outerScratch(p.innerCount, p.featureCount()));
        overShares(in.pairs.copies(), shares, [&](int64_t share, int64_t begin, int64_t end) {
            PairEmbeddingGradients<T> g{embedded.const_data_ptr<T>(), arrows.const_data_ptr<T>(),
                    envelope.const_data_ptr<T>(), ofPoints ? byPoints.data_ptr<T>() : nullptr,
                    ofPoints ? byMoved.data_ptr<T>() : nullptr, added.at<T>(share, 0), added.at<T>(share, 1),
                    added.at<T>(share, 2), added.at<T>(share, 3)};
            Scratch<T> scratch(PAIR_CHUNK * row + outer);
            pairKernels<T>().embedBackward(p, g, begin, end, scratch.get());
        });
    });
    std::vector<Tensor> result = added.sums();
    if (ofPoints)
        result.insert(result.end(), {byPoints, byMoved});
    return result;
}

/** What both passes of pair_sum read. */
struct SumInputs {
    Tensor edges, envelope, rows, weight, bias, panels, back;
    Pairs pairs;

    SumInputs(const Tensor& edges, const Tensor& envelope, const Tensor& rows, const Tensor& weight,
            const Tensor& bias, const Pairs& pairs)
            : edges(edges.contiguous()), envelope(envelope.contiguous()), rows(rows.contiguous()),
              weight(weight.contiguous()), bias(bias.contiguous()), pairs(pairs) {
        using Shape = at::IntArrayRef;
        bool agree = edges.dim() == 2 && rows.dim() == 2 && edges.size(0) == pairs.count() &&
                     envelope.sizes() == Shape({pairs.count()}) &&
                     weight.sizes() == Shape({rows.size(1), edges.size(1)}) &&
                     bias.sizes() == Shape({rows.size(1)});
        TORCH_CHECK(
                agree, "openmm_unisim::pair_sum was given arrays whose shapes don't agree; use PairField.");
        checkOneType("pair_sum", {edges, envelope, rows, weight, bias});
    }

    template <typename T>
    PairSum<T> problem() {
        panels = packed<T>(weight);
        back = packedTransposed<T>(weight);
        return {rows.size(1), edges.size(1), pairs.first(), pairs.second(), edges.const_data_ptr<T>(),
                envelope.const_data_ptr<T>(), rows.const_data_ptr<T>(), panels.const_data_ptr<T>(),
                bias.const_data_ptr<T>(), back.const_data_ptr<T>()};
    }
};

Tensor pairSum(const Tensor& edges, const Tensor& envelope, const Tensor& rows, const Tensor& weight,
        const Tensor& bias, const Tensor& index, int64_t each) {
    SumInputs in(edges, envelope, rows, weight, bias, Pairs(index, each, rows.size(0)));
    Tensor result = at::zeros_like(in.rows);
    const int64_t* offsets = in.pairs.start.data();
    AT_DISPATCH_FLOATING_TYPES(rows.scalar_type(), "pair_sum", [&] {
        auto p = in.problem<scalar_t>();
        overShares(
                in.pairs.copies(), shareCount(in.pairs.copies()), [&](int64_t, int64_t begin, int64_t end) {
                    Scratch<scalar_t> scratch(PAIR_CHUNK * p.hidden);
                    pairKernels<scalar_t>().sum(
                            p, offsets[begin], offsets[end], result.data_ptr<scalar_t>(), scratch.get());
                });
    });
    return result;
}

/** Gradients of edges, envelope, rows, weight and bias. */
std::vector<Tensor> pairSumBackward(const Tensor& gradient, const Tensor& edges, const Tensor& envelope,
        const Tensor& rows, const Tensor& weight, const Tensor& bias, const Tensor& index, int64_t each) {
    SumInputs in(edges, envelope, rows, weight, bias, Pairs(index, each, rows.size(0)));
    std::vector<Tensor> result{
            at::empty_like(in.edges), at::empty_like(in.envelope), at::zeros_like(in.rows)};
    Tensor given = gradient.contiguous();
    int64_t shares = shareCount(in.pairs.copies());
    SharedGradients added(shares, {in.weight, in.bias});
    const int64_t* offsets = in.pairs.start.data();
    AT_DISPATCH_FLOATING_TYPES(rows.scalar_type(), "pair_sum_backward", [&] {
        using T = scalar_t;
        auto p = in.problem<T>();
        overShares(in.pairs.copies(), shares, [&](int64_t share, int64_t begin, int64_t end) {
            PairSumGradients<T> g{given.const_data_ptr<T>(), result[0].data_ptr<T>(), result[1].data_ptr<T>(),
                    result[2].data_ptr<T>(), added.at<T>(share, 0), added.at<T>(share, 1)};
            Scratch<T> scratch(2 * PAIR_CHUNK * p.hidden + outerScratch(p.hidden, p.features));
            pairKernels<T>().sumBackward(p, g, offsets[begin], offsets[end], scratch.get());
        });
    });
    for (const Tensor& sum : added.sums())
        result.push_back(sum);
    return result;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(openmm_unisim, library) {
    const std::string embedding =
            "Tensor points, Tensor initial, Tensor moved, Tensor pairs, Tensor[] described, "
            "Tensor[] weights, float decay, float cutoff, bool both, int kind_count";
    const std::string sum =
            "Tensor edges, Tensor envelope, Tensor rows, Tensor weight, Tensor bias, Tensor pairs, "
            "int atoms";
    library.def("near_pairs(Tensor positions, float cutoff) -> Tensor");
    library.def(("embed_pairs(" + embedding + ") -> Tensor[]").c_str());
    library.def(("embed_pairs_backward(Tensor[] gradients, " + embedding + ", bool of_points) -> Tensor[]")
                        .c_str());
    library.def(("pair_sum(" + sum + ") -> Tensor").c_str());
    library.def(("pair_sum_backward(Tensor gradient, " + sum + ") -> Tensor[]").c_str());
}

TORCH_LIBRARY_IMPL(openmm_unisim, CPU, library) {
    library.impl("near_pairs", nearPairs);
    library.impl("embed_pairs", embedPairs);
    library.impl("embed_pairs_backward", embedPairsBackward);
    library.impl("pair_sum", pairSum);
    library.impl("pair_sum_backward", pairSumBackward);
}

} // namespace UniSimPlugin
