#ifndef OPENMM_CONTEXTMOVEUNISIMDATAKERNEL_H_
#define OPENMM_CONTEXTMOVEUNISIMDATAKERNEL_H_

#include "UniSimKernels.h"
#include "openmm/Kernel.h"
#include "openmm/VerletIntegrator.h"

namespace UniSimPlugin {

/**
 * The implementation of MoveUniSimDataKernel that works on every platform, through the platform-independent
 * methods of ContextImpl.
 */
class ContextMoveUniSimDataKernel : public MoveUniSimDataKernel {
public:
    ContextMoveUniSimDataKernel(const OpenMM::Platform& platform);
    void initialize(OpenMM::ContextImpl& context, const std::vector<int>& particles) override;
    void savePositions(OpenMM::ContextImpl& context) override;
    void restorePositions(OpenMM::ContextImpl& context) override;
    void getPositions(OpenMM::ContextImpl& context, std::vector<OpenMM::Vec3>& positions) override;
    void setPositions(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& positions) override;
    void getForces(OpenMM::ContextImpl& context, std::vector<OpenMM::Vec3>& forces) override;
    void setVelocities(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& velocities) override;
    void advance(OpenMM::ContextImpl& context, double lagTime) override;
    double computeKineticEnergy(OpenMM::ContextImpl& context) override;

private:
    // A GPU platform allocates its arrays when an integrator's kernel is initialized.  This stock kernel does
    // that; it is never executed.
    OpenMM::VerletIntegrator unusedIntegrator;
    OpenMM::Kernel unusedKernel;
    std::vector<int> particles;
    std::vector<OpenMM::Vec3> saved, work; // of all particles of the System
};

} // namespace UniSimPlugin

#endif // OPENMM_CONTEXTMOVEUNISIMDATAKERNEL_H_
