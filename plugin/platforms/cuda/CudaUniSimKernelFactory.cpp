#include "CudaUniSimKernelFactory.h"
#include "CommonMoveUniSimDataKernel.h"
#include "openmm/OpenMMException.h"
#include "openmm/cuda/CudaContext.h"
#include "openmm/internal/ContextImpl.h"

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

KernelImpl* CudaUniSimKernelFactory::createKernelImpl(
        string name, const Platform& platform, ContextImpl& context) const {
    if (name == MoveUniSimDataKernel::Name()) {
        auto* data = static_cast<CudaPlatform::PlatformData*>(context.getPlatformData());
        return new CommonMoveUniSimDataKernel(platform, *data->contexts[0]);
    }
    throw OpenMMException("Tried to create kernel with illegal kernel name '" + name + "'");
}

} // namespace UniSimPlugin

extern "C" OPENMM_EXPORT_UNISIM void registerPlatforms() {
}

extern "C" OPENMM_EXPORT_UNISIM void registerKernelFactories() {
    // Where OpenMM itself has no CUDA platform there is nothing to serve.
    for (int i = 0; i < Platform::getNumPlatforms(); i++)
        if (Platform::getPlatform(i).getName() == "CUDA")
            Platform::getPlatform(i).registerKernelFactory(
                    UniSimPlugin::MoveUniSimDataKernel::Name(), new UniSimPlugin::CudaUniSimKernelFactory());
}
