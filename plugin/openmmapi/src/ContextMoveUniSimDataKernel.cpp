#include "internal/ContextMoveUniSimDataKernel.h"
#include "openmm/System.h"
#include "openmm/kernels.h"

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

ContextMoveUniSimDataKernel::ContextMoveUniSimDataKernel(const Platform& platform)
        : MoveUniSimDataKernel(Name(), platform), unusedIntegrator(0.001) {
}

void ContextMoveUniSimDataKernel::initialize(ContextImpl& context, const UniSimIntegrator& integrator) {
    unusedKernel = context.getPlatform().createKernel(IntegrateVerletStepKernel::Name(), context);
    unusedKernel.getAs<IntegrateVerletStepKernel>().initialize(context.getSystem(), unusedIntegrator);
}

void ContextMoveUniSimDataKernel::getPositions(ContextImpl& context, vector<Vec3>& positions) {
    context.getPositions(positions);
}

void ContextMoveUniSimDataKernel::setPositions(ContextImpl& context, const vector<Vec3>& positions) {
    context.setPositions(positions);
}

void ContextMoveUniSimDataKernel::getForces(ContextImpl& context, vector<Vec3>& forces) {
    context.getForces(forces);
}

void ContextMoveUniSimDataKernel::setVelocities(ContextImpl& context, const vector<Vec3>& velocities) {
    context.setVelocities(velocities);
}

void ContextMoveUniSimDataKernel::advance(ContextImpl& context, double lagTime) {
    context.setTime(context.getTime() + lagTime);
    context.setStepCount(context.getStepCount() + 1);
}

double ContextMoveUniSimDataKernel::computeKineticEnergy(ContextImpl& context) {
    vector<Vec3> velocities;
    context.getVelocities(velocities);
    double energy = 0.0;
    for (int i = 0; i < (int)velocities.size(); i++)
        energy += 0.5 * context.getSystem().getParticleMass(i) * velocities[i].dot(velocities[i]);
    return energy;
}

} // namespace UniSimPlugin
