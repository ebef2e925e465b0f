#include "CommonUniSimKernelFactory.h"
#include "openmm/hip/HipContext.h"

extern "C" OPENMM_EXPORT_UNISIM void registerPlatforms() {
}

extern "C" OPENMM_EXPORT_UNISIM void registerKernelFactories() {
    UniSimPlugin::CommonUniSimKernelFactory<OpenMM::HipPlatform::PlatformData>::registerWith("HIP");
}
