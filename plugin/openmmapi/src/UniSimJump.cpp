#include "internal/UniSimJump.h"
#include "internal/UniSimCounters.h"
#include "internal/UniSimGuidance.h"
#include "internal/UniSimInterrupt.h"
#include "internal/UniSimSystemChecks.h"
#include "openmm/CMMotionRemover.h"
#include "openmm/OpenMMException.h"
#include "openmm/System.h"
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <sstream>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

namespace {

const double MAX_COORDINATE = 1e5; // nm; a molecule further out has exploded
const int MAX_CONSECUTIVE_NAN = 20;
const size_t MAX_REMEMBERED = 10000; // rows of jumps
const size_t SMALL_MOLECULE = 200;   // particles; arrays of fewer are too small to share out among threads

bool isFinite(const vector<Vec3>& vectors, double limit) {
    return all_of(vectors.begin(), vectors.end(), [limit](const Vec3& v) {
        return fabs(v[0]) < limit && fabs(v[1]) < limit && fabs(v[2]) < limit;
    });
}

/** The number in the Context's property "Threads" (of the CPU platform), or 0 if it has none. */
int findPlatformThreads(ContextImpl& context) {
    const Platform& platform = context.getPlatform();
    const vector<string>& names = platform.getPropertyNames();
    if (find(names.begin(), names.end(), "Threads") == names.end())
        return 0;
    return max(0, atoi(platform.getPropertyValue(context.getOwner(), "Threads").c_str()));
}

} // namespace

UniSimJump::UniSimJump(ContextImpl& context, UniSimIntegrator& integrator, MoveUniSimDataKernel& data)
        : context(context), integrator(integrator), data(data), model(*integrator.model),
          stopwatch(*integrator.stopwatch), noise(integrator.activeSeed), kT(0.0), passesBox(false),
          removesDrift(false), constrained(false), moved(false), projected(false), positionsChecked(false),
          executing(false), seedOfMade(integrator.activeSeed), repeatedNoise(false) {
    const System& system = context.getSystem();
    const UniSimModelMetadata& metadata = model.getMetadata();
    temperatureRange = metadata.getTemperatureRange();
    lagTime = integrator.getLagTime();
    guidanceAlpha = metadata.getNumber("guidance_alpha");
    usesForceMeans = metadata.getNumber("force_means_nm") > 0.0;
    particles = findJumpingParticles(system, integrator);
    constrained = haveConstraints(system, particles);
    checkNothingIsTorn(system, particles);
    checkSameBonds(system, integrator);
    checkAtomicNumbers(integrator.getAtomicNumbers(), particles, metadata);
    bonds = findJumpingBonds(system, integrator, particles);
    if (metadata.getFlag("needs_bonds") && bonds.empty() && particles.size() > 1)
        metadata.fail("needs bonds, but none are set; call setBonds().");
    model.setParticles(integrator.getAtomicNumbers(), bonds);
    stereocenters.emplace(integrator.getAtomicNumbers(), bonds);
    passesBox = metadata.getFlag("periodic");
    if (passesBox && !system.usesPeriodicBoundaryConditions())
        metadata.fail(
                "is made for periodic systems, and this System is not one; use a model without periodicity.");
    if (!passesBox && system.usesPeriodicBoundaryConditions())
        images.emplace((int)particles.size(), bonds);
    for (int i = 0; i < system.getNumForces(); i++)
        removesDrift |= dynamic_cast<const CMMotionRemover*>(&system.getForce(i)) != nullptr;
    checkAllowed();
    platformThreads = findPlatformThreads(context);
}

void UniSimJump::checkAllowed() const {
    if (usesForceMeans)
        checkForceMeans(context.getSystem(), particles, integrator, model.getMetadata());
    checkGuidance(context.getSystem(), integrator, model.getMetadata());
    if (integrator.getAcceptanceMode() == UniSimIntegrator::MetropolisHastings) {
        checkMetropolis(context.getSystem(), particles);
        return;
    }
    auto [low, high] = temperatureRange;
    double temperature = integrator.getTemperature();
    if (temperature < low || temperature > high) {
        stringstream message;
        message << "is made for " << low << " to " << high << " K, and the temperature is " << temperature
                << " K; choose one within, or the acceptance mode MetropolisHastings.";
        model.getMetadata().fail(message.str());
    }
}

void UniSimJump::execute() {
    UniSimStopwatch::Scope handOver(stopwatch, UniSimStopwatch::HandOver);
    checkAllowed();
    model.setNumThreads(chooseNumThreads());
    data.beginStep(context, lagTime);
    context.updateContextState();
    readStart();
    moved = projected = false;
    Outcome outcome;
    executing = true; // what changes the state now is no stranger
    try {
        outcome = jump();
    }
    catch (...) {
        ahead.clear();
        restore();
        executing = false;
        throw;
    }
    if (outcome.accepted)
        ahead.clear();
    else
        restore();
    if (integrator.getRandomizesVelocities())
        drawVelocities();
    data.advance(context, lagTime);
    executing = false;
    record(outcome);
}

void UniSimJump::setSeed(int seed) {
    if (seed != seedOfMade)
        made.clear();
    seedOfMade = seed;
    noise = UniSimNoise(seed);
}

void UniSimJump::readStart() {
    data.savePositions(context);
    data.getPositions(context, start);
    for (size_t i = 0; i < start.size(); i++) {
        const Vec3& position = start[i];
        if (!isfinite(position[0] + position[1] + position[2]))
            throw OpenMMException("The position of particle " + to_string(particles[i]) +
                                  " is NaN or infinite before the jump; set finite positions or load an "
                                  "earlier checkpoint.");
    }
    if (images)
        shifts = images->findShifts(start, getBox());
    center = Vec3();
    for (size_t i = 0; i < start.size(); i++) {
        if (images)
            start[i] += shifts[i];
        center += start[i];
    }
    center /= (double)particles.size();
    if (!positionsChecked) {
        UniSimStopwatch::Scope scope(stopwatch, UniSimStopwatch::Forces);
        context.calcForcesAndEnergy(false, false, 0); // throws an exception if positions have not been set
    }
    positionsChecked = true;
    for (auto [first, second] : bonds)
        if (start[first] == start[second])
            throw OpenMMException("Particles " + to_string(particles[first]) + " and " +
                                  to_string(particles[second]) +
                                  " are bonded and lie at the same place; set the positions of a molecule.");
    kT = BOLTZMANN * integrator.getTemperature();
}

UniSimJump::Outcome UniSimJump::jump() {
    if (isResampled(integrator))
        return resample();
    const bool judged = integrator.getAcceptanceMode() == UniSimIntegrator::MetropolisHastings;
    const Path path = takePath(judged);
    if (!path.finite)
        return rejectNotFinite();
    if (turnsOver(path.points.back()))
        return rejectTurned();
    if (judged)
        return decide(path);
    place(path.points.back().data(), center);
    return project() ? Outcome{true, true, 0.0} : rejectNotFinite();
}

bool UniSimJump::turnsOver(const vector<Vec3>& end) const {
    return integrator.getKeepsStereocenters() && !stereocenters->areKept(start, end);
}

UniSimJump::Outcome UniSimJump::rejectTurned() {
    integrator.counters->turned++;
    return {true, false, -numeric_limits<double>::infinity()};
}

UniSimJump::Outcome UniSimJump::rejectNotFinite() const {
    return {false, false, -numeric_limits<double>::infinity()};
}

UniSimJump::Outcome UniSimJump::decide(const Path& path) {
    if (moved)
        restore();
    double energyBefore = computePotentialEnergy(integrator.getIntegrationForceGroups());
    if (!isfinite(energyBefore))
        throw OpenMMException(
                "The potential energy before the jump is NaN or infinite, so MetropolisHastings has no "
                "state to compare with; start from a relaxed structure.");
    if (!staysInImages(path.points.back()))
        return {true, false, -numeric_limits<double>::infinity()};
    double reversedDensity = 0.0;
    if (!computeReversedDensity(path, reversedDensity))
        return rejectNotFinite();
    place(path.points.back().data(), center);
    double change = computePotentialEnergy(integrator.getIntegrationForceGroups()) - energyBefore;
    double logAcceptance = -change / kT + reversedDensity - path.logDensity;
    if (!isfinite(change) || std::isnan(logAcceptance))
        return rejectNotFinite();
    double uniform = noise.getAcceptanceUniform(integrator.jumpIndex);
    return {true, log(uniform) < logAcceptance, logAcceptance};
}

vector<Vec3> UniSimJump::getBox() const {
    vector<Vec3> box(3);
    context.getPeriodicBoxVectors(box[0], box[1], box[2]);
    return box;
}

bool UniSimJump::staysInImages(const vector<Vec3>& end) const {
    // Seen from the end, molecules must lie in the same images, or the reversed path would not start there.
    if (!images)
        return true;
    vector<Vec3> changes = images->findShifts(end, getBox());
    return all_of(changes.begin(), changes.end(), [](const Vec3& change) { return change == Vec3(); });
}

bool UniSimJump::computeReversedDensity(const Path& path, double& logDensity) {
    // The reversed path, seen from the center of its own start, as a jump from there would be.
    const int n = path.numSubsteps();
    Vec3 shift;
    for (const Vec3& point : path.points[n])
        shift += point / (double)particles.size();
    Path reversed = path;
    reverse(reversed.points.begin(), reversed.points.end());
    for (vector<Vec3>& points : reversed.points)
        for (Vec3& point : points)
            point -= shift;
    const int batch = max(1, MAX_BATCH_PARTICLES / (int)particles.size());
    for (int first = 0; first < n; first += batch) {
        throwIfUniSimInterrupted();
        const int last = min(first + batch, n);
        UniSimModelState state;
        vector<Vec3> next;
        for (int k = first; k < last; k++) {
            addState(reversed, k, state);
            next.insert(next.end(), reversed.points[k + 1].begin(), reversed.points[k + 1].end());
        }
        setSurroundings(state);
        vector<bool> finite(last - first, true);
        computeForces(state, center + shift, finite);
        if (find(finite.begin(), finite.end(), false) != finite.end())
            return false;
        for (double term : model.getLogDensity(next, state))
            logDensity += term;
    }
    return !std::isnan(logDensity);
}

int UniSimJump::chooseNumThreads() const {
    if (integrator.getNumThreads() > 0)
        return integrator.getNumThreads();
    if (particles.size() < SMALL_MOLECULE || model.getMetadata().getText("operators") != "0")
        return 1; // the fused operators run in one thread, and idle ones would spin
    return platformThreads == 0 ? 0 : min(platformThreads, UniSimModel::getNumTorchThreads());
}

double UniSimJump::computePotentialEnergy(int groups) {
    UniSimStopwatch::Scope scope(stopwatch, UniSimStopwatch::Forces);
    return context.calcForcesAndEnergy(false, true, groups);
}

bool UniSimJump::isInReach(const vector<Vec3>& points) {
    return isFinite(points, MAX_COORDINATE);
}

void UniSimJump::place(const Vec3* points, const Vec3& origin) {
    if (projected)
        restore(); // constraints may have moved other particles, too
    vector<Vec3> positions(points, points + particles.size());
    for (size_t i = 0; i < positions.size(); i++)
        positions[i] += images ? origin - shifts[i] : origin;
    moved = true;
    data.setPositions(context, positions);
    context.computeVirtualSites();
}

bool UniSimJump::project() {
    if (!constrained)
        return true;
    projected = true;
    context.applyConstraints(integrator.getConstraintTolerance());
    vector<Vec3> positions;
    data.getPositions(context, positions);
    return isFinite(positions, MAX_COORDINATE);
}

void UniSimJump::restore() {
    if (moved)
        data.restorePositions(context);
    moved = projected = false;
}

void UniSimJump::drawVelocities() {
    const System& system = context.getSystem();
    vector<Vec3> velocities(system.getNumParticles());
    {
        UniSimStopwatch::Scope scope(stopwatch, UniSimStopwatch::Noise);
        noise.fillNormals(UniSimNoise::VelocityStream, integrator.jumpIndex, 0, 0, (int)velocities.size(),
                velocities.data());
    }
    Vec3 momentum;
    double totalMass = 0.0;
    for (int i = 0; i < system.getNumParticles(); i++) {
        double mass = system.getParticleMass(i);
        velocities[i] *= mass == 0.0 ? 0.0 : sqrt(kT / mass);
        momentum += velocities[i] * mass;
        totalMass += mass;
    }
    if (removesDrift)
        for (int i = 0; i < system.getNumParticles(); i++)
            if (system.getParticleMass(i) != 0.0)
                velocities[i] -= momentum / totalMass;
    data.setVelocities(context, velocities);
    if (system.getNumConstraints() > 0)
        context.applyVelocityConstraints(integrator.getConstraintTolerance());
}

bool UniSimJump::remember(long long jump) {
    auto after = made.upper_bound(jump);
    const bool precedes = after != made.end() && after->first == jump + 1;
    const long long end = precedes ? after->second : jump + 1;
    if (after != made.begin() && prev(after)->second >= jump) {
        auto row = prev(after);
        if (row->second > jump)
            return false;
        row->second = end;
    }
    else
        made[jump] = end;
    if (precedes)
        made.erase(after);
    if (made.size() > MAX_REMEMBERED)
        made.erase(made.begin());
    return true;
}

void UniSimJump::record(const Outcome& outcome) {
    UniSimCounters& counters = *integrator.counters;
    repeatedNoise |= !remember(integrator.jumpIndex);
    integrator.jumpIndex++;
    counters.proposed++;
    counters.accepted += outcome.accepted;
    counters.nan += !outcome.finite;
    counters.lastLogAcceptance = outcome.logAcceptance;
    if (integrator.getAcceptanceMode() == UniSimIntegrator::MetropolisHastings)
        counters.judge(outcome.logAcceptance);
    counters.consecutiveNaN = outcome.finite ? 0 : counters.consecutiveNaN + 1;
    if (counters.consecutiveNaN < MAX_CONSECUTIVE_NAN)
        return;
    counters.consecutiveNaN = 0;
    model.getMetadata().fail("gave " + to_string(MAX_CONSECUTIVE_NAN) +
                             " NaN or infinite jumps in a row; the structure, its elements or its "
                             "temperature are outside what it was "
                             "trained for, so start from a thermalised structure or use another model.");
}

} // namespace UniSimPlugin
