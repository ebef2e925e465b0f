#include "AttendInputs.h"
#include "AttendLauncher.h"
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/library.h>

/**
 * `attend`, its derivatives and `attend_radial` on CUDA. All that is asked of torch goes through its
 * device-generic interface, so that the headers and libraries of a CPU wheel suffice and one library serves
 * every CUDA build of the same torch version.
 */
namespace UniSimPlugin {
namespace {

using at::Tensor;
using Pair = std::tuple<Tensor, Tensor>;
using Gradients = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;
const int64_t CHUNK_NUMBERS = 1 << 24; // of filter gradients that are kept at once

void checkDevices(const char* name, at::TensorList arrays) {
    for (const Tensor& x : arrays)
        TORCH_CHECK(x.device() == arrays[0].device(), "openmm_unisim::", name, " was given arrays on ",
                x.device(), " and ", arrays[0].device(), "; move all of them to one device.");
}

void check(const char* name, const char* error) {
    TORCH_CHECK(error == nullptr, "openmm_unisim::", name, " could not be launched on CUDA: ", error,
            "; use the plain layer.");
}

/** torch's current stream on the device of `x`. */
CudaPlace placeOf(const Tensor& x) {
    c10::impl::VirtualGuardImpl torchSide(x.device().type());
    return {int(x.device().index()), torchSide.getStreamNativeHandle(torchSide.getStream(x.device()))};
}

/** Weights of the filters as one panel of all columns. */
Tensor onePanel(const AttendInputs& in) {
    checkDevices("attend",
            {in.nodes, in.vectors, in.index, in.mask, in.edges, in.weight, in.bias, in.arrows, in.envelope});
    return in.weight.t().contiguous();
}

Pair attend(const Tensor& nodes, const Tensor& vectors, const Tensor& index, const Tensor& mask,
        const Tensor& edges, const Tensor& weight, const Tensor& bias, const Tensor& arrows,
        const Tensor& envelope, int64_t heads, bool vectorEnvelope) {
    c10::DeviceGuard guard(nodes.device());
    AttendInputs in(nodes, vectors, index, mask, edges, weight, bias, arrows, envelope);
    Tensor panel = onePanel(in), y = at::empty({in.atoms(), in.hidden()}, nodes.options()),
           big = at::empty_like(in.vectors);
    AT_DISPATCH_FLOATING_TYPES(nodes.scalar_type(), "attend", [&] {
        check("attend", launchAttend<scalar_t>(in.problem<scalar_t>(panel, heads, vectorEnvelope), in.atoms(),
                                y.data_ptr<scalar_t>(), big.data_ptr<scalar_t>(), placeOf(nodes)));
    });
    return {y, big};
}

/** Chunk by chunk of destinations, so that no array of all edges times the channels is made. */
template <typename T>
Gradients backward(const AttendInputs& in, const Tensor& yGradient, const Tensor& bigGradient, int64_t heads,
        bool vectorEnvelope) {
    Tensor panel = onePanel(in), gy = yGradient.contiguous(), gBig = bigGradient.contiguous();
    const AttendProblem<T> p = in.problem<T>(panel, heads, vectorEnvelope);
    Tensor nodes = at::zeros_like(in.nodes), vectors = at::zeros_like(in.vectors);
    Tensor edges = at::empty_like(in.edges), weight = at::zeros_like(in.weight),
           bias = at::zeros_like(in.bias);
    Tensor arrows = at::empty_like(in.arrows), envelope = at::empty_like(in.envelope);
    const int64_t atoms = in.atoms(), perAtom = std::max<int64_t>(1, p.slots * p.width());
    const int64_t chunk = std::max<int64_t>(1, std::min(atoms, CHUNK_NUMBERS / perAtom));
    Tensor filters = at::empty({chunk * p.slots, p.width()}, in.nodes.options());
    const AttendGradients<T> g{gy.const_data_ptr<T>(), gBig.const_data_ptr<T>(), nodes.data_ptr<T>(),
            vectors.data_ptr<T>(), filters.data_ptr<T>(), arrows.data_ptr<T>(), envelope.data_ptr<T>()};
    for (int64_t first = 0; first < atoms; first += chunk) {
        const int64_t last = std::min(atoms, first + chunk), rows = (last - first) * p.slots;
        check("attend_backward", launchAttendBackward<T>(p, atoms, first, last, g, placeOf(in.nodes)));
        Tensor of = filters.narrow(0, 0, rows);
        Tensor seen = in.edges.narrow(0, first, last - first).view({rows, p.features});
        edges.narrow(0, first, last - first).view({rows, p.features}).copy_(at::mm(of, in.weight));
        weight.addmm_(of.t(), seen);
        bias.add_(of.sum(0));
    }
    return {nodes, vectors, edges, weight, bias, arrows, envelope};
}

Gradients attendBackward(const Tensor& yGradient, const Tensor& bigGradient, const Tensor& nodes,
        const Tensor& vectors, const Tensor& index, const Tensor& mask, const Tensor& edges,
        const Tensor& weight, const Tensor& bias, const Tensor& arrows, const Tensor& envelope, int64_t heads,
        bool vectorEnvelope) {
    c10::DeviceGuard guard(nodes.device());
    AttendInputs in(nodes, vectors, index, mask, edges, weight, bias, arrows, envelope);
    checkDevices("attend", {nodes, yGradient, bigGradient});
    Gradients result;
    AT_DISPATCH_FLOATING_TYPES(nodes.scalar_type(), "attend_backward",
            [&] { result = backward<scalar_t>(in, yGradient, bigGradient, heads, vectorEnvelope); });
    return result;
}

Pair attendRadial(const Tensor& nodes, const Tensor& vectors, const Tensor& index, const Tensor& mask,
        const Tensor& distance, const Tensor& knots, const Tensor& arrows, const Tensor& envelope,
        int64_t heads, bool vectorEnvelope, double spacing, double decay, double slope) {
    c10::DeviceGuard guard(nodes.device());
    checkInference("attend_radial", {nodes, vectors, distance, arrows, envelope});
    TORCH_CHECK(knots.dim() == 3 && knots.size(0) >= 2 && knots.size(1) == 2 && knots.is_contiguous() &&
                        distance.sizes() == index.sizes(),
            "openmm_unisim::attend_radial was given a table of other sizes; prepare the module again.");
    const bool half = isHalf(knots, nodes.scalar_type());
    // No edge features: what is left of the arguments is checked as for linear filters.
    Tensor none = nodes.new_empty({index.size(0), index.size(1), 0});
    AttendInputs in(nodes, vectors, index, mask, none, nodes.new_empty({knots.size(2), 0}),
            nodes.new_empty({knots.size(2)}), arrows, envelope);
    Tensor panel = onePanel(in), r = distance.contiguous();
    checkDevices("attend_radial", {nodes, distance, knots});
    Tensor y = at::empty({in.atoms(), in.hidden()}, nodes.options()), big = at::empty_like(in.vectors);
    AT_DISPATCH_FLOATING_TYPES(nodes.scalar_type(), "attend_radial", [&] {
        AttendProblem<scalar_t> p = in.problem<scalar_t>(panel, heads, vectorEnvelope);
        p.distance = r.const_data_ptr<scalar_t>();
        p.table = {half ? nullptr : knots.const_data_ptr<scalar_t>(),
                half ? reinterpret_cast<const Half*>(knots.const_data_ptr<at::BFloat16>()) : nullptr,
                knots.size(0), scalar_t(spacing), scalar_t(decay), scalar_t(slope)};
        check("attend_radial", launchAttend<scalar_t>(p, in.atoms(), y.data_ptr<scalar_t>(),
                                       big.data_ptr<scalar_t>(), placeOf(nodes)));
    });
    return {y, big};
}

} // namespace

TORCH_LIBRARY_IMPL(openmm_unisim, CUDA, library) {
    library.impl("attend", attend);
    library.impl("attend_backward", attendBackward);
    library.impl("attend_radial", attendRadial);
}

} // namespace UniSimPlugin
