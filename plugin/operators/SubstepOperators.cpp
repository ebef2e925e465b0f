#include "OperatorTools.h"
#include <cmath>
#include <limits>
#include <torch/library.h>

/**
 * Algebra of the substep law, without derivatives (twins in openmm_unisim/interpolant/covariance.py):
 *
 *   step_factor              [cholesky_or_nan of step_covariance of posterior_covariance]
 *   gaussian_log_density     [of that name]
 */
namespace UniSimPlugin {
namespace {

using at::Tensor;

/** Fill the copies whose factorisation failed with NaN. */
void spoil(Tensor& matrices, const Tensor& failed) {
    const int* code = failed.const_data_ptr<int>();
    for (int64_t copy = 0; copy < matrices.size(0); copy++)
        if (code[copy] > 0)
            matrices[copy].fill_(std::numeric_limits<double>::quiet_NaN());
}

Tensor stepFactor(const Tensor& precision, const Tensor& t, const Tensor& tNext, double sigma) {
    int64_t copies = precision.size(0);
    TORCH_CHECK(precision.scalar_type() == at::kDouble && t.scalar_type() == at::kDouble &&
                        tNext.scalar_type() == at::kDouble && t.numel() == copies && tNext.numel() == copies,
            "openmm_unisim::step_factor takes double precision matrices and a pair of times for each.");
    Tensor now = t.contiguous(), next = tNext.contiguous();
    auto [factor, failed] = at::linalg_cholesky_ex(precision);
    Tensor covariance = at::cholesky_inverse(factor);
    for (int64_t copy = 0; copy < copies; copy++) {
        double from = now.const_data_ptr<double>()[copy], to = next.const_data_ptr<double>()[copy];
        double ratio = (to - from) / (1 - from);
        Tensor own = covariance[copy];
        own.mul_(ratio * ratio).diagonal().add_(sigma * sigma * ratio * (1 - to));
    }
    auto [result, failedToo] = at::linalg_cholesky_ex(covariance);
    spoil(result, failed);
    spoil(result, failedToo);
    return result.contiguous(); // LAPACK's is the transpose
}

/** log N(x; mean, L L^T) of one copy, by forward substitution; L has `strideRow` and `strideColumn`. */
double logDensity(const double* x, const double* mean, const double* factor, int64_t strideRow,
        int64_t strideColumn, int64_t size) {
    std::vector<double> white(size);
    double squared = 0, logDeterminant = 0;
    for (int64_t a = 0; a < size; a++) {
        double rest = x[a] - mean[a];
        for (int64_t b = 0; b < a; b++)
            rest -= factor[a * strideRow + b * strideColumn] * white[b];
        double own = factor[a * (strideRow + strideColumn)];
        white[a] = rest / own;
        squared += white[a] * white[a];
        logDeterminant += std::log(own);
    }
    return -0.5 * squared - logDeterminant - 0.5 * double(size) * std::log(2 * M_PI);
}

Tensor gaussianLogDensity(const Tensor& following, const Tensor& mean, const Tensor& factor) {
    int64_t copies = mean.size(0), size = factor.size(-1);
    TORCH_CHECK(mean.scalar_type() == at::kDouble && factor.scalar_type() == at::kDouble &&
                        factor.sizes() == at::IntArrayRef({copies, size, size}) &&
                        mean.numel() == copies * size && following.numel() == mean.numel(),
            "openmm_unisim::gaussian_log_density takes double means (n_copies, n_atoms, 3) and their "
            "factors.");
    Tensor x = following.to(at::kDouble).contiguous(), centre = mean.contiguous(),
           result = at::empty({copies}, at::kDouble);
    for (int64_t copy = 0; copy < copies; copy++)
        result.data_ptr<double>()[copy] = logDensity(x.const_data_ptr<double>() + copy * size,
                centre.const_data_ptr<double>() + copy * size,
                factor.const_data_ptr<double>() + copy * factor.stride(0), factor.stride(1), factor.stride(2),
                size);
    return result;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(openmm_unisim, library) {
    library.def("step_factor(Tensor precision, Tensor t, Tensor t_next, float sigma) -> Tensor");
    library.def("gaussian_log_density(Tensor following, Tensor mean, Tensor factor) -> Tensor");
}

TORCH_LIBRARY_IMPL(openmm_unisim, CPU, library) {
    library.impl("step_factor", stepFactor);
    library.impl("gaussian_log_density", gaussianLogDensity);
}

} // namespace UniSimPlugin
