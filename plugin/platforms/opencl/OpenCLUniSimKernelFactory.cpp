#include "OpenCLUniSimKernelFactory.h"
#include "CommonMoveUniSimDataKernel.h"
#include "openmm/OpenMMException.h"
#include "openmm/internal/ContextImpl.h"
#include "openmm/opencl/OpenCLContext.h"

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

KernelImpl* OpenCLUniSimKernelFactory::createKernelImpl(
        string name, const Platform& platform, ContextImpl& context) const {
    if (name == MoveUniSimDataKernel::Name()) {
        auto* data = static_cast<OpenCLPlatform::PlatformData*>(context.getPlatformData());
        return new CommonMoveUniSimDataKernel(platform, *data->contexts[0]);
    }
    throw OpenMMException("Tried to create kernel with illegal kernel name '" + name + "'");
}

} // namespace UniSimPlugin

extern "C" OPENMM_EXPORT_UNISIM void registerPlatforms() {
}

extern "C" OPENMM_EXPORT_UNISIM void registerKernelFactories() {
    // Where OpenMM itself has no OpenCL platform there is nothing to serve.
    for (int i = 0; i < Platform::getNumPlatforms(); i++)
        if (Platform::getPlatform(i).getName() == "OpenCL")
            Platform::getPlatform(i).registerKernelFactory(UniSimPlugin::MoveUniSimDataKernel::Name(),
                    new UniSimPlugin::OpenCLUniSimKernelFactory());
}
