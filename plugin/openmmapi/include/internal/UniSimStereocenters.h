#ifndef OPENMM_UNISIMSTEREOCENTERS_H_
#define OPENMM_UNISIMSTEREOCENTERS_H_

#include "internal/windowsExportUniSim.h"
#include "openmm/Vec3.h"
#include <array>
#include <utility>
#include <vector>

namespace UniSimPlugin {

/**
 * The stereocenters of a molecule: atoms with four neighbors that all differ.  Which neighbors differ is
 * found by refining classes of atoms over the bonds, from the elements on (as openmm_unisim/stereo.py does).
 */
class OPENMM_EXPORT_UNISIM UniSimStereocenters {
public:
    /**
     * Find them.
     *
     * @param atomicNumbers  the atomic number of each atom
     * @param bonds          pairs of indices into atomicNumbers
     */
    UniSimStereocenters(const std::vector<int>& atomicNumbers, const std::vector<std::pair<int, int>>& bonds);
    /**
     * Get each center with three of its neighbors, as indices of atoms.
     */
    const std::vector<std::array<int, 4>>& getCenters() const {
        return centers;
    }
    /**
     * Get whether every center has the same hand in both structures.
     */
    bool areKept(const std::vector<OpenMM::Vec3>& before, const std::vector<OpenMM::Vec3>& after) const;

private:
    std::vector<std::array<int, 4>> centers;
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMSTEREOCENTERS_H_
