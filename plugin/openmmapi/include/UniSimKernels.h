#ifndef OPENMM_UNISIMKERNELS_H_
#define OPENMM_UNISIMKERNELS_H_

#include "UniSimIntegrator.h"
#include "openmm/KernelImpl.h"
#include "openmm/Vec3.h"
#include "openmm/internal/ContextImpl.h"
#include <string>
#include <vector>

namespace UniSimPlugin {

/**
 * This kernel moves data between a Context and the jump of a UniSimIntegrator, and knows nothing about
 * either.  Positions and forces are those of the jumping particles only, in the order given to
 * initialize().  A platform without an implementation of its own is served by ContextMoveUniSimDataKernel.
 */
class OPENMM_EXPORT_UNISIM MoveUniSimDataKernel : public OpenMM::KernelImpl {
public:
    static std::string Name() {
        return "MoveUniSimData";
    }
    MoveUniSimDataKernel(const std::string& name, const OpenMM::Platform& platform)
            : OpenMM::KernelImpl(name, platform) {
    }
    /**
     * Initialize the kernel.
     *
     * @param context    the context in which it will work
     * @param particles  the jumping particles
     */
    virtual void initialize(OpenMM::ContextImpl& context, const std::vector<int>& particles) = 0;
    /**
     * Begin a step of the given length (in ps), before the Forces act that do so once a step: some of them,
     * such as thermostats, ask the platform for it.
     */
    virtual void beginStep(OpenMM::ContextImpl& context, double lagTime) {
    }
    /**
     * Keep the positions of all particles for restorePositions().
     */
    virtual void savePositions(OpenMM::ContextImpl& context) = 0;
    /**
     * Put all particles back to where the last savePositions() found them, to the last bit that
     * Context::getState() shows.
     */
    virtual void restorePositions(OpenMM::ContextImpl& context) = 0;
    /**
     * Get the positions of the jumping particles (in nm), molecules not wrapped into the periodic box.
     */
    virtual void getPositions(OpenMM::ContextImpl& context, std::vector<OpenMM::Vec3>& positions) = 0;
    /**
     * Set the positions of the jumping particles (in nm).  All others must be where the last
     * savePositions() found them, except for virtual sites, which may be anywhere then and after.
     */
    virtual void setPositions(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& positions) = 0;
    /**
     * Get the forces on the jumping particles (in kJ/mol/nm) as last computed.
     */
    virtual void getForces(OpenMM::ContextImpl& context, std::vector<OpenMM::Vec3>& forces) = 0;
    /**
     * Set the velocities of all particles of the System (in nm/ps).
     */
    virtual void setVelocities(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& velocities) = 0;
    /**
     * Add to the time (in ps) and count one step.
     */
    virtual void advance(OpenMM::ContextImpl& context, double lagTime) = 0;
    /**
     * Compute the kinetic energy (in kJ/mol).
     */
    virtual double computeKineticEnergy(OpenMM::ContextImpl& context) = 0;
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMKERNELS_H_
