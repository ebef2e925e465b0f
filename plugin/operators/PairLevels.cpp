#include "PairLevels.h"
#include "Processor.h"

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
    if (hasLevel4())
        return v4::floatPairKernels;
    if (hasLevel3())
        return v3::floatPairKernels;
#endif
    return baseline::floatPairKernels;
}

template <>
const PairKernels<double>& pairKernels<double>() {
#ifdef UNISIM_X86_LEVELS
    if (hasLevel4())
        return v4::doublePairKernels;
    if (hasLevel3())
        return v3::doublePairKernels;
#endif
    return baseline::doublePairKernels;
}

} // namespace UniSimPlugin
