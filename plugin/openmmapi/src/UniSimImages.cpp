#include "internal/UniSimImages.h"
#include <cmath>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

namespace {

/** The lattice vector to add to a difference that makes it one to the nearest image. */
Vec3 findNearest(Vec3 difference, const vector<Vec3>& box) {
    Vec3 shift;
    for (int k = 2; k >= 0; k--) {
        Vec3 step = box[k] * -round(difference[k] / box[k][k]);
        shift += step;
        difference += step;
    }
    return shift;
}

Vec3 findCenter(const vector<int>& molecule, const vector<Vec3>& positions, const vector<Vec3>& shifts) {
    Vec3 center;
    for (int particle : molecule)
        center += positions[particle] + shifts[particle];
    return center / (double)molecule.size();
}

} // namespace

UniSimImages::UniSimImages(int numParticles, const vector<pair<int, int>>& bonds) {
    vector<vector<int>> neighbors(numParticles);
    for (auto [first, second] : bonds) {
        neighbors[first].push_back(second);
        neighbors[second].push_back(first);
    }
    previous.assign(numParticles, -1);
    vector<bool> seen(numParticles, false);
    for (int first = 0; first < numParticles; first++) {
        if (seen[first])
            continue;
        vector<int> molecule(1, first);
        seen[first] = true;
        for (size_t i = 0; i < molecule.size(); i++)
            for (int next : neighbors[molecule[i]])
                if (!seen[next]) {
                    seen[next] = true;
                    previous[next] = molecule[i];
                    molecule.push_back(next);
                }
        molecules.push_back(molecule);
    }
}

vector<Vec3> UniSimImages::findShifts(const vector<Vec3>& positions, const vector<Vec3>& box) const {
    vector<Vec3> shifts(positions.size());
    Vec3 firstCenter;
    for (size_t m = 0; m < molecules.size(); m++) {
        for (int particle : molecules[m]) {
            int from = previous[particle];
            if (from >= 0)
                shifts[particle] = shifts[from] + findNearest(positions[particle] - positions[from], box);
        }
        Vec3 center = findCenter(molecules[m], positions, shifts);
        if (m == 0) {
            firstCenter = center;
            continue;
        }
        Vec3 nearest = findNearest(center - firstCenter, box);
        for (int particle : molecules[m])
            shifts[particle] += nearest;
    }
    return shifts;
}

} // namespace UniSimPlugin
