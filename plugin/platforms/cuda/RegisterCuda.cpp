#include "CommonUniSimKernelFactory.h"
#include "openmm/cuda/CudaContext.h"

extern "C" OPENMM_EXPORT_UNISIM void registerPlatforms() {
}

extern "C" OPENMM_EXPORT_UNISIM void registerKernelFactories() {
    UniSimPlugin::CommonUniSimKernelFactory<OpenMM::CudaPlatform::PlatformData>::registerWith("CUDA");
}
