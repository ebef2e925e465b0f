#ifndef OPENMM_UNISIMCOUNTERS_H_
#define OPENMM_UNISIMCOUNTERS_H_

namespace UniSimPlugin {

/**
 * Counts of what an integrator's jumps came to.
 */
struct UniSimCounters {
    /** the number of jumps that were tried */
    long long proposed = 0;
    /** the number of jumps that moved the System */
    long long accepted = 0;
    /** the number of jumps that were rejected because a position, force or energy was not finite */
    long long nan = 0;
    /** the number of such rejections since the last jump that was finite */
    long long consecutiveNaN = 0;
    /** the logarithm of the last acceptance ratio */
    double lastLogAcceptance = 0.0;
    /** how often a guiding force was shortened */
    long long clipped = 0;
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMCOUNTERS_H_
