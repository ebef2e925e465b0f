#include "Multiply.h"
#include <torch/library.h>

/** `openmm_unisim::global_filter`: GlobalFilter.forward of openmm_unisim/model/global_filter.py, without
 * derivatives. */
namespace UniSimPlugin {
namespace {

using at::Tensor;

/** Signals of one copy of the molecule, appended to its rows of scalars. */
template <typename T>
void appendSignals(const T* directions, const T* observed, const T* scalars, int64_t atoms, int64_t hidden,
        int64_t channels, T* rows) {
    std::vector<T> signal(channels, T(0));
    for (int64_t a = 0; a < 3 * atoms; a++)
        for (int64_t k = 0; k < channels; k++)
            signal[k] += observed[a] * directions[a * channels + k];
    T scale = T(1) / std::sqrt(T(atoms));
    for (int64_t i = 0; i < atoms; i++, rows += hidden + channels) {
        std::copy(scalars + i * hidden, scalars + (i + 1) * hidden, rows);
        for (int64_t k = 0; k < channels; k++)
            rows[hidden + k] = scale * signal[k];
    }
}

/** weights: direction, first layer and its bias, second layer and its bias. */
Tensor globalFilter(const Tensor& scalars, const Tensor& vectors, const Tensor& observed,
        at::TensorList weights, int64_t copies) {
    TORCH_CHECK(weights.size() == 5, "openmm_unisim::global_filter takes five arrays of weights.");
    checkInference("global_filter", {scalars, vectors, observed, weights[2]});
    Tensor x = scalars.contiguous(), v = vectors.contiguous(), moved = observed.contiguous();
    int64_t rows = x.size(0), hidden = x.size(1), channels = weights[1].size(1) - hidden;
    TORCH_CHECK(copies > 0 && rows % copies == 0 && v.size(0) == rows &&
                        moved.sizes() == at::IntArrayRef({rows, 3}) && channels >= 0,
            "openmm_unisim::global_filter was given arrays whose shapes don't agree; use GlobalFilter.");
    int64_t atoms = rows / copies;
    Tensor result;
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "global_filter", [&] {
        using T = scalar_t;
        Tensor directions = multiply<T>(v, weights[0], nullptr, channels);
        Tensor seen = at::empty({rows, hidden + channels}, x.options());
        for (int64_t copy = 0; copy < copies; copy++)
            appendSignals(directions.const_data_ptr<T>() + copy * atoms * 3 * channels,
                    moved.const_data_ptr<T>() + copy * atoms * 3,
                    x.const_data_ptr<T>() + copy * atoms * hidden, atoms, hidden, channels,
                    seen.data_ptr<T>() + copy * atoms * (hidden + channels));
        Tensor inner = multiply<T>(seen, weights[1], weights[2].const_data_ptr<T>(), weights[2].size(0));
        kernels<T>().activate(inner.data_ptr<T>(), inner.numel());
        result = multiply<T>(inner, weights[3], weights[4].const_data_ptr<T>(), hidden).add_(x);
    });
    return result;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(openmm_unisim, library) {
    library.def("global_filter(Tensor scalars, Tensor vectors, Tensor observed, Tensor[] weights, SymInt "
                "copies) -> "
                "Tensor");
}

TORCH_LIBRARY_IMPL(openmm_unisim, CPU, library) {
    library.impl("global_filter", globalFilter);
}

} // namespace UniSimPlugin
