#include "Levels.h"

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
    if (__builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512bf16"))
        return v4bf16::floatKernels;
#endif
#ifdef UNISIM_X86_LEVELS
    if (__builtin_cpu_supports("x86-64-v4"))
        return v4::floatKernels;
    if (__builtin_cpu_supports("x86-64-v3"))
        return v3::floatKernels;
#endif
    return baseline::floatKernels;
}

template <>
const Kernels<double>& kernels<double>() {
#ifdef UNISIM_X86_LEVELS
    if (__builtin_cpu_supports("x86-64-v4"))
        return v4::doubleKernels;
    if (__builtin_cpu_supports("x86-64-v3"))
        return v3::doubleKernels;
#endif
    return baseline::doubleKernels;
}

} // namespace UniSimPlugin
