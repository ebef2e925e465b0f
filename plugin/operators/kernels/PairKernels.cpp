#include "PairEmbedding.h"
#include "PairLayer.h"
#include "PairSum.h"

/** The table of loops over pairs at the instruction set UNISIM_LEVEL, for which this file is being compiled.
 */
namespace UniSimPlugin {
namespace {

template <typename T>
constexpr PairKernels<T> PAIR_TABLE = {pack<T>, pairLayer<T>, pairLayerBackward<T>, embedPairs<T>,
        embedPairsBackward<T>, pairSum<T>, pairSumBackward<T>, addOuter<T>, nearPairs<T>};

} // namespace

namespace UNISIM_LEVEL {
extern const PairKernels<float> floatPairKernels;
extern const PairKernels<double> doublePairKernels;
const PairKernels<float> floatPairKernels = PAIR_TABLE<float>;
const PairKernels<double> doublePairKernels = PAIR_TABLE<double>;
} // namespace UNISIM_LEVEL

} // namespace UniSimPlugin
