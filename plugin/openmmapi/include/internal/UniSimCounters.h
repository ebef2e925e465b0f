#ifndef OPENMM_UNISIMCOUNTERS_H_
#define OPENMM_UNISIMCOUNTERS_H_

#include <algorithm>
#include <array>
#include <cmath>

namespace UniSimPlugin {

/**
 * Counts of what an integrator's jumps came to.
 */
struct UniSimCounters {
    /** the edges of the histogram of log a: one every kT from the lowest to the highest */
    static const int LOWEST_EDGE = -50, HIGHEST_EDGE = 10;
    static const int NUM_BINS = HIGHEST_EDGE - LOWEST_EDGE + 2;
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
    /** the number of jumps that were rejected because they would have turned a stereocenter over */
    long long turned = 0;
    /** the number of jumps that were judged by the Metropolis-Hastings rule */
    long long judged = 0;
    /** the sum of min(1, a) over them */
    double sumAcceptance = 0.0;
    /** how often log a was in each bin; the first bin is open below, the last one above */
    std::array<long long, NUM_BINS> histogram = {};
    /** Count a jump that was judged; minus infinity stands for one that is not finite. */
    void judge(double logAcceptance) {
        judged++;
        sumAcceptance += std::min(1.0, std::exp(logAcceptance));
        double bin = std::floor(logAcceptance) - LOWEST_EDGE + 1.0;
        histogram[static_cast<size_t>(std::clamp(bin, 0.0, NUM_BINS - 1.0))]++;
    }
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMCOUNTERS_H_
