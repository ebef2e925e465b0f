#include "ReferenceUniSimKernelFactory.h"
#include "ReferenceMoveUniSimDataKernel.h"
#include "openmm/OpenMMException.h"
#include "openmm/internal/ContextImpl.h"

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

KernelImpl* ReferenceUniSimKernelFactory::createKernelImpl(
        string name, const Platform& platform, ContextImpl& context) const {
    if (name == MoveUniSimDataKernel::Name()) {
        auto* data = static_cast<ReferencePlatform::PlatformData*>(context.getPlatformData());
        return new ReferenceMoveUniSimDataKernel(platform, *data);
    }
    throw OpenMMException("Tried to create kernel with illegal kernel name '" + name + "'");
}

} // namespace UniSimPlugin

extern "C" OPENMM_EXPORT_UNISIM void registerPlatforms() {
}

extern "C" OPENMM_EXPORT_UNISIM void registerKernelFactories() {
    for (int i = 0; i < Platform::getNumPlatforms(); i++) {
        Platform& platform = Platform::getPlatform(i);
        if (dynamic_cast<ReferencePlatform*>(&platform) != nullptr)
            platform.registerKernelFactory(UniSimPlugin::MoveUniSimDataKernel::Name(),
                    new UniSimPlugin::ReferenceUniSimKernelFactory());
    }
}
