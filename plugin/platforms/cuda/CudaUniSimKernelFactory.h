#ifndef OPENMM_CUDAUNISIMKERNELFACTORY_H_
#define OPENMM_CUDAUNISIMKERNELFACTORY_H_

#include "openmm/KernelFactory.h"

namespace UniSimPlugin {

/**
 * Creates kernels for UniSimIntegrator on the CUDA platform.
 */
class CudaUniSimKernelFactory : public OpenMM::KernelFactory {
public:
    OpenMM::KernelImpl* createKernelImpl(
            std::string name, const OpenMM::Platform& platform, OpenMM::ContextImpl& context) const override;
};

} // namespace UniSimPlugin

#endif // OPENMM_CUDAUNISIMKERNELFACTORY_H_
