#include "internal/ContextMoveUniSimDataKernel.h"
#include "openmm/System.h"
#include "openmm/kernels.h"

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

ContextMoveUniSimDataKernel::ContextMoveUniSimDataKernel(const Platform& platform)
        : MoveUniSimDataKernel(Name(), platform), unusedIntegrator(0.001) {
}

void ContextMoveUniSimDataKernel::initialize(ContextImpl& context, const vector<int>& particles) {
    this->particles = particles;
    unusedKernel = context.getPlatform().createKernel(IntegrateVerletStepKernel::Name(), context);
    unusedKernel.getAs<IntegrateVerletStepKernel>().initialize(context.getSystem(), unusedIntegrator);
}

void ContextMoveUniSimDataKernel::savePositions(ContextImpl& context) {
    context.getPositions(saved);
}

void ContextMoveUniSimDataKernel::restorePositions(ContextImpl& context) {
    context.setPositions(saved);
}

void ContextMoveUniSimDataKernel::getPositions(ContextImpl& context, vector<Vec3>& positions) {
    context.getPositions(work);
    positions.resize(particles.size());
    for (size_t i = 0; i < particles.size(); i++)
        positions[i] = work[particles[i]];
}

void ContextMoveUniSimDataKernel::setPositions(ContextImpl& context, const vector<Vec3>& positions) {
    work = saved;
    for (size_t i = 0; i < particles.size(); i++)
        work[particles[i]] = positions[i];
    context.setPositions(work);
}

void ContextMoveUniSimDataKernel::getForces(ContextImpl& context, vector<Vec3>& forces) {
    context.getForces(work);
    forces.resize(particles.size());
    for (size_t i = 0; i < particles.size(); i++)
        forces[i] = work[particles[i]];
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
