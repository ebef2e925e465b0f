#ifndef OPENMM_UNISIMSYSTEMCHECKS_H_
#define OPENMM_UNISIMSYSTEMCHECKS_H_

#include "UniSimIntegrator.h"
#include "internal/UniSimModelMetadata.h"
#include "openmm/System.h"
#include <utility>
#include <vector>

namespace UniSimPlugin {

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
 * Get whether a constraint of the System involves one of the particles.
 */
bool haveConstraints(const OpenMM::System& system, const std::vector<int>& particles);

/**
 * Throw an exception, naming the obstacle, if Metropolis-Hastings sampling of the System would not be exact.
 */
void checkMetropolis(const OpenMM::System& system, const std::vector<int>& particles);

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMSYSTEMCHECKS_H_
