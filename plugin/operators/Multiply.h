#ifndef UNISIM_MULTIPLY_H_
#define UNISIM_MULTIPLY_H_

#include "Levels.h"
#include "OperatorTools.h"

/** Linear layers on packed weights, from one operator to another. */
namespace UniSimPlugin {

/** Fail unless `panels` holds a packed matrix (columns, inner). */
inline void checkPanels(const at::Tensor& panels, int64_t inner, int64_t columns) {
    TORCH_CHECK(panels.dim() == 3 && panels.size(1) == inner && panels.size(2) == panelWidth(panels) &&
                        panels.size(0) * panels.size(2) >= columns,
            "A fused operator was given weights packed for other sizes; prepare the module again.");
}

/** rows x columns = x (rows x inner) times packed weights that were checked, in this thread; bias may be
 * null. */
template <typename T>
void multiplyRows(const T* x, int64_t rows, int64_t inner, const at::Tensor& panels, const T* bias,
        int64_t columns, T* result) {
    kernels<T>().product(x, inner, panels.const_data_ptr<T>(), bias, rows, inner, columns, result, columns);
}

/** The same of a whole array, shared out over threads. */
template <typename T>
at::Tensor multiply(const at::Tensor& x, const at::Tensor& panels, const T* bias, int64_t columns) {
    int64_t inner = x.size(-1), rows = inner == 0 ? 0 : x.numel() / inner;
    checkPanels(panels, inner, columns);
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
