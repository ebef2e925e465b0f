#include "CommonUniSimKernelFactory.h"
#include "openmm/opencl/OpenCLContext.h"

extern "C" OPENMM_EXPORT_UNISIM void registerPlatforms() {
}

extern "C" OPENMM_EXPORT_UNISIM void registerKernelFactories() {
    UniSimPlugin::CommonUniSimKernelFactory<OpenMM::OpenCLPlatform::PlatformData>::registerWith("OpenCL");
}
