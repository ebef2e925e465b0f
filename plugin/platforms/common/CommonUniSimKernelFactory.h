#ifndef OPENMM_COMMONUNISIMKERNELFACTORY_H_
#define OPENMM_COMMONUNISIMKERNELFACTORY_H_

#include "CommonMoveUniSimDataKernel.h"
#include "openmm/KernelFactory.h"
#include "openmm/OpenMMException.h"
#include "openmm/internal/ContextImpl.h"
#include <string>

namespace UniSimPlugin {

/**
 * Creates kernels for UniSimIntegrator on a platform that shares OpenMM's ComputeContext.
 *
 * @tparam PlatformData  what such a platform keeps for a Context, as OpenCLPlatform::PlatformData
 */
template <typename PlatformData>
class CommonUniSimKernelFactory : public OpenMM::KernelFactory {
public:
    /** Register one with a platform.  Where OpenMM itself has no such platform there is nothing to serve. */
    static void registerWith(const std::string& name) {
        using OpenMM::Platform;
        for (int i = 0; i < Platform::getNumPlatforms(); i++)
            if (Platform::getPlatform(i).getName() == name)
                Platform::getPlatform(i).registerKernelFactory(
                        MoveUniSimDataKernel::Name(), new CommonUniSimKernelFactory());
    }
    OpenMM::KernelImpl* createKernelImpl(
            std::string name, const OpenMM::Platform& platform, OpenMM::ContextImpl& context) const override {
        if (name == MoveUniSimDataKernel::Name()) {
            auto* data = static_cast<PlatformData*>(context.getPlatformData());
            return new CommonMoveUniSimDataKernel(platform, *data->contexts[0]);
        }
        throw OpenMM::OpenMMException("Tried to create kernel with illegal kernel name '" + name + "'");
    }
};

} // namespace UniSimPlugin

#endif // OPENMM_COMMONUNISIMKERNELFACTORY_H_
