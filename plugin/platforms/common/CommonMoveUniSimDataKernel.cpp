#include "CommonMoveUniSimDataKernel.h"
#include "CommonUniSimKernelSources.h"
#include "openmm/System.h"
#include "openmm/common/ContextSelector.h"

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

CommonMoveUniSimDataKernel::CommonMoveUniSimDataKernel(const Platform& platform, ComputeContext& cc)
        : MoveUniSimDataKernel(Name(), platform), cc(cc), wraps(false) {
}

void CommonMoveUniSimDataKernel::initialize(ContextImpl& context, const vector<int>& jumping) {
    cc.initializeContexts(); // an integrator's kernel must; without it the first use of the Context crashes
    ContextSelector selector(cc);
    particles = jumping;
    wraps = context.getSystem().usesPeriodicBoundaryConditions();
    const bool doubles = cc.getUseDoublePrecision(), mixedDoubles = doubles || cc.getUseMixedPrecision();
    const int numAtoms = cc.getNumAtoms(), numParticles = (int)particles.size();
    const int mixedSize = mixedDoubles ? sizeof(mm_double4) : sizeof(mm_float4);
    const int realSize = doubles ? sizeof(mm_double4) : sizeof(mm_float4);
    placeArray.initialize<int>(cc, numParticles, "uniSimPlaces");
    positionArray.initialize(cc, numParticles, mixedSize, "uniSimPositions");
    forceArray.initialize<long long>(cc, 3 * numParticles, "uniSimForces");
    velocityArray.initialize(cc, numAtoms, mixedSize, "uniSimVelocities");
    saved.initialize(cc, numAtoms, realSize, "uniSimSaved");
    if (cc.getUseMixedPrecision())
        savedCorrection.initialize(cc, numAtoms, realSize, "uniSimSavedCorrection");
    createKernels();
}

void CommonMoveUniSimDataKernel::createKernels() {
    map<string, string> defines = {{"NUM_ATOMS", cc.intToString(cc.getNumAtoms())},
            {"PADDED_NUM_ATOMS", cc.intToString(cc.getPaddedNumAtoms())},
            {"NUM_PARTICLES", cc.intToString((int)particles.size())}};
    ComputeProgram program = cc.compileProgram(CommonUniSimKernelSources::moveUniSimData, defines);
    auto create = [&](const string& name, const vector<ArrayInterface*>& arrays) {
        ComputeKernel kernel = program->createKernel(name);
        for (ArrayInterface* array : arrays)
            kernel->addArg(*array);
        return kernel;
    };
    ArrayInterface &posq = cc.getPosq(), &index = cc.getAtomIndexArray();
    vector<ArrayInterface*> all = {&posq, &index, &saved}, some = {&posq, &placeArray, &positionArray};
    if (cc.getUseMixedPrecision()) {
        all.insert(all.end(), {&cc.getPosqCorrection(), &savedCorrection});
        some.push_back(&cc.getPosqCorrection());
    }
    saveKernel = create("savePositions", all);
    restoreKernel = create("restorePositions", all);
    gatherPositionsKernel = create("gatherPositions", some);
    scatterPositionsKernel = create("scatterPositions", some);
    gatherForcesKernel = create("gatherForces", {&cc.getLongForceBuffer(), &placeArray, &forceArray});
    scatterVelocitiesKernel = create("scatterVelocities", {&cc.getVelm(), &index, &velocityArray});
}

void CommonMoveUniSimDataKernel::findPlaces() {
    if (knownOrder == cc.getAtomIndex())
        return;
    knownOrder = cc.getAtomIndex();
    vector<int> placeOf(knownOrder.size());
    for (int i = 0; i < cc.getNumAtoms(); i++)
        placeOf[knownOrder[i]] = i;
    places.resize(particles.size());
    for (size_t i = 0; i < particles.size(); i++)
        places[i] = placeOf[particles[i]];
    placeArray.upload(places);
}

Vec3 CommonMoveUniSimDataKernel::getOffset(int particle) const {
    const mm_int4 boxes = cc.getPosCellOffsets()[places[particle]];
    if (boxes.x == 0 && boxes.y == 0 && boxes.z == 0)
        return Vec3();
    Vec3 a, b, c;
    cc.getPeriodicBoxVectors(a, b, c);
    return a * boxes.x + b * boxes.y + c * boxes.z;
}

void CommonMoveUniSimDataKernel::savePositions(ContextImpl& context) {
    ContextSelector selector(cc);
    saveKernel->execute(cc.getNumAtoms());
    if (!wraps)
        return;
    const vector<int>& order = cc.getAtomIndex();
    savedOffsets.resize(cc.getNumAtoms());
    for (int i = 0; i < cc.getNumAtoms(); i++)
        savedOffsets[order[i]] = cc.getPosCellOffsets()[i];
}

void CommonMoveUniSimDataKernel::restorePositions(ContextImpl& context) {
    ContextSelector selector(cc);
    restoreKernel->execute(cc.getNumAtoms());
    const vector<int>& order = cc.getAtomIndex();
    for (int i = 0; wraps && i < cc.getNumAtoms(); i++)
        cc.getPosCellOffsets()[i] = savedOffsets[order[i]];
    context.systemChanged(); // other integrators of a CompoundIntegrator may hold forces for the old
                             // positions
}

void CommonMoveUniSimDataKernel::getPositions(ContextImpl& context, vector<Vec3>& positions) {
    ContextSelector selector(cc);
    findPlaces();
    gatherPositionsKernel->execute((int)particles.size());
    positionArray.download(positionWork, true);
    positions.resize(particles.size());
    for (size_t i = 0; i < particles.size(); i++) {
        const mm_double4& position = positionWork[i];
        positions[i] = Vec3(position.x, position.y, position.z) - getOffset((int)i);
    }
}

void CommonMoveUniSimDataKernel::setPositions(ContextImpl& context, const vector<Vec3>& positions) {
    ContextSelector selector(cc);
    findPlaces();
    positionWork.resize(particles.size());
    for (size_t i = 0; i < particles.size(); i++) {
        const Vec3 position = positions[i] + getOffset((int)i);
        positionWork[i] = mm_double4(position[0], position[1], position[2], 0.0);
    }
    positionArray.upload(positionWork, true);
    scatterPositionsKernel->execute((int)particles.size());
    context.systemChanged();
}

void CommonMoveUniSimDataKernel::getForces(ContextImpl& context, vector<Vec3>& forces) {
    ContextSelector selector(cc);
    findPlaces();
    gatherForcesKernel->execute((int)particles.size());
    forceArray.download(forceWork);
    forces.resize(particles.size());
    const double scale = 1.0 / (double)0x100000000LL;
    for (size_t i = 0; i < particles.size(); i++)
        forces[i] = Vec3(forceWork[3 * i], forceWork[3 * i + 1], forceWork[3 * i + 2]) * scale;
}

void CommonMoveUniSimDataKernel::setVelocities(ContextImpl& context, const vector<Vec3>& velocities) {
    ContextSelector selector(cc);
    velocityWork.resize(velocities.size());
    for (size_t i = 0; i < velocities.size(); i++)
        velocityWork[i] = mm_double4(velocities[i][0], velocities[i][1], velocities[i][2], 0.0);
    velocityArray.upload(velocityWork, true);
    scatterVelocitiesKernel->execute(cc.getNumAtoms());
}

void CommonMoveUniSimDataKernel::beginStep(ContextImpl& context, double lagTime) {
    ContextSelector selector(cc);
    cc.getIntegrationUtilities().setNextStepSize(lagTime);
}

void CommonMoveUniSimDataKernel::advance(ContextImpl& context, double lagTime) {
    ContextSelector selector(cc);
    const double time = cc.getTime() + lagTime;
    const long long stepCount = cc.getStepCount() + 1;
    for (ComputeContext* each : cc.getAllContexts()) {
        each->setTime(time);
        each->setStepCount(stepCount);
    }
    cc.reorderAtoms();
}

double CommonMoveUniSimDataKernel::computeKineticEnergy(ContextImpl& context) {
    ContextSelector selector(cc);
    return cc.getIntegrationUtilities().computeKineticEnergy(0.0);
}

} // namespace UniSimPlugin
