#ifndef UNISIM_ATTEND_FORMS_H_
#define UNISIM_ATTEND_FORMS_H_

#include <ATen/ATen.h>

namespace UniSimPlugin {

/** Functions of the distance, of a table of openmm_unisim/model/radial_table.py: (n_atoms, K, channels). */
at::Tensor radialFunctions(
        const at::Tensor& distance, const at::Tensor& knots, double spacing, double decay, double slope);

/** `openmm_unisim::attend` by whatever serves the device. */
std::tuple<at::Tensor, at::Tensor> callAttend(const at::Tensor& nodes, const at::Tensor& vectors,
        const at::Tensor& index, const at::Tensor& mask, const at::Tensor& edges, const at::Tensor& weight,
        const at::Tensor& bias, const at::Tensor& arrows, const at::Tensor& envelope, int64_t heads,
        bool vectorEnvelope);

/** `openmm_unisim::attend_radial`, likewise. */
std::tuple<at::Tensor, at::Tensor> callAttendRadial(const at::Tensor& nodes, const at::Tensor& vectors,
        const at::Tensor& index, const at::Tensor& mask, const at::Tensor& distance, const at::Tensor& knots,
        const at::Tensor& arrows, const at::Tensor& envelope, int64_t heads, bool vectorEnvelope,
        double spacing, double decay, double slope);

} // namespace UniSimPlugin

#endif // UNISIM_ATTEND_FORMS_H_
