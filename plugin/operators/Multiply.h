#ifndef UNISIM_MULTIPLY_H_
#define UNISIM_MULTIPLY_H_

#include "Levels.h"
#include "OperatorTools.h"

/** Linear layers on packed weights, from one operator to another. */
namespace UniSimPlugin {

/** rows x columns = x (rows x inner) times packed weights. */
template <typename T>
at::Tensor multiply(const at::Tensor& x, const at::Tensor& panels, const T* bias, int64_t columns) {
    int64_t inner = x.size(-1), rows = inner == 0 ? 0 : x.numel() / inner;
    TORCH_CHECK(panels.dim() == 3 && panels.size(1) == inner && panels.size(2) == panelWidth(x) &&
                        panels.size(0) * panels.size(2) >= columns,
            "openmm_unisim::linear was given weights packed for other sizes; prepare the module again.");
    at::Tensor result = at::empty({rows, columns}, x.options());
    const T *from = x.const_data_ptr<T>(), *packed = panels.const_data_ptr<T>();
    T* to = result.data_ptr<T>();
    overDestinations(rows, 64, [&](int64_t first, int64_t last) {
        kernels<T>().product(from + first * inner, inner, packed, bias, last - first, inner, columns,
                to + first * columns, columns);
    });
    return result;
}

} // namespace UniSimPlugin

#endif // UNISIM_MULTIPLY_H_
