#include "Multiply.h"
#include <cmath>
#include <torch/library.h>

/**
 * Operators on the places of atoms in the bond graph, without derivatives, in place of dozens of small ones
 * (their twins are named in brackets):
 *
 *   describe_places          [model.conditioned.ConditionedField.describe]
 *   restraint_variances      [interpolant.covariance.collapse and model.spread.SpreadHead.forward]
 */
namespace UniSimPlugin {
namespace {

using at::Tensor;
using Pair = std::tuple<Tensor, Tensor>;

/** Rows of [p_i + p_j; p_i p_j; kind, one-hot], which are the same for (i, j) and (j, i). */
template <typename T>
void describePair(const T* first, const T* second, int64_t width, int64_t kind, int64_t kinds, T* to) {
    for (int64_t c = 0; c < width; c++) {
        to[c] = first[c] + second[c];
        to[width + c] = first[c] * second[c];
    }
    std::fill(to + 2 * width, to + 2 * width + kinds, T(0));
    to[2 * width + kind] = T(1);
}

/** x <- (x - mean) / sqrt(variance + 1e-5), row by row. */
template <typename T>
void normalise(T* x, int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; row++, x += width) {
        T mean = 0, variance = 0;
        for (int64_t c = 0; c < width; c++)
            mean += x[c] / T(width);
        for (int64_t c = 0; c < width; c++)
            variance += (x[c] - mean) * (x[c] - mean) / T(width);
        T factor = T(1) / std::sqrt(variance + T(1e-5));
        for (int64_t c = 0; c < width; c++)
            x[c] = (x[c] - mean) * factor;
    }
}

/** One round: place += SiLU(W place + b + sum over bonded atoms of U place). */
template <typename T>
void lookAround(
        Tensor& place, const Tensor& adjacency, const Tensor& own, const Tensor& bias, const Tensor& bonded) {
    int64_t atoms = place.size(0), width = place.size(1);
    Tensor sum = multiply<T>(place, own, bias.const_data_ptr<T>(), width);
    Tensor near = multiply<T>(place, bonded, nullptr, width);
    const T *joined = adjacency.const_data_ptr<T>(), *from = near.const_data_ptr<T>();
    T *to = sum.data_ptr<T>(), *x = place.data_ptr<T>();
    for (int64_t i = 0; i < atoms; i++)
        for (int64_t j = 0; j < atoms; j++)
            if (joined[i * atoms + j] != T(0))
                for (int64_t c = 0; c < width; c++)
                    to[i * width + c] += joined[i * atoms + j] * from[j * width + c];
    kernels<T>().activate(to, sum.numel());
    for (int64_t c = 0; c < sum.numel(); c++)
        x[c] += to[c];
}

/** Reference length of each pair, angstrom; weights from `first` on. */
template <typename T>
Tensor referenceLengths(const Tensor& place, const Tensor& distance, at::TensorList weights, int64_t first) {
    const Tensor &layer = weights[first], &bias = weights[first + 1], &last = weights[first + 2];
    const Tensor &lastBias = weights[first + 3], &typical = weights[first + 4];
    int64_t atoms = place.size(0), width = place.size(1), kinds = typical.size(0), inner = last.size(1);
    int64_t features = 2 * width + kinds, row = 0;
    const int64_t* d = distance.const_data_ptr<int64_t>();
    const T* p = place.const_data_ptr<T>();
    Tensor rows = at::empty({atoms * (atoms + 1) / 2, features}, place.options());
    Tensor result = at::empty({atoms, atoms}, place.options());
    for (int64_t i = 0; i < atoms; i++)
        for (int64_t j = i; j < atoms; j++, row++)
            describePair(p + i * width, p + j * width, width, d[i * atoms + j], kinds,
                    rows.data_ptr<T>() + row * features);
    Tensor hidden = multiply<T>(rows, layer, bias.const_data_ptr<T>(), inner);
    kernels<T>().activate(hidden.data_ptr<T>(), hidden.numel());
    const T *h = hidden.const_data_ptr<T>(), *w = last.const_data_ptr<T>();
    T* to = result.data_ptr<T>();
    for (int64_t i = 0; i < atoms; i++)
        for (int64_t j = i; j < atoms; j++, h += inner) {
            T sum = lastBias.const_data_ptr<T>()[0];
            for (int64_t c = 0; c < inner; c++)
                sum += h[c] * w[c];
            to[i * atoms + j] = to[j * atoms + i] =
                    typical.const_data_ptr<T>()[d[i * atoms + j]] + T(0.3) * sum;
        }
    return result;
}

/**
 * weights: elements; for each round the own layer, its bias and the layer of bonded atoms; first layer of the
 * lengths and its bias, second (one row, not packed) and its bias, typical lengths by bonds apart.
 */
Pair describePlaces(
        const Tensor& elements, const Tensor& adjacency, const Tensor& distance, at::TensorList weights) {
    TORCH_CHECK(weights.size() >= 6 && weights.size() % 3 == 0,
            "openmm_unisim::describe_places was given another number of weights; prepare the module again.");
    checkInference("describe_places", {weights[0], adjacency});
    Tensor z = elements.contiguous(), joined = adjacency.contiguous(), apart = distance.contiguous(), lengths;
    int64_t atoms = z.size(0), rounds = int64_t(weights.size()) / 3 - 2;
    checkSources(z, weights[0].size(0));
    TORCH_CHECK(joined.sizes() == at::IntArrayRef({atoms, atoms}) && apart.sizes() == joined.sizes(),
            "openmm_unisim::describe_places was given arrays whose shapes don't agree.");
    checkSources(apart, weights[3 * rounds + 5].size(0));
    Tensor place = weights[0].index_select(0, z);
    AT_DISPATCH_FLOATING_TYPES(place.scalar_type(), "describe_places", [&] {
        for (int64_t k = 0; k < rounds; k++)
            lookAround<scalar_t>(place, joined, weights[3 * k + 1], weights[3 * k + 2], weights[3 * k + 3]);
        normalise(place.data_ptr<scalar_t>(), atoms, place.size(1));
        lengths = referenceLengths<scalar_t>(place, apart, weights, 3 * rounds + 1);
    });
    return {place, lengths};
}

template <typename T>
T bounded(T x, T limit) {
    return limit * std::tanh(x / limit);
}

/** How much shorter than its reference a pair's distance is, zero unless it is one or two bonds apart. */
template <typename T>
T shortfallOf(const T* end, const T* reference, const int64_t* pair, int64_t apart, int64_t atoms) {
    if (apart > 2)
        return T(0);
    T squared = 0;
    for (int c = 0; c < 3; c++) {
        T d = end[3 * pair[0] + c] - end[3 * pair[1] + c];
        squared += d * d;
    }
    return reference[pair[0] * atoms + pair[1]] - std::sqrt(squared);
}

/** What the head reads: rows of all pairs and of all atoms, copy by copy. */
template <typename T>
Pair spreadFeatures(const Tensor& place, const Tensor& times, const Tensor& pairs, const Tensor& apart,
        const Tensor& shortfall, int64_t kinds) {
    int64_t atoms = place.size(0), width = place.size(1), copies = times.size(0), count = pairs.size(0);
    int64_t timeWidth = times.size(1), pairWidth = 2 * width + kinds + timeWidth + 1,
            atomWidth = width + timeWidth;
    Tensor ofPairs = at::empty({copies * count, pairWidth}, place.options());
    Tensor ofAtoms = at::empty({copies * atoms, atomWidth}, place.options());
    const T *p = place.const_data_ptr<T>(), *less = shortfall.const_data_ptr<T>();
    const int64_t* ends = pairs.const_data_ptr<int64_t>();
    T *toPair = ofPairs.data_ptr<T>(), *toAtom = ofAtoms.data_ptr<T>();
    for (int64_t copy = 0; copy < copies; copy++) {
        const T* time = times.const_data_ptr<T>() + copy * timeWidth;
        for (int64_t g = 0; g < count; g++, toPair += pairWidth) {
            describePair(p + ends[2 * g] * width, p + ends[2 * g + 1] * width, width,
                    apart.const_data_ptr<int64_t>()[g], kinds, toPair);
            std::copy(time, time + timeWidth, toPair + 2 * width + kinds);
            toPair[pairWidth - 1] = std::tanh(*less++ / T(0.3));
        }
        for (int64_t i = 0; i < atoms; i++, toAtom += atomWidth) {
            std::copy(p + i * width, p + (i + 1) * width, toAtom);
            std::copy(time, time + timeWidth, toAtom + width);
        }
    }
    return {ofPairs, ofAtoms};
}

/** weights: first layer and bias, second layer and bias of the pairs; the same of the atoms; log variances by
 * bonds apart. */
Pair restraintVariances(const Tensor& endPoint, const Tensor& place, const Tensor& reference,
        const Tensor& times, const Tensor& pairs, const Tensor& apart, const Tensor& centres,
        at::TensorList weights, double limit, double heightBase, double restBase) {
    TORCH_CHECK(weights.size() == 9, "openmm_unisim::restraint_variances takes nine arrays of weights.");
    checkInference("restraint_variances", {endPoint, place, reference, times, weights[0]});
    Tensor x = endPoint.contiguous(), length = reference.contiguous(), ends = pairs.contiguous();
    Tensor bonds = apart.contiguous(), corners = centres.contiguous(), p = place.contiguous(),
           t = times.contiguous();
    int64_t copies = x.size(0), atoms = x.size(1), count = ends.size(0), planes = corners.size(0);
    checkSources(ends, atoms);
    checkSources(corners, atoms);
    checkSources(bonds, weights[8].size(0));
    TORCH_CHECK(p.size(0) == atoms && t.size(0) == copies && bonds.numel() == count &&
                        length.sizes() == at::IntArrayRef({atoms, atoms}),
            "openmm_unisim::restraint_variances was given arrays whose shapes don't agree; use SpreadHead.");
    Tensor variances = at::empty({copies, count + planes}, at::kDouble),
           rest = at::empty({copies, atoms}, at::kDouble);
    Tensor shortfall = at::empty({copies, count}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "restraint_variances", [&] {
        using T = scalar_t;
        T* less = shortfall.data_ptr<T>();
        for (int64_t g = 0; g < copies * count; g++)
            less[g] = shortfallOf(x.const_data_ptr<T>() + g / count * 3 * atoms, length.const_data_ptr<T>(),
                    ends.const_data_ptr<int64_t>() + 2 * (g % count),
                    bonds.const_data_ptr<int64_t>()[g % count], atoms);
        auto [ofPairs, ofAtoms] = spreadFeatures<T>(p, t, ends, bonds, shortfall, weights[8].size(0));
        auto outputs = [&](const Tensor& rows, int64_t first) {
            Tensor inner = multiply<T>(
                    rows, weights[first], weights[first + 1].const_data_ptr<T>(), weights[first + 1].size(0));
            kernels<T>().activate(inner.data_ptr<T>(), inner.numel());
            return multiply<T>(inner, weights[first + 2], weights[first + 3].const_data_ptr<T>(),
                    weights[first + 3].size(0));
        };
        Tensor ofPair = outputs(ofPairs, 0), ofAtom = outputs(ofAtoms, 4);
        const T *raw = ofPair.const_data_ptr<T>(), *own = ofAtom.const_data_ptr<T>();
        double *to = variances.data_ptr<double>(), *toRest = rest.data_ptr<double>();
        for (int64_t copy = 0; copy < copies; copy++, own += 2 * atoms) {
            for (int64_t g = 0; g < count; g++, less++) {
                T log = weights[8].const_data_ptr<T>()[bonds.const_data_ptr<int64_t>()[g]] +
                        bounded(*raw++, T(limit));
                *to++ = std::exp(double(log)) + double(*less) * double(*less);
            }
            for (int64_t g = 0; g < planes; g++)
                *to++ = std::exp(
                        double(T(heightBase) +
                                bounded(own[2 * corners.const_data_ptr<int64_t>()[4 * g]], T(limit))));
            for (int64_t i = 0; i < atoms; i++)
                *toRest++ = std::exp(double(T(restBase) + bounded(own[2 * i + 1], T(limit))));
        }
    });
    return {variances, rest};
}

} // namespace

TORCH_LIBRARY_FRAGMENT(openmm_unisim, library) {
    library.def("describe_places(Tensor z_index, Tensor adjacency, Tensor distance, Tensor[] weights) -> "
                "(Tensor, "
                "Tensor)");
    library.def("restraint_variances(Tensor end_point, Tensor place, Tensor reference, Tensor times, Tensor "
                "pairs, "
                "Tensor bonds_apart, Tensor centres, Tensor[] weights, float limit, float height_base, float "
                "rest_base) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(openmm_unisim, CPU, library) {
    library.impl("describe_places", describePlaces);
    library.impl("restraint_variances", restraintVariances);
}

} // namespace UniSimPlugin
