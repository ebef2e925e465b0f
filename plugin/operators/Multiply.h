#ifndef UNISIM_MULTIPLY_H_
#define UNISIM_MULTIPLY_H_

#include "Levels.h"
#include "OperatorTools.h"
#include <type_traits>

/** Linear layers on packed weights, from one operator to another. */
namespace UniSimPlugin {

inline const Half* halfNumbers(const at::Tensor& weights) {
    return reinterpret_cast<const Half*>(weights.const_data_ptr<at::BFloat16>());
}

/** Fail unless `panels` holds a packed matrix (columns, inner) that arrays of T can be multiplied with. */
template <typename T>
void checkPanels(const at::Tensor& panels, int64_t inner, int64_t columns) {
    const bool half = isHalf(panels, c10::CppTypeToScalarType<T>::value);
    const int64_t depth = half ? (inner + 1) / 2 : inner;
    const int64_t width = half ? HALF_PANEL_OF_WEIGHTS : panelWidth(panels);
    TORCH_CHECK(panels.dim() == (half ? 4 : 3) && panels.size(1) == depth && panels.size(2) == width &&
                        panels.size(0) * width >= columns && panels.is_contiguous(),
            "A fused operator was given weights packed for other sizes; prepare the module again.");
}

/** rows x columns = x (rows x inner) times packed weights that were checked, in this thread, in bfloat16
 * where the weights are; bias may be null. */
template <typename T>
void multiplyRows(const T* x, int64_t rows, int64_t inner, const at::Tensor& panels, const T* bias,
        int64_t columns, T* result) {
    if constexpr (std::is_same_v<T, float>)
        if (panels.scalar_type() == at::kBFloat16) {
            Scratch<Half> scratch(rows * (inner + 1));
            kernels<T>().halfProduct(x, inner, halfNumbers(panels), bias, rows, inner, columns, result,
                    columns, scratch.get());
            return;
        }
    kernels<T>().product(x, inner, panels.const_data_ptr<T>(), bias, rows, inner, columns, result, columns);
}

/** The same of a whole array, shared out over threads. */
template <typename T>
at::Tensor multiply(const at::Tensor& x, const at::Tensor& panels, const T* bias, int64_t columns) {
    int64_t inner = x.size(-1), rows = inner == 0 ? 0 : x.numel() / inner;
    checkPanels<T>(panels, inner, columns);
    at::Tensor result = at::empty({rows, columns}, x.options());
    const T* from = x.const_data_ptr<T>();
    T* to = result.data_ptr<T>();
    overDestinations(rows, 64, [&](int64_t first, int64_t last) {
        multiplyRows(from + first * inner, last - first, inner, panels, bias, columns, to + first * columns);
    });
    return result;
}

} // namespace UniSimPlugin

#endif // UNISIM_MULTIPLY_H_
