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

/** rows x columns = x (rows x inner) times packed weights, in bfloat16 where the weights are. */
template <typename T>
at::Tensor multiply(const at::Tensor& x, const at::Tensor& panels, const T* bias, int64_t columns) {
    int64_t inner = x.size(-1), rows = inner == 0 ? 0 : x.numel() / inner;
    const bool half = isHalf(panels, x.scalar_type());
    const int64_t depth = half ? (inner + 1) / 2 : inner,
                  width = half ? HALF_PANEL_OF_WEIGHTS : panelWidth(x);
    TORCH_CHECK(panels.dim() == (half ? 4 : 3) && panels.size(1) == depth && panels.size(2) == width &&
                        panels.size(0) * width >= columns,
            "openmm_unisim::linear was given weights packed for other sizes; prepare the module again.");
    at::Tensor result = at::empty({rows, columns}, x.options());
    const T* from = x.const_data_ptr<T>();
    T* to = result.data_ptr<T>();
    overDestinations(rows, 64, [&](int64_t first, int64_t last) {
        if constexpr (std::is_same_v<T, float>)
            if (half) {
                Scratch<Half> scratch((last - first) * (inner + 1));
                kernels<T>().halfProduct(from + first * inner, inner, halfNumbers(panels), bias, last - first,
                        inner, columns, to + first * columns, columns, scratch.get());
                return;
            }
        kernels<T>().product(from + first * inner, inner, panels.const_data_ptr<T>(), bias, last - first,
                inner, columns, to + first * columns, columns);
    });
    return result;
}

} // namespace UniSimPlugin

#endif // UNISIM_MULTIPLY_H_
