#ifndef OPENMM_OPENCLUNISIMKERNELFACTORY_H_
#define OPENMM_OPENCLUNISIMKERNELFACTORY_H_

#include "openmm/KernelFactory.h"

namespace UniSimPlugin {

/**
 * Creates kernels for UniSimIntegrator on the OpenCL platform.
 */
class OpenCLUniSimKernelFactory : public OpenMM::KernelFactory {
public:
    OpenMM::KernelImpl* createKernelImpl(
            std::string name, const OpenMM::Platform& platform, OpenMM::ContextImpl& context) const override;
};

} // namespace UniSimPlugin

#endif // OPENMM_OPENCLUNISIMKERNELFACTORY_H_
