#include "internal/UniSimGuidance.h"
#include "openmm/CMAPTorsionForce.h"
#include "openmm/CMMotionRemover.h"
#include "openmm/CustomGBForce.h"
#include "openmm/GBSAOBCForce.h"
#include "openmm/HarmonicAngleForce.h"
#include "openmm/HarmonicBondForce.h"
#include "openmm/NonbondedForce.h"
#include "openmm/OpenMMException.h"
#include "openmm/PeriodicTorsionForce.h"
#include "openmm/RBTorsionForce.h"
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <sstream>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

namespace {

const vector<string> NAMES = {
        "none", "learned", "openmm", "openmm+residual", "resample"}; // by GuidanceSource
const string VACUUM = "vacuum";

bool isImplicitSolvent(const Force& force) {
    return dynamic_cast<const GBSAOBCForce*>(&force) != nullptr ||
           dynamic_cast<const CustomGBForce*>(&force) != nullptr;
}

/** Get how many angles or torsions a force holds. */
int getNumAngularTerms(const Force& force) {
    if (auto angles = dynamic_cast<const HarmonicAngleForce*>(&force))
        return angles->getNumAngles();
    if (auto torsions = dynamic_cast<const PeriodicTorsionForce*>(&force))
        return torsions->getNumTorsions();
    if (auto torsions = dynamic_cast<const RBTorsionForce*>(&force))
        return torsions->getNumTorsions();
    return 0;
}

/** Whether a force is part of the force field that every model is trained in: it holds the molecule's
 * charges, one of its chemical bonds, or as many angles or torsions as atoms jump (a restraint has a few). */
bool isForceField(const Force& force, const UniSimIntegrator& integrator) {
    if (dynamic_cast<const NonbondedForce*>(&force) != nullptr ||
            dynamic_cast<const CMAPTorsionForce*>(&force) != nullptr)
        return true;
    const int terms = getNumAngularTerms(force);
    if (terms > 0 && terms >= static_cast<int>(integrator.getAtomicNumbers().size()))
        return true;
    const HarmonicBondForce* springs = dynamic_cast<const HarmonicBondForce*>(&force);
    if (springs == nullptr)
        return false;
    set<pair<int, int>> bonds;
    for (auto [first, second] : integrator.getBonds())
        bonds.insert(minmax({first, second}));
    for (int i = 0; i < springs->getNumBonds(); i++) {
        int first, second;
        double length, stiffness;
        springs->getBondParameters(i, first, second, length, stiffness);
        if (bonds.count(minmax({first, second})))
            return true;
    }
    return false;
}

vector<const Force*> findGuidingForces(const System& system, int groups) {
    vector<const Force*> forces;
    for (int i = 0; i < system.getNumForces(); i++) {
        const Force& force = system.getForce(i);
        if (((groups >> force.getForceGroup()) & 1) &&
                dynamic_cast<const CMMotionRemover*>(&force) == nullptr)
            forces.push_back(&force);
    }
    return forces;
}

/** Refuse forces that the model has learned already. */
void checkCountedOnce(
        const Force& force, const UniSimIntegrator& integrator, const UniSimModelMetadata& metadata) {
    string group = to_string(force.getForceGroup());
    if (isForceField(force, integrator))
        metadata.fail(
                "was trained in the force field, and its " + force.getName() + " in force group " + group +
                " would guide the jumps, so it would count twice; put the environment's own forces into a "
                "force group of their own and name that in setGuidanceForceGroups().");
    if (isImplicitSolvent(force) && metadata.getText("environment") != VACUUM)
        metadata.fail("was trained in the environment " + metadata.getText("environment") +
                      ", and an implicit solvent, " + force.getName() + " in force group " + group +
                      ", would guide its jumps, so solvent would count twice; use a model of the environment "
                      "vacuum "
                      "or leave that force group out of setGuidanceForceGroups().");
}

void checkGuidingForces(
        const System& system, const UniSimIntegrator& integrator, const UniSimModelMetadata& metadata) {
    if (metadata.getNumber("guidance_alpha") == 0.0)
        metadata.fail("has no calibrated strength (its guidance_alpha is 0), so " +
                      NAMES[integrator.getGuidanceSource()] +
                      " can't guide; store one with `openmm-unisim calibrate-guidance`.");
    vector<const Force*> forces = findGuidingForces(system, integrator.getGuidanceForceGroups());
    if (forces.empty())
        throw OpenMMException("No Force of the System is in the force groups that guide the jumps; put the "
                              "environment's forces into a group and name it in setGuidanceForceGroups().");
    bool solvent = false;
    for (const Force* force : forces) {
        checkCountedOnce(*force, integrator, metadata);
        solvent |= isImplicitSolvent(*force);
    }
    string learned = metadata.getText("guidance_environment");
    if (integrator.getGuidanceSource() == UniSimIntegrator::OpenMMResidualGuidance && !solvent &&
            !learned.empty() && learned != VACUUM)
        metadata.fail("has a kernel that was learned for the environment " + learned +
                      ", and no implicit solvent is in the force groups that guide the jumps; the source "
                      "openmm+residual needs both to be of one environment.");
}

} // namespace

UniSimIntegrator::GuidanceSource findGuidanceSource(const string& name) {
    return (UniSimIntegrator::GuidanceSource)(find(NAMES.begin(), NAMES.end(), name) - NAMES.begin());
}

void checkServesGuidance(UniSimIntegrator::GuidanceSource source, const UniSimModelMetadata& metadata) {
    if (source < 0 || source >= (int)NAMES.size())
        throw OpenMMException("There is no guidance source " + to_string((int)source) +
                              "; use one of UniSimIntegrator's GuidanceSource.");
    if (source == UniSimIntegrator::NoGuidance || source == UniSimIntegrator::Resampling)
        return;
    if (metadata.getNumber("force_means_nm") > 0.0 && source != UniSimIntegrator::LearnedGuidance)
        metadata.fail("corrects its last substeps by the forces of the whole potential (force means), which "
                      "can't be combined with the guidance source " +
                      NAMES[source] + "; choose another source, or export it again without --force-means.");
    string offered = metadata.getText("guidance_sources");
    if (offered.empty())
        offered = metadata.getText("guidance");
    stringstream list(offered);
    string item;
    while (getline(list, item, ','))
        if (item == NAMES[source])
            return;
    metadata.fail(
            "doesn't serve the guidance source " + NAMES[source] + " (it has: " + offered +
            "); export it again with `openmm-unisim export --guidance-source`, or use none or resample.");
}

bool isGuidedByForces(const UniSimIntegrator& integrator) {
    UniSimIntegrator::GuidanceSource source = integrator.getGuidanceSource();
    return integrator.getGuidanceScale() > 0.0 &&
           (source == UniSimIntegrator::OpenMMGuidance || source == UniSimIntegrator::OpenMMResidualGuidance);
}

bool isResampled(const UniSimIntegrator& integrator) {
    return integrator.getGuidanceScale() > 0.0 &&
           integrator.getGuidanceSource() == UniSimIntegrator::Resampling;
}

void checkGuidance(
        const System& system, const UniSimIntegrator& integrator, const UniSimModelMetadata& metadata) {
    if (isResampled(integrator) && integrator.getAcceptanceMode() == UniSimIntegrator::MetropolisHastings)
        throw OpenMMException(
                "A jump that is chosen among several has no density that can be computed, so "
                "Resampling can't be combined with MetropolisHastings; use another guidance source "
                "or the acceptance mode AcceptAll.");
    if (isGuidedByForces(integrator) || isResampled(integrator)) {
        checkGuidingForces(system, integrator, metadata);
        return;
    }
    const int groups = integrator.getGuidanceForceGroups(), everything = 0xFFFFFFFF;
    if (integrator.getGuidanceSource() != UniSimIntegrator::LearnedGuidance ||
            integrator.getGuidanceScale() == 0.0 || groups == everything)
        return;
    string learned = metadata.getText("guidance_environment");
    for (const Force* force : findGuidingForces(system, groups))
        if (isImplicitSolvent(*force) && !learned.empty() && learned != VACUUM)
            metadata.fail("guides by its kernel to the environment " + learned + ", whose own " +
                          force->getName() +
                          " is named in setGuidanceForceGroups(), too: it would count twice; "
                          "choose another guidance source, or don't set force groups.");
}

void checkForceMeans(const System& system, const vector<int>& particles, const UniSimIntegrator& integrator,
        const UniSimModelMetadata& metadata) {
    const string without = "; export it again without --force-means";
    if (isResampled(integrator))
        metadata.fail("corrects its last substeps by the forces of the whole potential (force means), which "
                      "can't be combined with the guidance source resample" +
                      without + ".");
    set<int> jumping(particles.begin(), particles.end());
    for (int i = 0; i < system.getNumConstraints(); i++) {
        int first, second;
        double distance;
        system.getConstraintParameters(i, first, second, distance);
        if (jumping.count(first) > 0 || jumping.count(second) > 0)
            metadata.fail(
                    "corrects its last substeps by the forces of the whole potential (force means), and "
                    "a constraint (between " +
                    to_string(first) + " and " + to_string(second) + ") has none" + without +
                    ", or create the System with constraints=None.");
    }
}

long long clipForces(vector<Vec3>& forces, double limit) {
    if (limit == 0.0)
        return 0;
    long long clipped = 0;
    for (Vec3& force : forces) {
        double length = sqrt(force.dot(force));
        if (length > limit) {
            force *= limit / length;
            clipped++;
        }
    }
    return clipped;
}

int chooseCandidate(const vector<double>& logWeights, double uniform) {
    double largest = -numeric_limits<double>::infinity();
    for (double value : logWeights)
        if (!std::isnan(value))
            largest = max(largest, value);
    if (!isfinite(largest))
        return -1;
    vector<double> rising;
    double total = 0.0;
    for (double value : logWeights) {
        total += std::isnan(value) ? 0.0 : exp(value - largest);
        rising.push_back(total);
    }
    int chosen = (int)(upper_bound(rising.begin(), rising.end(), uniform * total) - rising.begin());
    while (chosen >= (int)rising.size() || (chosen > 0 && rising[chosen] == rising[chosen - 1]))
        chosen--; // rounding at the upper end
    return chosen;
}

} // namespace UniSimPlugin
