#ifndef OPENMM_COMMONMOVEUNISIMDATAKERNEL_H_
#define OPENMM_COMMONMOVEUNISIMDATAKERNEL_H_

#include "UniSimKernels.h"
#include "openmm/common/ComputeArray.h"
#include "openmm/common/ComputeContext.h"
#include "openmm/common/ComputeKernel.h"
#include "openmm/common/ComputeVectorTypes.h"

namespace UniSimPlugin {

/**
 * The implementation of MoveUniSimDataKernel for the platforms that share OpenMM's ComputeContext: OpenCL,
 * CUDA and HIP.  Saved positions stay on the device; of positions and forces only those of the jumping
 * particles cross the bus.
 *
 * Such a platform keeps atoms in an order of its own, which it changes now and then, and wraps molecules into
 * the periodic box.  Everything here is addressed by the System's order, and wrapping is undone by the host,
 * which alone knows by how many boxes (getPosCellOffsets()).
 */
class CommonMoveUniSimDataKernel : public MoveUniSimDataKernel {
public:
    CommonMoveUniSimDataKernel(const OpenMM::Platform& platform, OpenMM::ComputeContext& cc);
    void initialize(OpenMM::ContextImpl& context, const std::vector<int>& particles) override;
    void savePositions(OpenMM::ContextImpl& context) override;
    void restorePositions(OpenMM::ContextImpl& context) override;
    void getPositions(OpenMM::ContextImpl& context, std::vector<OpenMM::Vec3>& positions) override;
    void setPositions(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& positions) override;
    void getForces(OpenMM::ContextImpl& context, std::vector<OpenMM::Vec3>& forces) override;
    void setVelocities(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& velocities) override;
    void beginStep(OpenMM::ContextImpl& context, double lagTime) override;
    void advance(OpenMM::ContextImpl& context, double lagTime) override;
    double computeKineticEnergy(OpenMM::ContextImpl& context) override;

private:
    void createKernels();
    void findPlaces();
    OpenMM::Vec3 getOffset(int particle) const;
    OpenMM::ComputeContext& cc;
    bool wraps; // molecules into a periodic box
    std::vector<int> particles, places, knownOrder;
    std::vector<OpenMM::mm_double4> positionWork, velocityWork;
    std::vector<long long> forceWork;
    std::vector<OpenMM::mm_int4> savedOffsets; // in the System's order, as the saved positions are
    OpenMM::ComputeArray placeArray, positionArray, forceArray, velocityArray, saved, savedCorrection;
    OpenMM::ComputeKernel saveKernel, restoreKernel, gatherPositionsKernel, scatterPositionsKernel;
    OpenMM::ComputeKernel gatherForcesKernel, scatterVelocitiesKernel;
};

} // namespace UniSimPlugin

#endif // OPENMM_COMMONMOVEUNISIMDATAKERNEL_H_
