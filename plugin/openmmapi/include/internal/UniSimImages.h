#ifndef OPENMM_UNISIMIMAGES_H_
#define OPENMM_UNISIMIMAGES_H_

#include "openmm/Vec3.h"
#include <utility>
#include <vector>

namespace UniSimPlugin {

/**
 * The images of the jumping particles that a model sees which knows nothing of periodic boxes.
 *
 * A Context may hold a molecule cut by the box, and barostats put molecules into other images.  The model
 * sees each molecule whole, by its bonds, and the center of every further molecule in the image nearest to
 * the center of the first.
 *
 * symbol     meaning                                                              name here
 * x_i        position as the Context holds it (nm)                                positions
 * s_i        lattice vector (nm), so that x_i + s_i is what the model sees        shifts
 */
class UniSimImages {
public:
    /**
     * @param numParticles  the number of jumping particles
     * @param bonds         the bonds between them, as pairs of their numbers
     */
    UniSimImages(int numParticles, const std::vector<std::pair<int, int>>& bonds);
    /**
     * Find the lattice vectors for some positions.
     *
     * @param positions  the positions of the jumping particles (in nm)
     * @param box        the three periodic box vectors (in nm), in OpenMM's reduced form
     * @return one lattice vector for each particle; exactly zero for those that need none
     */
    std::vector<OpenMM::Vec3> findShifts(
            const std::vector<OpenMM::Vec3>& positions, const std::vector<OpenMM::Vec3>& box) const;

private:
    std::vector<std::vector<int>> molecules; // particles, in the order of a walk along the bonds
    std::vector<int> previous; // the particle from which the walk came; -1 for a molecule's first
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMIMAGES_H_
