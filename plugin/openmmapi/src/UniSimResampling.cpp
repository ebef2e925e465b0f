// Jumps of which one is chosen by the energy of the environment that guides (docs/theory.md, section 9).

#include "internal/UniSimGuidance.h"
#include "internal/UniSimInterrupt.h"
#include "internal/UniSimJump.h"
#include <algorithm>
#include <cmath>
#include <limits>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

UniSimJump::Outcome UniSimJump::resample() {
    const int number = integrator.getNumResampled();
    const int batch = max(1, MAX_BATCH_PARTICLES / (int)particles.size());
    vector<vector<Vec3>> ends;
    for (int first = 0; first < number; first += batch)
        walkCandidates(first, min(batch, number - first), ends);
    vector<double> logWeights;
    for (const vector<Vec3>& end : ends)
        logWeights.push_back(computeLogWeight(end));
    int chosen = chooseCandidate(logWeights, noise.getResamplingUniform(integrator.jumpIndex));
    if (chosen < 0)
        return all_of(ends.begin(), ends.end(), [this](const vector<Vec3>& end) { return isInReach(end); })
                       ? rejectTurned()
                       : rejectNotFinite();
    place(ends[chosen].data(), center);
    return project() ? Outcome{true, true, 0.0} : rejectNotFinite();
}

void UniSimJump::walkCandidates(int first, int number, vector<vector<Vec3>>& ends) {
    const size_t size = particles.size();
    const vector<double>& times = integrator.getTimeGrid();
    UniSimModel::Session session(model);
    UniSimModelState state;
    setSurroundings(state);
    for (int i = 0; i < number; i++)
        for (const Vec3& position : start)
            state.initialPositions.push_back(position - center);
    state.positions = state.initialPositions;
    vector<Vec3> normals(number * size), next;
    for (size_t k = 0; k + 1 < times.size(); k++) {
        throwIfUniSimInterrupted();
        state.times.assign(number, times[k]);
        state.nextTimes.assign(number, times[k + 1]);
        {
            UniSimStopwatch::Scope scope(stopwatch, UniSimStopwatch::Noise);
            for (int i = 0; i < number; i++)
                noise.fillNormals(UniSimNoise::getCandidateStream(first + i), integrator.jumpIndex, (int)k, 0,
                        (int)size, &normals[i * size]);
        }
        model.step(state, normals, next);
        state.positions = next;
    }
    for (int i = 0; i < number; i++)
        ends.emplace_back(next.begin() + i * size, next.begin() + (i + 1) * size);
}

double UniSimJump::computeLogWeight(const vector<Vec3>& end) {
    // A candidate that isn't finite has, as an exploded or a turned-over molecule would, no weight.
    if (!isInReach(end) || turnsOver(end))
        return -numeric_limits<double>::infinity();
    place(end.data(), center);
    if (!project())
        return -numeric_limits<double>::infinity();
    double energy = computePotentialEnergy(integrator.getGuidanceForceGroups());
    return -integrator.getGuidanceScale() * guidanceAlpha * energy / kT;
}

} // namespace UniSimPlugin
