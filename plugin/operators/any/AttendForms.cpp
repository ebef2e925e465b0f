#include "AttendForms.h"
#include "AttendInputs.h"
#include "Forms.h"
#include <torch/csrc/autograd/autograd.h>
#include <torch/library.h>

/**
 * Messages of an attention layer on any device (openmm_unisim/model/attention.py and radial_table.py define
 * them), with arrays of edges times channels:
 *
 *   attend            filters linear in edge features
 *   attend_radial     filters tabulated
 *   attend_backward   torch's derivative of the first
 */
namespace UniSimPlugin {

using at::Tensor;
using Pair = std::tuple<Tensor, Tensor>;

namespace {

using Gradients = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

/** Messages for filters (n, K, (3 + W) H) after their SiLU; what stands in padded slots doesn't matter. */
Pair messages(const Tensor& nodes, const Tensor& vectors, const Tensor& index, const Tensor& mask,
        const Tensor& filters, const Tensor& arrows, const Tensor& envelope, int64_t heads,
        bool vectorEnvelope) {
    const int64_t n = index.size(0), slots = index.size(1), hidden = vectors.size(2), w = arrows.size(3);
    TORCH_CHECK(heads > 0 && hidden % heads == 0,
            "openmm_unisim::attend takes channels that are a multiple of the heads.");
    Tensor padded = mask.logical_not().unsqueeze(-1);
    Tensor own = nodes.narrow(1, 0, hidden).unsqueeze(1);
    Tensor others = sourcesOf(nodes.narrow(1, hidden, (3 + w) * hidden), index);
    Tensor filtered = (others * filters).masked_fill(padded, 0); // key, then the parts of the value
    Tensor decay = envelope.unsqueeze(-1).masked_fill(padded, 0);

    Tensor score = (own * filtered.narrow(2, 0, hidden)).view({n, slots, heads, hidden / heads}).sum(-1);
    Tensor attention = (at::silu(score) * decay).unsqueeze(-1);
    Tensor message = filtered.narrow(2, hidden, hidden).view({n, slots, heads, hidden / heads});
    Tensor y = (message * attention).sum(1).view({n, hidden});

    Tensor gated = vectorEnvelope ? filtered * decay : filtered;
    Tensor carried = sourcesOf(vectors, index).masked_fill(padded.unsqueeze(-1), 0) *
                     gated.narrow(2, 2 * hidden, hidden).unsqueeze(2);
    Tensor directions = arrows.masked_fill(padded.unsqueeze(-1), 0).permute({0, 2, 1, 3});
    Tensor along = gated.narrow(2, 3 * hidden, w * hidden).reshape({n, slots * w, hidden});
    return {y, carried.sum(1) + at::bmm(directions.reshape({n, 3, slots * w}), along)};
}

Pair attend(const Tensor& nodes, const Tensor& vectors, const Tensor& index, const Tensor& mask,
        const Tensor& edges, const Tensor& weight, const Tensor& bias, const Tensor& arrows,
        const Tensor& envelope, int64_t heads, bool vectorEnvelope) {
    AttendInputs in(nodes, vectors, index, mask, edges, weight, bias, arrows, envelope);
    Tensor filters = at::silu(at::matmul(edges, weight.t()) + bias);
    return messages(nodes, vectors, index, mask, filters, arrows, envelope, heads, vectorEnvelope);
}

Gradients attendBackward(const Tensor& yGradient, const Tensor& bigGradient, const Tensor& nodes,
        const Tensor& vectors, const Tensor& index, const Tensor& mask, const Tensor& edges,
        const Tensor& weight, const Tensor& bias, const Tensor& arrows, const Tensor& envelope, int64_t heads,
        bool vectorEnvelope) {
    c10::impl::LocalDispatchKeySet keys = c10::impl::tls_local_dispatch_key_set();
    keys.excluded_ = keys.excluded_ - c10::autograd_dispatch_keyset_with_ADInplaceOrView;
    c10::impl::ForceDispatchKeyGuard differentiable(keys); // the caller is below autograd
    at::AutoGradMode enabled(true);
    std::vector<Tensor> x = {nodes, vectors, edges, weight, bias, arrows, envelope};
    for (Tensor& input : x)
        input = input.detach().requires_grad_();
    auto [y, big] = attend(x[0], x[1], index, mask, x[2], x[3], x[4], x[5], x[6], heads, vectorEnvelope);
    auto g = torch::autograd::grad({y, big}, x, {yGradient, bigGradient});
    return {g[0], g[1], g[2], g[3], g[4], g[5], g[6]};
}

Pair attendRadial(const Tensor& nodes, const Tensor& vectors, const Tensor& index, const Tensor& mask,
        const Tensor& distance, const Tensor& knots, const Tensor& arrows, const Tensor& envelope,
        int64_t heads, bool vectorEnvelope, double spacing, double decay, double slope) {
    checkInference("attend_radial", {nodes, vectors, distance, arrows, envelope});
    Tensor filters = radialFunctions(distance, knots, spacing, decay, slope);
    return messages(nodes, vectors, index, mask, filters, arrows, envelope, heads, vectorEnvelope);
}

} // namespace

Tensor radialFunctions(
        const Tensor& distance, const Tensor& knots, double spacing, double decay, double slope) {
    TORCH_CHECK(knots.dim() == 3 && knots.size(0) >= 2 && knots.size(1) == 2,
            "A fused operator was given no radial table; prepare the module again.");
    isHalf(knots, distance.scalar_type());
    const int64_t count = knots.size(0);
    Tensor place = ((1 - (-decay * distance).exp() + slope * distance) / spacing).clamp_max(count - 1);
    Tensor knot = place.nan_to_num(0.0).clamp(0, count - 2).to(at::kLong); // NaN stays in x
    Tensor x = (place - knot).unsqueeze(-1), rest = 1 - x;
    Tensor low = sourcesOf(knots, knot).to(distance.scalar_type());
    Tensor high = sourcesOf(knots, knot + 1).to(distance.scalar_type());
    return (1 + 2 * x) * rest.square() * low.select(2, 0) + x * rest.square() * low.select(2, 1) +
           x.square() * (3 - 2 * x) * high.select(2, 0) - x.square() * rest * high.select(2, 1);
}

Pair callAttend(const Tensor& nodes, const Tensor& vectors, const Tensor& index, const Tensor& mask,
        const Tensor& edges, const Tensor& weight, const Tensor& bias, const Tensor& arrows,
        const Tensor& envelope, int64_t heads, bool vectorEnvelope) {
    static auto call = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("openmm_unisim::attend", "")
                               .typed<decltype(attend)>();
    return call.call(
            nodes, vectors, index, mask, edges, weight, bias, arrows, envelope, heads, vectorEnvelope);
}

Pair callAttendRadial(const Tensor& nodes, const Tensor& vectors, const Tensor& index, const Tensor& mask,
        const Tensor& distance, const Tensor& knots, const Tensor& arrows, const Tensor& envelope,
        int64_t heads, bool vectorEnvelope, double spacing, double decay, double slope) {
    static auto call = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("openmm_unisim::attend_radial", "")
                               .typed<decltype(attendRadial)>();
    return call.call(nodes, vectors, index, mask, distance, knots, arrows, envelope, heads, vectorEnvelope,
            spacing, decay, slope);
}

TORCH_LIBRARY_FRAGMENT(openmm_unisim, library) {
    library.def("attend_radial(Tensor nodes, Tensor vectors, Tensor index, Tensor mask, Tensor distance, "
                "Tensor knots, Tensor edge_vectors, Tensor envelope, int heads, bool vector_envelope, "
                "float spacing, float decay, float slope) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(openmm_unisim, CompositeExplicitAutograd, library) {
    library.impl("attend", attend);
    library.impl("attend_backward", attendBackward);
    library.impl("attend_radial", attendRadial);
}

} // namespace UniSimPlugin
