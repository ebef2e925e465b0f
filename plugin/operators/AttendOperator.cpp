#include "AttendInputs.h"
#include <algorithm>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

/**
 * `openmm_unisim::attend`: messages of an attention layer, with first derivatives. The loops are in kernels/;
 * here are shapes, threads and what torch must know. docs/architecture.md describes the arguments.
 */
namespace UniSimPlugin {
namespace {

using at::Tensor;
using Pair = std::tuple<Tensor, Tensor>;
using Gradients = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;
const int64_t CHUNK_EDGES = 384; // filters of a chunk and their gradients stay in the second-level cache

Pair attendOnCpu(const Tensor& nodes, const Tensor& vectors, const Tensor& index, const Tensor& mask,
        const Tensor& edges, const Tensor& weight, const Tensor& bias, const Tensor& arrows,
        const Tensor& envelope, int64_t heads, bool vectorEnvelope) {
    AttendInputs in(nodes, vectors, index, mask, edges, weight, bias, arrows, envelope);
    checkSources(in.index, in.atoms());
    Tensor y = at::empty({in.atoms(), in.hidden()}, nodes.options()), big = at::empty_like(in.vectors);
    AT_DISPATCH_FLOATING_TYPES(nodes.scalar_type(), "attend", [&] {
        Tensor panels = packPanels(in.weight);
        AttendProblem<scalar_t> p = in.problem<scalar_t>(panels, heads, vectorEnvelope);
        scalar_t *scalarsOut = y.data_ptr<scalar_t>(), *vectorsOut = big.data_ptr<scalar_t>();
        overDestinations(in.atoms(), 1, [&](int64_t first, int64_t last) {
            Scratch<scalar_t> scratch(scratchSize(p));
            kernels<scalar_t>().attend(p, first, last, scalarsOut, vectorsOut, scratch.get());
        });
    });
    return {y, big};
}

/** What the destinations of one thread add to: sources may be anybody's, so that each thread has its own. */
struct Share {
    Tensor nodes, vectors, weight, bias;
};

/** Derivatives of the destinations [begin, end): added to `share`, and written to rows of their own in `g`.
 */
template <typename T>
void backwardShare(const AttendInputs& in, const AttendProblem<T>& p, const Tensor& transposed,
        AttendGradients<T> g, T* edges, int64_t begin, int64_t end, Share& share) {
    int64_t chunk = std::max<int64_t>(1, CHUNK_EDGES / std::max<int64_t>(1, p.slots));
    Tensor filters = at::empty({std::min(chunk, end - begin) * p.slots, p.width()}, in.nodes.options());
    Tensor part = at::empty_like(share.weight);
    Scratch<T> scratch(scratchSize(p));
    g.nodes = share.nodes.data_ptr<T>();
    g.ownVectors = share.vectors.data_ptr<T>();
    g.filters = filters.data_ptr<T>();
    for (int64_t first = begin; first < end; first += chunk) {
        int64_t last = std::min(end, first + chunk), rows = (last - first) * p.slots;
        kernels<T>().attendBackward(p, first, last, g, scratch.get());
        Tensor seen = packPanels(in.edges.narrow(0, first, last - first).view({rows, p.features}).t());
        kernels<T>().product(g.filters, p.width(), transposed.const_data_ptr<T>(), nullptr, rows, p.width(),
                p.features, edges + first * p.slots * p.features, p.features);
        kernels<T>().transposedProduct(g.filters, seen.const_data_ptr<T>(), p.width(), rows, p.features,
                part.data_ptr<T>(), p.features);
        share.weight.add_(part);
        share.bias.add_(filters.narrow(0, 0, rows).sum(0));
    }
}

/** Derivatives by nodes, vectors, edges, weight, bias, arrows and envelope. */
template <typename T>
Gradients backward(const AttendInputs& in, const Tensor& yGradient, const Tensor& bigGradient, int64_t heads,
        bool vectorEnvelope) {
    Tensor panels = packPanels(in.weight), gy = yGradient.contiguous(), gBig = bigGradient.contiguous();
    AttendProblem<T> p = in.problem<T>(panels, heads, vectorEnvelope);
    Tensor edges = at::empty_like(in.edges), arrows = at::empty_like(in.arrows);
    Tensor envelope = at::empty_like(in.envelope), transposed = packPanels(in.weight.t());
    AttendGradients<T> g{gy.const_data_ptr<T>(), gBig.const_data_ptr<T>(), nullptr, nullptr, nullptr,
            arrows.data_ptr<T>(), envelope.data_ptr<T>()};
    int64_t atoms = in.atoms(), threads = at::get_num_threads();
    int64_t count = std::max<int64_t>(1, std::min(threads, atoms * p.slots / CHUNK_EDGES));
    std::vector<Share> shares(count);
    for (Share& share : shares)
        share = {at::zeros_like(in.nodes), at::zeros_like(in.vectors), at::zeros_like(in.weight),
                at::zeros_like(in.bias)};
    T* edgesTo = edges.data_ptr<T>();
    overDestinations(count, 1, [&](int64_t first, int64_t last) {
        at::NoGradGuard none; // the pool's threads don't inherit it
        for (int64_t k = first; k < last; k++)
            backwardShare<T>(
                    in, p, transposed, g, edgesTo, atoms * k / count, atoms * (k + 1) / count, shares[k]);
    });
    for (int64_t k = 1; k < count; k++) {
        shares[0].nodes.add_(shares[k].nodes);
        shares[0].vectors.add_(shares[k].vectors);
        shares[0].weight.add_(shares[k].weight);
        shares[0].bias.add_(shares[k].bias);
    }
    return {shares[0].nodes, shares[0].vectors, edges, shares[0].weight, shares[0].bias, arrows, envelope};
}

Gradients attendBackwardOnCpu(const Tensor& yGradient, const Tensor& bigGradient, const Tensor& nodes,
        const Tensor& vectors, const Tensor& index, const Tensor& mask, const Tensor& edges,
        const Tensor& weight, const Tensor& bias, const Tensor& arrows, const Tensor& envelope, int64_t heads,
        bool vectorEnvelope) {
    AttendInputs in(nodes, vectors, index, mask, edges, weight, bias, arrows, envelope);
    checkSources(in.index, in.atoms());
    Gradients result;
    AT_DISPATCH_FLOATING_TYPES(nodes.scalar_type(), "attend_backward",
            [&] { result = backward<scalar_t>(in, yGradient, bigGradient, heads, vectorEnvelope); });
    return result;
}

Pair attendShapes(const Tensor& nodes, const Tensor& vectors, const Tensor&, const Tensor&, const Tensor&,
        const Tensor&, const Tensor&, const Tensor&, const Tensor&, int64_t, bool) {
    return {at::empty_symint({vectors.sym_size(0), vectors.sym_size(2)}, nodes.options()),
            at::empty_symint(vectors.sym_sizes(), nodes.options())};
}

Gradients attendBackwardShapes(const Tensor&, const Tensor&, const Tensor& nodes, const Tensor& vectors,
        const Tensor&, const Tensor&, const Tensor& edges, const Tensor& weight, const Tensor& bias,
        const Tensor& arrows, const Tensor& envelope, int64_t, bool) {
    auto like = [](const Tensor& x) { return at::empty_symint(x.sym_sizes(), x.options()); };
    return {like(nodes), like(vectors), like(edges), like(weight), like(bias), like(arrows), like(envelope)};
}

using AttendSchema = Pair(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
        const Tensor&, const Tensor&, const Tensor&, const Tensor&, int64_t, bool);
using BackwardSchema = Gradients(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
        const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, int64_t,
        bool);

struct Attend : torch::autograd::Function<Attend> {
    static std::vector<Tensor> forward(torch::autograd::AutogradContext* context, const Tensor& nodes,
            const Tensor& vectors, const Tensor& index, const Tensor& mask, const Tensor& edges,
            const Tensor& weight, const Tensor& bias, const Tensor& arrows, const Tensor& envelope,
            int64_t heads, bool vectorEnvelope) {
        at::AutoDispatchBelowADInplaceOrView guard;
        static auto call = c10::Dispatcher::singleton()
                                   .findSchemaOrThrow("openmm_unisim::attend", "")
                                   .typed<AttendSchema>();
        auto [y, big] = call.call(
                nodes, vectors, index, mask, edges, weight, bias, arrows, envelope, heads, vectorEnvelope);
        context->save_for_backward({nodes, vectors, index, mask, edges, weight, bias, arrows, envelope});
        context->saved_data["heads"] = heads;
        context->saved_data["vector_envelope"] = vectorEnvelope;
        return {y, big};
    }

    static std::vector<Tensor> backward(
            torch::autograd::AutogradContext* context, std::vector<Tensor> gradients) {
        auto s = context->get_saved_variables();
        static auto call = c10::Dispatcher::singleton()
                                   .findSchemaOrThrow("openmm_unisim::attend_backward", "")
                                   .typed<BackwardSchema>();
        auto [nodes, vectors, edges, weight, bias, arrows, envelope] = call.call(gradients[0], gradients[1],
                s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], context->saved_data["heads"].toInt(),
                context->saved_data["vector_envelope"].toBool());
        Tensor none;
        return {nodes, vectors, none, none, edges, weight, bias, arrows, envelope, none, none};
    }
};

Pair attendWithGradient(const Tensor& nodes, const Tensor& vectors, const Tensor& index, const Tensor& mask,
        const Tensor& edges, const Tensor& weight, const Tensor& bias, const Tensor& arrows,
        const Tensor& envelope, int64_t heads, bool vectorEnvelope) {
    auto results = Attend::apply(
            nodes, vectors, index, mask, edges, weight, bias, arrows, envelope, heads, vectorEnvelope);
    return {results[0], results[1]};
}

/** The backward pass is not differentiable itself. */
Gradients refuseSecondDerivative(const Tensor& yGradient, const Tensor& bigGradient, const Tensor& nodes,
        const Tensor& vectors, const Tensor& index, const Tensor& mask, const Tensor& edges,
        const Tensor& weight, const Tensor& bias, const Tensor& arrows, const Tensor& envelope, int64_t heads,
        bool vectorEnvelope) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "openmm_unisim::attend has first derivatives only; for second "
                                             "ones call use_fused(module, False).");
    at::AutoDispatchBelowADInplaceOrView guard;
    static auto call = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("openmm_unisim::attend_backward", "")
                               .typed<BackwardSchema>();
    return call.call(yGradient, bigGradient, nodes, vectors, index, mask, edges, weight, bias, arrows,
            envelope, heads, vectorEnvelope);
}

} // namespace

TORCH_LIBRARY_FRAGMENT(openmm_unisim, library) {
    const std::string common =
            "Tensor nodes, Tensor vectors, Tensor index, Tensor mask, Tensor edge_features, "
            "Tensor weight, Tensor bias, Tensor edge_vectors, Tensor envelope, int heads, "
            "bool vector_envelope)";
    library.def(("attend(" + common + " -> (Tensor, Tensor)").c_str());
    library.def(("attend_backward(Tensor scalars_gradient, Tensor vectors_gradient, " + common +
                 " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)")
                        .c_str());
}

TORCH_LIBRARY_IMPL(openmm_unisim, CPU, library) {
    library.impl("attend", attendOnCpu);
    library.impl("attend_backward", attendBackwardOnCpu);
}

TORCH_LIBRARY_IMPL(openmm_unisim, Meta, library) {
    library.impl("attend", attendShapes);
    library.impl("attend_backward", attendBackwardShapes);
}

TORCH_LIBRARY_IMPL(openmm_unisim, Autograd, library) {
    library.impl("attend", attendWithGradient);
    library.impl("attend_backward", refuseSecondDerivative);
}

} // namespace UniSimPlugin
