#ifndef OPENMM_UNISIMSYSTEMCHECKS_H_
#define OPENMM_UNISIMSYSTEMCHECKS_H_

#include "UniSimIntegrator.h"
#include "internal/UniSimModelMetadata.h"
#include "openmm/System.h"
#include <utility>
#include <vector>

namespace OpenMM {
class ContextImpl;
}

namespace UniSimPlugin {

constexpr double BOLTZMANN = 0.0083144626; // kJ/mol/K, as openmm_unisim/units.py

/**
 * Find the System indices of the particles that jump, and throw an exception if one of them can't.
 */
std::vector<int> findJumpingParticles(const OpenMM::System& system, const UniSimIntegrator& integrator);

/**
 * Throw an exception if the atomic numbers don't fit the particles or the model.
 */
void checkAtomicNumbers(const std::vector<int>& atomicNumbers, const std::vector<int>& particles,
        const UniSimModelMetadata& metadata);

/**
 * Translate bonds from System indices to indices into particles, and throw an exception if one isn't among
 * them.
 */
std::vector<std::pair<int, int>> findJumpingBonds(
        const OpenMM::System& system, const UniSimIntegrator& integrator, const std::vector<int>& particles);

/**
 * Get the number of degrees of freedom that velocities have: of massive particles, without those that are
 * constrained and without the center of mass where it is kept at rest.
 */
int countDegreesOfFreedom(const OpenMM::System& system);

/**
 * Throw an exception, naming the obstacle, if something in the System would be torn apart by jumps: a
 * constraint to a particle that doesn't jump, or Drude particles, which would stay behind.
 */
void checkNothingIsTorn(const OpenMM::System& system, const std::vector<int>& particles);

/**
 * Throw an exception if the integrator has a bond between particles that the System's bonded Forces and
 * constraints don't join: the Topology then is another molecule's, or has its atoms in another order.
 */
void checkSameBonds(const OpenMM::System& system, const UniSimIntegrator& integrator);

/**
 * What is known of a System once particles jump in it, found once a Context.
 */
struct UniSimSystemFacts {
    /** the indices of Forces such as restraints, which act on jumping particles and aren't a force field's */
    std::vector<int> usersForces;
    /** whether there are particles that don't jump */
    bool othersStay = false;
    /** a particle whose mass is another element's, or -1 */
    int foreignParticle = -1;
};

UniSimSystemFacts findSystemFacts(
        const OpenMM::System& system, const UniSimIntegrator& integrator, const std::vector<int>& particles);

/**
 * Get what in the System acts otherwise than users of MD may expect, since a step is a jump that knows no
 * Forces; a sentence or two each.
 */
std::vector<std::string> findNotices(
        OpenMM::ContextImpl& context, const UniSimIntegrator& integrator, const UniSimSystemFacts& facts);

/**
 * Get whether a constraint of the System involves one of the particles.
 */
bool haveConstraints(const OpenMM::System& system, const std::vector<int>& particles);

/**
 * Throw an exception, naming the obstacle, if Metropolis-Hastings sampling of the System would not be exact.
 */
void checkMetropolis(const OpenMM::System& system, const std::vector<int>& particles);

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMSYSTEMCHECKS_H_
