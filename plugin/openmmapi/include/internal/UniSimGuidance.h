#ifndef OPENMM_UNISIMGUIDANCE_H_
#define OPENMM_UNISIMGUIDANCE_H_

#include "UniSimIntegrator.h"
#include "internal/UniSimModelMetadata.h"
#include "openmm/System.h"
#include "openmm/Vec3.h"
#include <string>
#include <vector>

namespace UniSimPlugin {

/**
 * Get the source of a name in the metadata of model files, such as "openmm+residual".
 */
UniSimIntegrator::GuidanceSource findGuidanceSource(const std::string& name);

/**
 * Throw an exception if a model file doesn't serve a source of guidance.  Every file serves NoGuidance and
 * Resampling, which need nothing of the module.
 */
void checkServesGuidance(UniSimIntegrator::GuidanceSource source, const UniSimModelMetadata& metadata);

/**
 * Whether jumps are guided by OpenMM's forces at points that the model asks for.
 */
bool isGuidedByForces(const UniSimIntegrator& integrator);

/**
 * Whether each jump is chosen among several by OpenMM's energies.
 */
bool isResampled(const UniSimIntegrator& integrator);

/**
 * Throw an exception if guidance would be without effect, would count an environment twice, or isn't exact
 * where that was asked for.
 */
void checkGuidance(const OpenMM::System& system, const UniSimIntegrator& integrator,
        const UniSimModelMetadata& metadata);

/**
 * Shorten forces to a largest length.
 *
 * @param forces   the forces of particles (in kJ/mol/nm)
 * @param limit    the largest length that is left (in kJ/mol/nm); 0 leaves all as they are
 * @return the number of forces that were shortened
 */
long long clipForces(std::vector<OpenMM::Vec3>& forces, double limit);

/**
 * Choose one of several candidates with probabilities in proportion to exp(logWeights).
 *
 * @param logWeights   minus infinity, or NaN, for one that can't be chosen
 * @param uniform      a random number in (0, 1)
 * @return the index of the candidate, or -1 if none can be chosen
 */
int chooseCandidate(const std::vector<double>& logWeights, double uniform);

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMGUIDANCE_H_
