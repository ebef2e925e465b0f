#ifndef OPENMM_UNISIMSTOPWATCH_H_
#define OPENMM_UNISIMSTOPWATCH_H_

#include "UniSimTimings.h"
#include <chrono>

namespace UniSimPlugin {

/**
 * Splits the time of jumps into activities.  At any time one activity is going on; within it another one can
 * begin, and then the first waits.  A Scope reads the clock twice, which costs less than 0.1 microseconds.
 */
class UniSimStopwatch {
public:
    enum Activity { Outside, HandOver, Model, Forces, Noise, NumActivities };
    /**
     * An activity goes on while this lives.
     */
    class Scope {
    public:
        Scope(UniSimStopwatch& watch, Activity activity) : watch(watch), before(watch.current) {
            watch.counts[activity]++;
            watch.change(activity);
        }
        ~Scope() {
            watch.change(before);
        }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

    private:
        UniSimStopwatch& watch;
        Activity before;
    };
    /**
     * Get the times and counts since the last reset.
     */
    UniSimTimings getTimings() const {
        return {seconds[Model], seconds[Forces], seconds[Noise], seconds[HandOver], counts[HandOver],
                counts[Model], counts[Forces]};
    }
    /**
     * Set all times and counts to zero.
     */
    void reset() {
        for (int i = 0; i < NumActivities; i++) {
            seconds[i] = 0.0;
            counts[i] = 0;
        }
    }

private:
    using Clock = std::chrono::steady_clock;
    void change(Activity next) {
        Clock::time_point now = Clock::now();
        seconds[current] += std::chrono::duration<double>(now - since).count();
        current = next;
        since = now;
    }
    Activity current = Outside;
    Clock::time_point since = Clock::now();
    double seconds[NumActivities] = {};
    long long counts[NumActivities] = {};
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMSTOPWATCH_H_
