#include "Levels.h"
#include "Processor.h"

namespace UniSimPlugin {

#define UNISIM_DECLARE(LEVEL)                                                                                \
    namespace LEVEL {                                                                                        \
    extern const Kernels<float> floatKernels;                                                                \
    extern const Kernels<double> doubleKernels;                                                              \
    }

UNISIM_DECLARE(baseline)
#ifdef UNISIM_X86_LEVELS
UNISIM_DECLARE(v3)
UNISIM_DECLARE(v4)
#endif
#ifdef UNISIM_BFLOAT16_LEVEL
UNISIM_DECLARE(v4bf16)
#endif

template <>
const Kernels<float>& kernels<float>() {
#ifdef UNISIM_BFLOAT16_LEVEL
    if (hasLevel4() && __builtin_cpu_supports("avx512bf16"))
        return v4bf16::floatKernels;
#endif
#ifdef UNISIM_X86_LEVELS
    if (hasLevel4())
        return v4::floatKernels;
    if (hasLevel3())
        return v3::floatKernels;
#endif
    return baseline::floatKernels;
}

template <>
const Kernels<double>& kernels<double>() {
#ifdef UNISIM_X86_LEVELS
    if (hasLevel4())
        return v4::doubleKernels;
    if (hasLevel3())
        return v3::doubleKernels;
#endif
    return baseline::doubleKernels;
}

} // namespace UniSimPlugin
