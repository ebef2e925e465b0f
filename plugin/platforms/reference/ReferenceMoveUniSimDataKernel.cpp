#include "ReferenceMoveUniSimDataKernel.h"
#include "openmm/System.h"

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

ReferenceMoveUniSimDataKernel::ReferenceMoveUniSimDataKernel(
        const Platform& platform, ReferencePlatform::PlatformData& data)
        : MoveUniSimDataKernel(Name(), platform), data(data) {
}

void ReferenceMoveUniSimDataKernel::initialize(ContextImpl& context, const vector<int>& particles) {
    this->particles = particles;
    const System& system = context.getSystem();
    masses.resize(system.getNumParticles());
    for (int i = 0; i < system.getNumParticles(); i++)
        masses[i] = system.getParticleMass(i);
}

void ReferenceMoveUniSimDataKernel::savePositions(ContextImpl& context) {
    saved = *data.positions;
}

void ReferenceMoveUniSimDataKernel::restorePositions(ContextImpl& context) {
    *data.positions = saved;
    context.systemChanged(); // other integrators of a CompoundIntegrator may hold forces for the old
                             // positions
}

void ReferenceMoveUniSimDataKernel::getPositions(ContextImpl& context, vector<Vec3>& positions) {
    positions.resize(particles.size());
    for (size_t i = 0; i < particles.size(); i++)
        positions[i] = (*data.positions)[particles[i]];
}

void ReferenceMoveUniSimDataKernel::setPositions(ContextImpl& context, const vector<Vec3>& positions) {
    for (size_t i = 0; i < particles.size(); i++)
        (*data.positions)[particles[i]] = positions[i];
    context.systemChanged();
}

void ReferenceMoveUniSimDataKernel::getForces(ContextImpl& context, vector<Vec3>& forces) {
    forces.resize(particles.size());
    for (size_t i = 0; i < particles.size(); i++)
        forces[i] = (*data.forces)[particles[i]];
}

void ReferenceMoveUniSimDataKernel::setVelocities(ContextImpl& context, const vector<Vec3>& velocities) {
    *data.velocities = velocities;
}

void ReferenceMoveUniSimDataKernel::advance(ContextImpl& context, double lagTime) {
    data.time += lagTime;
    data.stepCount++;
}

double ReferenceMoveUniSimDataKernel::computeKineticEnergy(ContextImpl& context) {
    double energy = 0.0;
    for (size_t i = 0; i < masses.size(); i++)
        energy += 0.5 * masses[i] * (*data.velocities)[i].dot((*data.velocities)[i]);
    return energy;
}

} // namespace UniSimPlugin
