#include "Levels.h"
#include "PairTools.h"
#include <torch/library.h>

/**
 * `openmm_unisim::dense` and `dense_backward`: x W^T + b and its derivatives by the operators' own matrix
 * product, for weights that change from call to call (`linear` takes packed ones).
 */
namespace UniSimPlugin {
namespace {

using at::Tensor;
const int64_t GRAIN = 64; // rows that are worth a thread

void checkDense(const Tensor& x, const Tensor& weight) {
    TORCH_CHECK(weight.dim() == 2 && x.dim() >= 1 && x.size(-1) == weight.size(1) &&
                        x.scalar_type() == weight.scalar_type(),
            "openmm_unisim::dense takes x (..., inner) and a weight (columns, inner) of one floating-point "
            "type.");
}

Tensor dense(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
    checkDense(x, weight);
    std::vector<int64_t> shape = x.sizes().vec();
    int64_t inner = weight.size(1), columns = weight.size(0), rows = inner == 0 ? 0 : x.numel() / inner;
    shape.back() = columns;
    Tensor from = x.contiguous(), w = weight.contiguous(), result = at::empty(shape, x.options()), shift;
    if (bias.has_value()) {
        TORCH_CHECK(bias->dim() == 1 && bias->size(0) == columns && bias->scalar_type() == x.scalar_type(),
                "openmm_unisim::dense takes a bias of one number a column.");
        shift = bias->contiguous();
    }
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "dense", [&] {
        using T = scalar_t;
        Tensor panels = packed<T>(w);
        const T* start = bias.has_value() ? shift.const_data_ptr<T>() : nullptr;
        overDestinations(rows, GRAIN, [&](int64_t first, int64_t last) {
            kernels<T>().product(from.const_data_ptr<T>() + first * inner, inner, panels.const_data_ptr<T>(),
                    start, last - first, inner, columns, result.data_ptr<T>() + first * columns, columns);
        });
    });
    return result;
}

/** Gradients of x, if it is wanted, of the weight and of the bias. */
std::vector<Tensor> denseBackward(const Tensor& gradient, const Tensor& x, const Tensor& weight, bool ofX) {
    checkDense(x, weight);
    int64_t inner = weight.size(1), columns = weight.size(0), rows = inner == 0 ? 0 : x.numel() / inner;
    Tensor from = x.contiguous(), w = weight.contiguous(), given = gradient.contiguous();
    Tensor byX = ofX ? at::empty_like(from) : Tensor();
    int64_t shares = std::max<int64_t>(1, std::min<int64_t>(at::get_num_threads(), rows / GRAIN));
    SharedGradients added(shares, {w, at::empty({columns}, w.options())});
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "dense_backward", [&] {
        using T = scalar_t;
        Tensor panels = ofX ? packedTransposed<T>(w) : Tensor();
        overShares(rows, shares, [&](int64_t share, int64_t first, int64_t last) {
            const T* g = given.const_data_ptr<T>() + first * columns;
            Scratch<T> scratch(outerScratch(columns, inner));
            if (ofX)
                kernels<T>().product(g, columns, panels.const_data_ptr<T>(), nullptr, last - first, columns,
                        inner, byX.data_ptr<T>() + first * inner, inner);
            pairKernels<T>().addOuter(g, from.const_data_ptr<T>() + first * inner, columns, inner,
                    last - first, added.at<T>(share, 0), scratch.get());
            T* sum = added.at<T>(share, 1);
            for (int64_t row = 0; row < last - first; row++)
                for (int64_t c = 0; c < columns; c++)
                    sum[c] += g[row * columns + c];
        });
    });
    std::vector<Tensor> result = added.sums();
    if (ofX)
        result.push_back(byX);
    return result;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(openmm_unisim, library) {
    library.def("dense(Tensor x, Tensor weight, Tensor? bias) -> Tensor");
    library.def("dense_backward(Tensor gradient, Tensor x, Tensor weight, bool of_x) -> Tensor[]");
}

TORCH_LIBRARY_IMPL(openmm_unisim, CPU, library) {
    library.impl("dense", dense);
    library.impl("dense_backward", denseBackward);
}

} // namespace UniSimPlugin
