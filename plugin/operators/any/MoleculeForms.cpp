#include "Forms.h"
#include <cmath>
#include <limits>
#include <torch/library.h>

/** The operators of MoleculeOperators.cpp, NeighbourOperator.cpp and SubstepOperators.cpp on any device;
 * algebra in double. */
namespace UniSimPlugin {
namespace {

using at::Tensor;
using Five = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;

/** On the host, since the sizes of the results depend on the bonds: two copies of a few kilobytes. */
Five bondGraph(const Tensor& bonds, int64_t atoms) {
    static auto call = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("openmm_unisim::bond_graph", "")
                               .typed<decltype(bondGraph)>();
    auto [adjacency, distance, pairs, apart, centres] = call.call(bonds.cpu(), atoms);
    const at::Device device = bonds.device();
    return {adjacency.to(device), distance.to(device), pairs.to(device), apart.to(device),
            centres.to(device)};
}

/** On the host, by its cell list: the number of slots depends on the positions. */
std::tuple<Tensor, Tensor> publishedTable(const Tensor& positions, const Tensor& molecule,
        const Tensor& hydrogen, double cutoff, double hydrogenCutoff) {
    static auto call = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("openmm_unisim::published_table", "")
                               .typed<decltype(publishedTable)>();
    auto [index, mask] = call.call(positions.cpu(), molecule.cpu(), hydrogen.cpu(), cutoff, hydrogenCutoff);
    return {index.to(positions.device()), mask.to(positions.device())};
}

/** Positions about their centre, in double. */
Tensor centred(const Tensor& x) {
    Tensor precise = x.to(at::kDouble);
    return precise - precise.mean(1, true);
}

Tensor removeRigidMotion(const Tensor& prediction, const Tensor& reference) {
    checkInference("remove_rigid_motion", {prediction, reference});
    TORCH_CHECK(prediction.dim() == 3 && prediction.size(2) == 3 && prediction.sizes() == reference.sizes(),
            "openmm_unisim::remove_rigid_motion takes two arrays (copies, atoms, 3).");
    Tensor r = centred(reference), y = centred(prediction), squared = r.square().sum({1, 2});
    Tensor angular = at::linalg_cross(r, y, -1).sum(1);
    Tensor diagonal = (squared * (1 + 1e-6) + 1e-12).unsqueeze(1).expand({r.size(0), 3});
    Tensor inertia = at::diag_embed(diagonal) - at::bmm(r.transpose(1, 2), r);
    Tensor omega = std::get<0>(at::linalg_solve_ex(inertia, angular.unsqueeze(-1))); // unchecked: no waiting
    Tensor turn = at::linalg_cross(omega.transpose(1, 2).expand_as(r), r, -1);
    Tensor centre = reference.to(at::kDouble).mean(1, true);
    return (y - turn + centre).to(prediction.scalar_type());
}

/** Gradients of the pairs' distances, (copies, n_pairs, atoms, 3). */
Tensor distanceGradients(const Tensor& x, const Tensor& pairs) {
    const Tensor first = pairs.select(1, 0), second = pairs.select(1, 1);
    Tensor difference = x.index_select(1, first) - x.index_select(1, second);
    Tensor unit = difference / at::linalg_vector_norm(difference, 2, {-1}, true).clamp_min(1e-6);
    Tensor ends = oneHot(first, x.size(1), at::kDouble) - oneHot(second, x.size(1), at::kDouble);
    return unit.unsqueeze(2) * ends.unsqueeze(-1);
}

/** Gradients of the heights of the centres above their neighbours, (copies, n_centres, atoms, 3). */
Tensor heightGradients(const Tensor& x, const Tensor& centres) {
    const auto atom = [&](int64_t corner) { return centres.select(1, corner); };
    const Tensor middle = x.index_select(1, atom(0)), own = oneHot(atom(0), x.size(1), at::kDouble);
    Tensor arms[3], sum = at::zeros({}, x.options());
    for (int64_t k = 0; k < 3; k++)
        arms[k] = x.index_select(1, atom(k + 1)) - middle;
    Tensor area =
            at::linalg_vector_norm(at::linalg_cross(arms[1] - arms[0], arms[2] - arms[0], -1), 2, {-1}, true);
    for (int64_t k = 0; k < 3; k++) {
        Tensor pull = at::linalg_cross(arms[(k + 1) % 3], arms[(k + 2) % 3], -1) / area.clamp_min(1e-6);
        Tensor ends = oneHot(atom(k + 1), x.size(1), at::kDouble) - own;
        sum = sum + pull.unsqueeze(2) * ends.unsqueeze(-1);
    }
    return sum;
}

/** Three translations and three rotations of the reference, (copies, 6, atoms, 3). */
Tensor rigidDirections(const Tensor& reference) {
    Tensor r = centred(reference);
    const int64_t copies = r.size(0), atoms = r.size(1);
    Tensor norm = (r.square().sum({1, 2}) * (2.0 / 3.0)).clamp_min(1e-12).sqrt().view({copies, 1, 1, 1});
    Tensor axes = at::eye(3, r.options()).view({1, 3, 1, 3}).expand({copies, 3, atoms, 3});
    Tensor turns = at::linalg_cross(axes, r.unsqueeze(1).expand({copies, 3, atoms, 3}), -1) / norm;
    return at::cat({axes / std::sqrt(double(atoms)), turns}, 1);
}

Tensor posteriorPrecision(const Tensor& endPoint, const Tensor& initial, const Tensor& pairs,
        const Tensor& centres, const Tensor& variances, const Tensor& rest, const Tensor& t, double sigma,
        double rigidVariance) {
    checkInference("posterior_precision", {endPoint, initial});
    const int64_t copies = endPoint.size(0), atoms = endPoint.size(1), size = 3 * atoms;
    Tensor x = endPoint.to(at::kDouble);
    Tensor u = at::cat({distanceGradients(x, pairs), heightGradients(x, centres)}, 1);
    u = u.view({copies, pairs.size(0) + centres.size(0), size});
    Tensor q = rigidDirections(initial).view({copies, 6, size});
    Tensor observed = t / (sigma * sigma * (1 - t));
    Tensor diagonal = (1 / rest + observed.unsqueeze(1)).unsqueeze(2).expand({copies, atoms, 3});
    return at::bmm(u.transpose(1, 2), u / variances.unsqueeze(-1)) +
           at::diag_embed(diagonal.reshape({copies, size})) + at::bmm(q.transpose(1, 2), q) / rigidVariance;
}

/** Lower Cholesky factors, NaN where a matrix isn't positive definite. */
Tensor choleskyOrNan(const Tensor& matrix) {
    auto [factor, failed] = at::linalg_cholesky_ex(matrix);
    return factor.masked_fill(failed.gt(0).view({-1, 1, 1}), std::numeric_limits<double>::quiet_NaN());
}

Tensor stepFactor(const Tensor& precision, const Tensor& t, const Tensor& tNext, double sigma) {
    TORCH_CHECK(precision.scalar_type() == at::kDouble && t.scalar_type() == at::kDouble &&
                        tNext.scalar_type() == at::kDouble,
            "openmm_unisim::step_factor takes double precision matrices and a pair of times for each.");
    Tensor ratio = ((tNext - t) / (1 - t)).view({-1, 1, 1});
    Tensor bridge = sigma * sigma * ratio * (1 - tNext).view({-1, 1, 1});
    Tensor covariance = ratio.square() * at::cholesky_inverse(choleskyOrNan(precision));
    return choleskyOrNan(covariance + bridge * at::eye(precision.size(-1), precision.options()));
}

Tensor gaussianLogDensity(const Tensor& following, const Tensor& mean, const Tensor& factor) {
    const int64_t copies = mean.size(0), size = factor.size(-1);
    TORCH_CHECK(mean.scalar_type() == at::kDouble && factor.scalar_type() == at::kDouble &&
                        mean.numel() == copies * size,
            "openmm_unisim::gaussian_log_density takes double means (n_copies, n_atoms, 3) and their "
            "factors.");
    Tensor deviation = (following.to(at::kDouble) - mean).reshape({copies, size, 1});
    Tensor white = at::linalg_solve_triangular(factor, deviation, /*upper=*/false);
    Tensor logDeterminant = factor.diagonal(0, -2, -1).log().sum(-1);
    return -0.5 * white.square().sum({1, 2}) - logDeterminant - 0.5 * double(size) * std::log(2 * M_PI);
}

} // namespace

TORCH_LIBRARY_IMPL(openmm_unisim, CompositeExplicitAutograd, library) {
    library.impl("bond_graph", bondGraph);
    library.impl("published_table", publishedTable);
    library.impl("remove_rigid_motion", removeRigidMotion);
    library.impl("posterior_precision", posteriorPrecision);
    library.impl("step_factor", stepFactor);
    library.impl("gaussian_log_density", gaussianLogDensity);
}

} // namespace UniSimPlugin
