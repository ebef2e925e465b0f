// What a UniSimIntegrator has counted and measured.

#include "UniSimIntegrator.h"
#include "internal/UniSimCounters.h"
#include "internal/UniSimStopwatch.h"

using namespace std;

namespace UniSimPlugin {

long long UniSimIntegrator::getNumProposed() const {
    return counters->proposed;
}

long long UniSimIntegrator::getNumAccepted() const {
    return counters->accepted;
}

long long UniSimIntegrator::getNumNaN() const {
    return counters->nan;
}

long long UniSimIntegrator::getNumTurned() const {
    return counters->turned;
}

long long UniSimIntegrator::getNumClipped() const {
    return counters->clipped;
}

double UniSimIntegrator::getLastLogAcceptance() const {
    return counters->lastLogAcceptance;
}

UniSimAcceptanceStatistics UniSimIntegrator::getAcceptanceStatistics() const {
    UniSimAcceptanceStatistics statistics;
    statistics.judged = counters->judged;
    statistics.meanAcceptance = counters->judged == 0 ? 0.0 : counters->sumAcceptance / counters->judged;
    for (int edge = UniSimCounters::LOWEST_EDGE; edge <= UniSimCounters::HIGHEST_EDGE; edge++)
        statistics.edges.push_back(edge);
    statistics.histogram.assign(counters->histogram.begin(), counters->histogram.end());
    return statistics;
}

void UniSimIntegrator::resetCounters() {
    *counters = UniSimCounters();
}

UniSimTimings UniSimIntegrator::getTimings() const {
    return stopwatch->getTimings();
}

void UniSimIntegrator::resetTimings() {
    stopwatch->reset();
}

} // namespace UniSimPlugin
