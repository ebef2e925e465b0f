#include "PairLevels.h"

namespace UniSimPlugin {

#define UNISIM_DECLARE(LEVEL)                                                                                \
    namespace LEVEL {                                                                                        \
    extern const PairKernels<float> floatPairKernels;                                                        \
    extern const PairKernels<double> doublePairKernels;                                                      \
    }

UNISIM_DECLARE(baseline)
#ifdef UNISIM_X86_LEVELS
UNISIM_DECLARE(v3)
UNISIM_DECLARE(v4)
#endif

template <>
const PairKernels<float>& pairKernels<float>() {
#ifdef UNISIM_X86_LEVELS
    if (__builtin_cpu_supports("x86-64-v4"))
        return v4::floatPairKernels;
    if (__builtin_cpu_supports("x86-64-v3"))
        return v3::floatPairKernels;
#endif
    return baseline::floatPairKernels;
}

template <>
const PairKernels<double>& pairKernels<double>() {
#ifdef UNISIM_X86_LEVELS
    if (__builtin_cpu_supports("x86-64-v4"))
        return v4::doublePairKernels;
    if (__builtin_cpu_supports("x86-64-v3"))
        return v3::doublePairKernels;
#endif
    return baseline::doublePairKernels;
}

} // namespace UniSimPlugin
