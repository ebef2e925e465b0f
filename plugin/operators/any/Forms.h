#ifndef UNISIM_FORMS_H_
#define UNISIM_FORMS_H_

#include "OperatorTools.h"
#include <optional>

/**
 * The operators as compositions of torch's own, for every device without kernels of ours. They read no number
 * on the host, so that a device isn't waited for, and make every array on the device of their arguments.
 */
namespace UniSimPlugin {

/** Weight (columns, inner) of a linear layer from its packed form, which pack_panels of inference.py makes.
 */
inline at::Tensor unpackPanels(const at::Tensor& panels, int64_t columns, int64_t inner) {
    const bool half = panels.dim() == 4;
    const int64_t width = panels.dim() < 3 ? 0 : panels.size(2), padded = half ? inner + inner % 2 : inner;
    TORCH_CHECK(panels.dim() >= 3 && panels.size(1) * (half ? 2 : 1) == padded &&
                        panels.size(0) * width >= columns,
            "openmm_unisim::linear was given weights packed for other sizes; prepare the module again.");
    at::Tensor rows = panels.transpose(1, 2).reshape({panels.size(0) * width, padded});
    return rows.narrow(0, 0, columns).narrow(1, 0, inner);
}

/** x W^T + bias with packed W; bfloat16 weights multiply x rounded to bfloat16, with sums in its own type. */
inline at::Tensor affine(const at::Tensor& x, const at::Tensor& panels, const std::optional<at::Tensor>& bias,
        int64_t columns) {
    const bool half = isHalf(panels, x.scalar_type());
    at::Tensor weight = unpackPanels(panels, columns, x.size(-1)).to(x.scalar_type());
    at::Tensor seen = half ? x.to(at::kBFloat16).to(x.scalar_type()) : x;
    at::Tensor result = at::matmul(seen, weight.t());
    return bias.has_value() ? result + *bias : result;
}

/** Rows of x that the slots of a neighbour table name: (n_atoms, K) and what a row of x has. */
inline at::Tensor sourcesOf(const at::Tensor& x, const at::Tensor& index) {
    std::vector<int64_t> shape = {index.size(0), index.size(1)};
    shape.insert(shape.end(), x.sizes().begin() + 1, x.sizes().end());
    return x.index_select(0, index.reshape(-1)).view(shape);
}

/** 1 where the last axis is the number in `kinds`, 0 elsewhere; at::one_hot may read the device. */
inline at::Tensor oneHot(const at::Tensor& kinds, int64_t count, at::ScalarType type) {
    return kinds.unsqueeze(-1).eq(at::arange(count, kinds.options())).to(type);
}

/** x for small x, at most `limit` in size. */
inline at::Tensor soften(const at::Tensor& x, double limit) {
    return x / (1 + (x / limit).square()).sqrt();
}

} // namespace UniSimPlugin

#endif // UNISIM_FORMS_H_
