#include "internal/UniSimStereocenters.h"
#include <algorithm>
#include <map>
#include <set>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

namespace {

const set<int> TETRAHEDRAL = {6, 7, 14, 15, 16}; // C, N+, Si, P, S

/** Classes of atoms that the bonds can't tell apart (Morgan, J. Chem. Doc. 5 (1965) 107). */
vector<int> findClasses(const vector<int>& atomicNumbers, const vector<vector<int>>& neighbors) {
    vector<int> classes = atomicNumbers;
    size_t number = set<int>(classes.begin(), classes.end()).size();
    while (true) {
        vector<pair<int, vector<int>>> signatures;
        map<pair<int, vector<int>>, int> names;
        for (size_t i = 0; i < classes.size(); i++) {
            vector<int> around;
            for (int j : neighbors[i])
                around.push_back(classes[j]);
            sort(around.begin(), around.end());
            signatures.push_back({classes[i], around});
            names[signatures.back()] = 0;
        }
        int rank = 0;
        for (auto& name : names)
            name.second = rank++;
        for (size_t i = 0; i < classes.size(); i++)
            classes[i] = names[signatures[i]];
        if (names.size() == number)
            return classes;
        number = names.size();
    }
}

/** (a-c).((b-c) x (d-c)), whose sign is the hand. */
double computeVolume(const vector<Vec3>& positions, const array<int, 4>& center) {
    const Vec3& c = positions[center[0]];
    return (positions[center[1]] - c).dot((positions[center[2]] - c).cross(positions[center[3]] - c));
}

} // namespace

UniSimStereocenters::UniSimStereocenters(
        const vector<int>& atomicNumbers, const vector<pair<int, int>>& bonds) {
    vector<vector<int>> neighbors(atomicNumbers.size());
    for (auto [first, second] : bonds) {
        neighbors[first].push_back(second);
        neighbors[second].push_back(first);
    }
    const vector<int> classes = findClasses(atomicNumbers, neighbors);
    for (int i = 0; i < (int)atomicNumbers.size(); i++) {
        vector<int> around = neighbors[i];
        set<int> different;
        for (int j : around)
            different.insert(classes[j]);
        if (around.size() != 4 || different.size() != 4 || TETRAHEDRAL.count(atomicNumbers[i]) == 0)
            continue;
        // The heaviest three: light hydrogens, which swing farther, don't decide.
        sort(around.begin(), around.end(), [&atomicNumbers](int a, int b) {
            return make_pair(-atomicNumbers[a], a) < make_pair(-atomicNumbers[b], b);
        });
        centers.push_back({i, around[0], around[1], around[2]});
    }
}

bool UniSimStereocenters::areKept(const vector<Vec3>& before, const vector<Vec3>& after) const {
    return all_of(centers.begin(), centers.end(), [&](const array<int, 4>& center) {
        return computeVolume(before, center) * computeVolume(after, center) > 0.0;
    });
}

} // namespace UniSimPlugin
