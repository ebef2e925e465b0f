#include "OperatorTools.h"
#include <cmath>
#include <torch/library.h>

/**
 * Operators on whole molecules, without derivatives, in place of dozens of small ones (their twins are named
 * in brackets):
 *
 *   bond_graph               [model.bond_graph.bond_distance, interpolant.covariance.restraints]
 *   full_table               [model.graph.full_table], on any device
 *   remove_rigid_motion      [geometry.remove_rigid_motion]
 *   posterior_precision      [interpolant.covariance.posterior_precision]
 */
namespace UniSimPlugin {
namespace {

using at::Tensor;
const int64_t FAR = 4; // bond distance of everything beyond three bonds

Tensor integers(const std::vector<int64_t>& values, at::IntArrayRef shape) {
    Tensor result = at::empty(shape, at::kLong);
    std::copy(values.begin(), values.end(), result.data_ptr<int64_t>());
    return result;
}

/** Adjacency (float), bonds between each pair, pairs up to three bonds apart with their distance, and
 * centres. */
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> bondGraph(const Tensor& bonds, int64_t atoms) {
    Tensor ends = bonds.contiguous(), adjacency = at::zeros({atoms, atoms}), distance;
    TORCH_CHECK(ends.dim() == 2 && ends.size(1) == 2 && ends.scalar_type() == at::kLong,
            "openmm_unisim::bond_graph takes int64 bonds (n, 2).");
    checkSources(ends, atoms);
    distance = at::full({atoms, atoms}, FAR, at::kLong);
    std::vector<std::vector<int64_t>> bonded(atoms);
    float* joined = adjacency.data_ptr<float>();
    int64_t *d = distance.data_ptr<int64_t>(), count = ends.size(0);
    const int64_t* end = ends.const_data_ptr<int64_t>();
    for (int64_t b = 0; b < count; b++)
        joined[end[2 * b] * atoms + end[2 * b + 1]] = joined[end[2 * b + 1] * atoms + end[2 * b]] = 1;
    for (int64_t i = 0; i < atoms; i++)
        for (int64_t j = 0; j < atoms; j++)
            if (joined[i * atoms + j] != 0)
                bonded[i].push_back(j);
    for (int64_t i = 0; i < atoms; i++) {
        std::vector<int64_t> reached = {i};
        d[i * atoms + i] = 0;
        for (int64_t step = 1; step < FAR; step++) {
            std::vector<int64_t> next;
            for (int64_t j : reached)
                for (int64_t k : bonded[j])
                    if (d[i * atoms + k] == FAR) {
                        d[i * atoms + k] = step;
                        next.push_back(k);
                    }
            reached.swap(next);
        }
    }
    std::vector<int64_t> pairs, apart, centres;
    for (int64_t i = 0; i < atoms; i++) {
        for (int64_t j = i + 1; j < atoms; j++)
            if (d[i * atoms + j] < FAR) {
                pairs.insert(pairs.end(), {i, j});
                apart.push_back(d[i * atoms + j]);
            }
        int64_t neighbours = std::count(d + i * atoms, d + (i + 1) * atoms, 1);
        if (neighbours != 3)
            continue;
        centres.push_back(i);
        for (int64_t j = 0; j < atoms; j++)
            if (d[i * atoms + j] == 1)
                centres.push_back(j);
    }
    return {adjacency, distance, integers(pairs, {int64_t(apart.size()), 2}),
            integers(apart, {int64_t(apart.size())}), integers(centres, {int64_t(centres.size()) / 4, 4})};
}

/** The index takes no array that could choose a device. */
std::tuple<Tensor, Tensor> fullTable(int64_t copies, int64_t atoms, std::optional<at::Device> device) {
    if (device.has_value() && !device->is_cpu()) {
        auto options = at::TensorOptions(at::kLong).device(*device);
        Tensor first = at::arange(copies, options).mul_(atoms).view({copies, 1, 1});
        Tensor index = (first + at::arange(atoms, options)).expand({copies, atoms, atoms});
        return {index.reshape({copies * atoms, atoms}),
                at::ones({copies * atoms, atoms}, options.dtype(at::kBool))};
    }
    Tensor index = at::empty({copies * atoms, atoms}, at::kLong);
    int64_t* to = index.data_ptr<int64_t>();
    for (int64_t row = 0; row < copies * atoms; row++)
        for (int64_t k = 0; k < atoms; k++)
            *to++ = row / atoms * atoms + k;
    return {index, at::ones({copies * atoms, atoms}, at::kBool)};
}

struct Vector {
    double x[3];

    Vector operator-(const Vector& o) const {
        return {{x[0] - o.x[0], x[1] - o.x[1], x[2] - o.x[2]}};
    }
    Vector operator*(double f) const {
        return {{x[0] * f, x[1] * f, x[2] * f}};
    }
    double length() const {
        return std::sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]);
    }
};

Vector cross(const Vector& a, const Vector& b) {
    return {{a.x[1] * b.x[2] - a.x[2] * b.x[1], a.x[2] * b.x[0] - a.x[0] * b.x[2],
            a.x[0] * b.x[1] - a.x[1] * b.x[0]}};
}

/** Positions of one copy in double, and their centre. */
template <typename T>
std::vector<Vector> readCopy(const T* from, int64_t atoms, Vector& centre) {
    std::vector<Vector> result(atoms);
    centre = {{0, 0, 0}};
    for (int64_t i = 0; i < atoms; i++)
        for (int c = 0; c < 3; c++) {
            result[i].x[c] = from[3 * i + c];
            centre.x[c] += result[i].x[c] / double(atoms);
        }
    return result;
}

/** omega with (sum |r|^2 1 - r r^T + ridge) omega = angular, by cofactors. */
Vector solveInertia(const double (&m)[3][3], const Vector& angular) {
    double minor[3][3], determinant = 0;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            int a = (i + 1) % 3, b = (i + 2) % 3, c = (j + 1) % 3, d = (j + 2) % 3;
            minor[i][j] = m[a][c] * m[b][d] - m[a][d] * m[b][c];
        }
    for (int j = 0; j < 3; j++)
        determinant += m[0][j] * minor[0][j];
    Vector result;
    for (int i = 0; i < 3; i++)
        result.x[i] = (minor[0][i] * angular.x[0] + minor[1][i] * angular.x[1] + minor[2][i] * angular.x[2]) /
                      determinant;
    return result;
}

template <typename T>
void projectCopy(const T* prediction, const T* reference, int64_t atoms, T* result) {
    Vector centre, moving, angular{{0, 0, 0}};
    std::vector<Vector> r = readCopy(reference, atoms, centre), y = readCopy(prediction, atoms, moving);
    double m[3][3] = {};
    for (int64_t i = 0; i < atoms; i++) {
        r[i] = r[i] - centre;
        y[i] = y[i] - moving;
        Vector turn = cross(r[i], y[i]);
        for (int c = 0; c < 3; c++) {
            angular.x[c] += turn.x[c];
            for (int d = 0; d < 3; d++) {
                m[c][d] -= r[i].x[c] * r[i].x[d];
                m[c][c] += r[i].x[d] * r[i].x[d];
            }
        }
    }
    double trace = (m[0][0] + m[1][1] + m[2][2]) / 2; // sum |r|^2
    for (int c = 0; c < 3; c++)
        m[c][c] += 1e-6 * trace + 1e-12;
    Vector omega = solveInertia(m, angular);
    for (int64_t i = 0; i < atoms; i++) {
        Vector turn = cross(omega, r[i]);
        for (int c = 0; c < 3; c++)
            result[3 * i + c] = T(y[i].x[c] - turn.x[c] + centre.x[c]);
    }
}

Tensor removeRigidMotion(const Tensor& prediction, const Tensor& reference) {
    checkInference("remove_rigid_motion", {prediction, reference});
    TORCH_CHECK(prediction.dim() == 3 && prediction.size(2) == 3 && prediction.sizes() == reference.sizes(),
            "openmm_unisim::remove_rigid_motion takes two arrays (copies, atoms, 3).");
    Tensor y = prediction.contiguous(), r = reference.contiguous(), result = at::empty_like(y);
    int64_t atoms = y.size(1), stride = 3 * atoms;
    AT_DISPATCH_FLOATING_TYPES(y.scalar_type(), "remove_rigid_motion", [&] {
        for (int64_t copy = 0; copy < y.size(0); copy++)
            projectCopy(y.const_data_ptr<scalar_t>() + copy * stride,
                    r.const_data_ptr<scalar_t>() + copy * stride, atoms,
                    result.data_ptr<scalar_t>() + copy * stride);
    });
    return result;
}

/** A gradient by some atoms, and what its square is divided by. */
void addSquare(double* matrix, int64_t size, const int64_t* atoms, const Vector* gradients, int count,
        double variance) {
    for (int a = 0; a < count; a++)
        for (int b = 0; b < count; b++)
            for (int c = 0; c < 3; c++)
                for (int d = 0; d < 3; d++)
                    matrix[(3 * atoms[a] + c) * size + 3 * atoms[b] + d] +=
                            gradients[a].x[c] * gradients[b].x[d] / variance;
}

/** Distances of `pairs` and heights of `centres` at x, with their variances. */
void addRestraints(double* matrix, const std::vector<Vector>& x, const Tensor& pairs, const Tensor& centres,
        const double* variances) {
    int64_t size = 3 * int64_t(x.size());
    for (int64_t g = 0; g < pairs.size(0); g++) {
        const int64_t* ends = pairs.const_data_ptr<int64_t>() + 2 * g;
        Vector difference = x[ends[0]] - x[ends[1]];
        double length = difference.length();
        Vector unit = difference * (1 / (length < 1e-6 ? 1e-6 : length));
        Vector both[2] = {unit, unit * -1.0};
        addSquare(matrix, size, ends, both, 2, *variances++);
    }
    for (int64_t g = 0; g < centres.size(0); g++) {
        const int64_t* atoms = centres.const_data_ptr<int64_t>() + 4 * g;
        Vector arms[3], gradient[4] = {{{0, 0, 0}}};
        for (int k = 0; k < 3; k++)
            arms[k] = x[atoms[k + 1]] - x[atoms[0]];
        double area = cross(arms[1] - arms[0], arms[2] - arms[0]).length();
        for (int k = 0; k < 3; k++) {
            gradient[k + 1] = cross(arms[(k + 1) % 3], arms[(k + 2) % 3]) * (1 / (area < 1e-6 ? 1e-6 : area));
            gradient[0] = gradient[0] - gradient[k + 1];
        }
        addSquare(matrix, size, atoms, gradient, 4, *variances++);
    }
}

/** Three translations and three rotations of the reference, all of one small variance. */
void addRigidMotion(double* matrix, std::vector<Vector> r, const Vector& centre, double variance) {
    int64_t atoms = int64_t(r.size()), size = 3 * atoms;
    double squared = 0;
    for (Vector& x : r) {
        x = x - centre;
        squared += x.length() * x.length();
    }
    double norm = std::sqrt(std::max(squared * 2 / 3, 1e-12));
    std::vector<double> move(size);
    for (int k = 0; k < 6; k++) {
        Vector axis{{k % 3 == 0 ? 1.0 : 0.0, k % 3 == 1 ? 1.0 : 0.0, k % 3 == 2 ? 1.0 : 0.0}};
        for (int64_t i = 0; i < atoms; i++) {
            Vector own = k < 3 ? axis * (1 / std::sqrt(double(atoms))) : cross(axis, r[i]) * (1 / norm);
            std::copy(own.x, own.x + 3, move.begin() + 3 * i);
        }
        for (int64_t a = 0; a < size; a++) {
            double factor = move[a] / variance;
            for (int64_t b = 0; b < size; b++)
                matrix[a * size + b] += factor * move[b];
        }
    }
}

Tensor posteriorPrecision(const Tensor& endPoint, const Tensor& initial, const Tensor& pairs,
        const Tensor& centres, const Tensor& variances, const Tensor& rest, const Tensor& t, double sigma,
        double rigidVariance) {
    checkInference("posterior_precision", {endPoint, initial});
    int64_t copies = endPoint.size(0), atoms = endPoint.size(1), size = 3 * atoms;
    Tensor ends = pairs.contiguous(), corners = centres.contiguous(), v = variances.contiguous();
    Tensor own = rest.contiguous(), x = endPoint.contiguous(), x0 = initial.contiguous(),
           times = t.contiguous();
    TORCH_CHECK(v.sizes() == at::IntArrayRef({copies, ends.size(0) + corners.size(0)}) &&
                        own.sizes() == at::IntArrayRef({copies, atoms}) && times.numel() == copies &&
                        x0.sizes() == x.sizes() && x.size(2) == 3,
            "openmm_unisim::posterior_precision was given arrays whose shapes don't agree.");
    checkSources(ends, atoms);
    checkSources(corners, atoms);
    Tensor result = at::zeros({copies, size, size}, at::kDouble);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "posterior_precision", [&] {
        for (int64_t copy = 0; copy < copies; copy++) {
            double *matrix = result.data_ptr<double>() + copy * size * size,
                   time = times.const_data_ptr<double>()[copy];
            Vector centre, ignored;
            auto predicted = readCopy(x.const_data_ptr<scalar_t>() + copy * size, atoms, ignored);
            auto start = readCopy(x0.const_data_ptr<scalar_t>() + copy * size, atoms, centre);
            addRestraints(matrix, predicted, ends, corners, v.const_data_ptr<double>() + copy * v.size(1));
            addRigidMotion(matrix, start, centre, rigidVariance);
            double observed = time / (sigma * sigma * (1 - time));
            for (int64_t a = 0; a < size; a++)
                matrix[a * size + a] += 1 / own.const_data_ptr<double>()[copy * atoms + a / 3] + observed;
        }
    });
    return result;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(openmm_unisim, library) {
    library.def("bond_graph(Tensor bonds, SymInt atoms) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
    library.def("full_table(SymInt copies, SymInt atoms, *, Device? device=None) -> (Tensor, Tensor)");
    library.def("remove_rigid_motion(Tensor prediction, Tensor reference) -> Tensor");
    library.def("posterior_precision(Tensor end_point, Tensor initial, Tensor pairs, Tensor centres, "
                "Tensor variances, Tensor rest, Tensor t, float sigma, float rigid_variance) -> Tensor");
}

TORCH_LIBRARY_IMPL(openmm_unisim, CPU, library) {
    library.impl("bond_graph", bondGraph);
    library.impl("remove_rigid_motion", removeRigidMotion);
    library.impl("posterior_precision", posteriorPrecision);
}

TORCH_LIBRARY_IMPL(openmm_unisim, CompositeExplicitAutograd, library) {
    library.impl("full_table", fullTable);
}

} // namespace UniSimPlugin
