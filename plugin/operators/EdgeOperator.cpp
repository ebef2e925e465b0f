#include "Levels.h"
#include "OperatorTools.h"
#include <torch/library.h>

/** `openmm_unisim::embed_edges`: the edges of the conditioned form, without derivatives; see kernels/Edges.h.
 */
namespace UniSimPlugin {
namespace {

using at::Tensor;

template <typename T>
const T* pointer(const Tensor& x, at::IntArrayRef shape, const char* name) {
    TORCH_CHECK(x.sizes() == shape && x.is_contiguous(), "openmm_unisim::embed_edges was given ", name,
            " of another shape; use ConditionedField.edges.");
    return x.const_data_ptr<T>();
}

template <typename T>
EdgeProblem<T> describe(const Tensor& points, const Tensor& initial, const Tensor& moved, const Tensor& kinds,
        const Tensor& reference, const Tensor& times, const Tensor& changeScale, const Tensor& strainWidth,
        at::TensorList w, double decay, double cutoff, bool both, int64_t kindCount) {
    int64_t copies = points.size(0), atoms = points.size(1), inner = w[3].size(0), outputs = w[5].size(0);
    EdgeProblem<T> p{};
    p.atoms = atoms;
    p.radial = w[0].size(0);
    p.kindCount = kindCount;
    p.timeCount = times.size(1);
    p.innerCount = inner;
    p.outputCount = outputs;
    p.both = both;
    p.decay = T(decay);
    p.cutoff = T(cutoff);
    int64_t width = p.featureCount(), panel = panelWidth(points);
    p.points = pointer<T>(points, {copies, atoms, 3}, "points");
    p.initial = pointer<T>(initial, {copies, atoms, 3}, "initial positions");
    p.moved = pointer<T>(moved, {copies, atoms, 3}, "displacements");
    p.kinds = pointer<int64_t>(kinds, {atoms, atoms}, "kinds of pairs");
    p.reference = pointer<T>(reference, {atoms, atoms}, "reference lengths");
    p.times = pointer<T>(times, {copies, p.timeCount}, "times");
    p.changeScale = pointer<T>(changeScale, {copies}, "scales");
    p.strainWidth = pointer<T>(strainWidth, {copies}, "widths");
    p.means = pointer<T>(w[0], {p.radial}, "means");
    p.betas = pointer<T>(w[1], {p.radial}, "widths of the radial basis");
    p.firstPanels = pointer<T>(w[2], {(inner + panel - 1) / panel, width, panel}, "first weights");
    p.firstBias = pointer<T>(w[3], {inner}, "first bias");
    p.secondPanels = pointer<T>(w[4], {(outputs + panel - 1) / panel, inner, panel}, "second weights");
    p.secondBias = pointer<T>(w[5], {outputs}, "second bias");
    return p;
}

std::tuple<Tensor, Tensor, Tensor> embedEdges(const Tensor& points, const Tensor& initial,
        const Tensor& moved, const Tensor& kinds, const Tensor& reference, const Tensor& times,
        const Tensor& changeScale, const Tensor& strainWidth, at::TensorList weights, double decay,
        double cutoff, bool both, int64_t kindCount) {
    TORCH_CHECK(points.dim() == 3 && times.dim() == 2 && weights.size() == 6,
            "openmm_unisim::embed_edges takes points (copies, atoms, 3) and six arrays of weights.");
    checkInference("embed_edges",
            {points, initial, moved, reference, times, changeScale, strainWidth, weights[0], weights[2]});
    int64_t rows = points.size(0) * points.size(1), slots = points.size(1);
    Tensor embedded = at::empty({rows, slots, weights[5].size(0)}, points.options());
    Tensor arrows = at::empty({rows, slots, 3, 2}, points.options());
    Tensor envelope = at::empty({rows, slots}, points.options());
    Tensor x = points.contiguous(), x0 = initial.contiguous(), w = moved.contiguous();
    AT_DISPATCH_FLOATING_TYPES(points.scalar_type(), "embed_edges", [&] {
        auto p = describe<scalar_t>(x, x0, w, kinds, reference, times, changeScale, strainWidth, weights,
                decay, cutoff, both, kindCount);
        scalar_t *embeddedTo = embedded.data_ptr<scalar_t>(), *arrowsTo = arrows.data_ptr<scalar_t>();
        scalar_t* envelopeTo = envelope.data_ptr<scalar_t>();
        overDestinations(points.size(0), 1, [&](int64_t first, int64_t last) {
            int64_t pairs = slots * (slots + 1) / 2;
            Scratch<scalar_t> scratch(pairs * (p.featureCount() + p.innerCount + p.outputCount));
            kernels<scalar_t>().embedEdges(p, first, last, embeddedTo, arrowsTo, envelopeTo, scratch.get());
        });
    });
    return {embedded, arrows, envelope};
}

} // namespace

TORCH_LIBRARY_FRAGMENT(openmm_unisim, library) {
    library.def("embed_edges(Tensor points, Tensor initial, Tensor moved, Tensor kinds, Tensor reference, "
                "Tensor times, "
                "Tensor change_scale, Tensor strain_width, Tensor[] weights, float decay, float cutoff, bool "
                "both, "
                "int kind_count) -> (Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(openmm_unisim, CPU, library) {
    library.impl("embed_edges", embedEdges);
}

} // namespace UniSimPlugin
