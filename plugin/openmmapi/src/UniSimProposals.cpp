// Paths of jumps, one or several from the same start, and the forces that the model asks for on the way.

#include "internal/UniSimCounters.h"
#include "internal/UniSimGuidance.h"
#include "internal/UniSimInterrupt.h"
#include "internal/UniSimJump.h"
#include <algorithm>
#include <cmath>
#include <optional>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

UniSimJump::Path UniSimJump::takePath(bool judged) {
    Conditions now = getConditions();
    if (ahead.empty() || ahead.front().jump != integrator.jumpIndex || !(now == aheadConditions)) {
        const int most = max(1, MAX_BATCH_PARTICLES / (int)particles.size());
        propose(judged ? min(integrator.getProposalBatchSize(), most) : 1, judged);
        aheadConditions = now;
    }
    Path path = std::move(ahead.front());
    ahead.pop_front();
    return path;
}

void UniSimJump::forgetAhead() {
    if (!executing)
        ahead.clear();
}

UniSimJump::Conditions UniSimJump::getConditions() const {
    Conditions now = {integrator.getTimeGrid(), kT, integrator.getGuidanceScale(),
            integrator.getGuidanceForceLimit(), integrator.getGuidanceSource(),
            integrator.getGuidanceForceGroups(), integrator.getIntegrationForceGroups(),
            integrator.activeSeed, integrator.getAcceptanceMode(), start, {}};
    if (passesBox || images)
        now.box = getBox();
    if (usesForces() && integrator.getProposalBatchSize() > 1)
        context.getPositions(now.start); // forces depend on the particles that stay, too
    return now;
}

void UniSimJump::propose(int number, bool judged) {
    vector<Vec3> initial;
    for (const Vec3& position : start)
        initial.push_back(position - center);
    ahead.clear();
    for (int i = 0; i < number; i++) {
        Path path;
        path.times = integrator.getTimeGrid();
        path.jump = integrator.jumpIndex + i;
        path.points.assign(1, initial);
        path.points.reserve(path.times.size());
        ahead.push_back(std::move(path));
    }
    const int n = ahead.front().numSubsteps();
    const int drawnAhead = max(1, MAX_BATCH_PARTICLES / (int)(number * particles.size()));
    vector<vector<Vec3>> normals;
    optional<UniSimModel::Session> session;
    if (!usesForces())
        session.emplace(model);
    for (int k = 0; k < n; k++) {
        throwIfUniSimInterrupted();
        if (k % drawnAhead == 0)
            drawNormals(k, min(drawnAhead, n - k), number, normals);
        advancePaths(k, normals[k % drawnAhead], judged);
        if (none_of(ahead.begin(), ahead.end(), [](const Path& path) { return path.finite; }))
            return;
    }
}

void UniSimJump::advancePaths(int k, const vector<Vec3>& normals, bool judged) {
    UniSimModelState state;
    vector<bool> finite;
    for (const Path& path : ahead) {
        addState(path, k, state);
        finite.push_back(path.finite);
    }
    setSurroundings(state);
    computeForces(state, center, finite);
    vector<Vec3> following;
    vector<double> logDensity = model.step(state, normals, following);
    const size_t size = particles.size();
    for (size_t i = 0; i < ahead.size(); i++) {
        Path& path = ahead[i];
        vector<Vec3> next(following.begin() + i * size, following.begin() + (i + 1) * size);
        path.finite = finite[i] && isInReach(next);
        if (!path.finite)
            next = path.points[0]; // no model ever sees NaN beside the others of a batch
        else if (judged && std::isnan(logDensity[i]))
            model.getMetadata().fail("has no density (nan) in substep " + to_string(k + 1) + " of " +
                                     to_string(path.numSubsteps()) +
                                     ", so MetropolisHastings can't judge its jumps; use the "
                                     "acceptance mode AcceptAll or a model without noiseless substeps.");
        path.logDensity += logDensity[i];
        path.points.push_back(std::move(next));
    }
}

void UniSimJump::addState(const Path& path, int k, UniSimModelState& state) const {
    const vector<Vec3>&initial = path.points[0], &here = path.points[k];
    state.positions.insert(state.positions.end(), here.begin(), here.end());
    state.initialPositions.insert(state.initialPositions.end(), initial.begin(), initial.end());
    state.times.push_back(path.times[k]);
    state.nextTimes.push_back(path.times[k + 1]);
}

void UniSimJump::setSurroundings(UniSimModelState& state) const {
    state.kT = kT;
    if (passesBox)
        state.box = getBox();
    UniSimIntegrator::GuidanceSource source = integrator.getGuidanceSource();
    const bool within = source != UniSimIntegrator::NoGuidance && source != UniSimIntegrator::Resampling;
    state.guidanceSource = within ? source : UniSimIntegrator::NoGuidance;
    state.guidanceScale = within ? integrator.getGuidanceScale() : 0.0;
    state.guidanceAlpha = guidanceAlpha;
}

bool UniSimJump::usesForces() const {
    return usesForceMeans || isGuidedByForces(integrator);
}

void UniSimJump::computeForces(UniSimModelState& state, const Vec3& origin, vector<bool>& finite) {
    if (!usesForces())
        return;
    vector<Vec3> points = model.getGuidancePoints(state);
    if (points.empty())
        return;
    const size_t size = particles.size();
    state.forces.clear();
    for (size_t i = 0; i < finite.size(); i++) {
        vector<Vec3> copy(points.begin() + i * size, points.begin() + (i + 1) * size), forces(size);
        const bool asked = !(usesForceMeans && std::isnan(copy[0][0])); // a copy that is not at the stiff end
        if (finite[i] && asked)
            finite[i] = isInReach(copy) && computeForcesAt(copy, origin, forces);
        state.forces.insert(state.forces.end(), forces.begin(), forces.end());
    }
}

bool UniSimJump::computeForcesAt(const vector<Vec3>& points, const Vec3& origin, vector<Vec3>& forces) {
    const bool guided = isGuidedByForces(integrator);
    place(points.data(), origin);
    {
        UniSimStopwatch::Scope scope(stopwatch, UniSimStopwatch::Forces);
        context.calcForcesAndEnergy(true, false,
                guided ? integrator.getGuidanceForceGroups() : integrator.getIntegrationForceGroups());
    }
    data.getForces(context, forces);
    if (guided)
        integrator.counters->clipped += clipForces(forces, integrator.getGuidanceForceLimit());
    if (all_of(forces.begin(), forces.end(), [](const Vec3& v) { return isfinite(v[0] + v[1] + v[2]); }))
        return true;
    forces.assign(forces.size(), Vec3());
    return false;
}

void UniSimJump::drawNormals(int firstSubstep, int number, int copies, vector<vector<Vec3>>& normals) {
    UniSimStopwatch::Scope scope(stopwatch, UniSimStopwatch::Noise);
    const int size = (int)particles.size();
    normals.assign(number, vector<Vec3>(copies * size));
    for (int k = 0; k < number; k++)
        for (int i = 0; i < copies; i++)
            noise.fillNormals(UniSimNoise::SubstepStream, integrator.jumpIndex + i, firstSubstep + k, 0, size,
                    &normals[k][i * size]);
}

} // namespace UniSimPlugin
