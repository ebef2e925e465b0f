#ifndef OPENMM_UNISIMACCEPTANCESTATISTICS_H_
#define OPENMM_UNISIMACCEPTANCESTATISTICS_H_

#include <vector>

namespace UniSimPlugin {

/**
 * What the acceptance ratios a of a UniSimIntegrator's judged jumps were.
 */
struct UniSimAcceptanceStatistics {
    /** the number of jumps that were judged by the Metropolis-Hastings rule */
    long long judged = 0;
    /** the mean of min(1, a) over them, 0 for one that is not finite */
    double meanAcceptance = 0.0;
    /** the edges between the bins of the histogram of log a */
    std::vector<double> edges;
    /** how often log a was in each bin; the first and the last one, outside the edges, are unbounded */
    std::vector<long long> histogram;
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMACCEPTANCESTATISTICS_H_
