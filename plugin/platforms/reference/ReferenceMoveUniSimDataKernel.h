#ifndef OPENMM_REFERENCEMOVEUNISIMDATAKERNEL_H_
#define OPENMM_REFERENCEMOVEUNISIMDATAKERNEL_H_

#include "UniSimKernels.h"
#include "openmm/reference/ReferencePlatform.h"

namespace UniSimPlugin {

/**
 * The implementation of MoveUniSimDataKernel for the Reference platform and those built on it, such as CPU.
 * It reads and writes the platform's arrays directly.
 */
class ReferenceMoveUniSimDataKernel : public MoveUniSimDataKernel {
public:
    ReferenceMoveUniSimDataKernel(
            const OpenMM::Platform& platform, OpenMM::ReferencePlatform::PlatformData& data);
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
    OpenMM::ReferencePlatform::PlatformData& data;
    std::vector<double> masses;
    std::vector<int> particles;
    std::vector<OpenMM::Vec3> saved; // positions of all particles of the System
};

} // namespace UniSimPlugin

#endif // OPENMM_REFERENCEMOVEUNISIMDATAKERNEL_H_
