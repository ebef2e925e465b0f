#ifndef OPENMM_REFERENCEUNISIMKERNELFACTORY_H_
#define OPENMM_REFERENCEUNISIMKERNELFACTORY_H_

#include "openmm/KernelFactory.h"

namespace UniSimPlugin {

/**
 * Creates kernels for UniSimIntegrator on the Reference platform and those built on it.
 */
class ReferenceUniSimKernelFactory : public OpenMM::KernelFactory {
public:
    OpenMM::KernelImpl* createKernelImpl(
            std::string name, const OpenMM::Platform& platform, OpenMM::ContextImpl& context) const override;
};

} // namespace UniSimPlugin

#endif // OPENMM_REFERENCEUNISIMKERNELFACTORY_H_
