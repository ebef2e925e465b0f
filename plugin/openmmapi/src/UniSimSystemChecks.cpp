#include "internal/UniSimSystemChecks.h"
#include "openmm/AndersenThermostat.h"
#include "openmm/CMMotionRemover.h"
#include "openmm/CustomBondForce.h"
#include "openmm/HarmonicBondForce.h"
#include "openmm/MonteCarloAnisotropicBarostat.h"
#include "openmm/MonteCarloBarostat.h"
#include "openmm/MonteCarloFlexibleBarostat.h"
#include "openmm/MonteCarloMembraneBarostat.h"
#include "openmm/OpenMMException.h"
#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <typeinfo>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

vector<int> findJumpingParticles(const System& system, const UniSimIntegrator& integrator) {
    vector<int> particles = integrator.getParticles();
    if (particles.empty()) {
        particles.resize(system.getNumParticles());
        iota(particles.begin(), particles.end(), 0);
    }
    set<int> seen;
    for (int particle : particles) {
        string name = "Particle " + to_string(particle);
        if (particle < 0 || particle >= system.getNumParticles())
            throw OpenMMException(name + " can't jump: the System has " +
                                  to_string(system.getNumParticles()) +
                                  " particles; correct setParticles().");
        if (!seen.insert(particle).second)
            throw OpenMMException(
                    name + " occurs twice among the jumping particles; correct setParticles().");
        if (system.isVirtualSite(particle))
            throw OpenMMException(name + " is a virtual site, which can't jump by itself; leave it out of "
                                         "setParticles(), it follows its atoms.");
        if (system.getParticleMass(particle) == 0.0)
            throw OpenMMException(name + " has no mass, so it must not move; leave its molecule out of "
                                         "setParticles() or give it a mass.");
    }
    return particles;
}

void checkAtomicNumbers(
        const vector<int>& atomicNumbers, const vector<int>& particles, const UniSimModelMetadata& metadata) {
    if (atomicNumbers.size() != particles.size())
        throw OpenMMException(to_string(atomicNumbers.size()) + " atomic numbers are set for " +
                              to_string(particles.size()) +
                              " jumping particles; call setAtomicNumbers() with one for each.");
    vector<double> known = metadata.getNumbers("elements");
    for (size_t i = 0; i < particles.size(); i++)
        if (find(known.begin(), known.end(), atomicNumbers[i]) == known.end())
            throw OpenMMException("Particle " + to_string(particles[i]) + " has atomic number " +
                                  to_string(atomicNumbers[i]) + ", which the model doesn't know; it knows " +
                                  metadata.getText("elements") + ".");
}

vector<pair<int, int>> findJumpingBonds(
        const System& system, const UniSimIntegrator& integrator, const vector<int>& particles) {
    map<int, int> order;
    for (size_t i = 0; i < particles.size(); i++)
        order[particles[i]] = (int)i;
    vector<pair<int, int>> bonds;
    for (auto [first, second] : integrator.getBonds()) {
        if (order.find(first) == order.end() || order.find(second) == order.end() || first == second)
            throw OpenMMException("The bond between particles " + to_string(first) + " and " +
                                  to_string(second) +
                                  " does not join two jumping particles; correct setBonds(), and let whole "
                                  "molecules jump.");
        bonds.push_back({order[first], order[second]});
    }
    return bonds;
}

bool haveConstraints(const System& system, const vector<int>& particles) {
    const set<int> moved(particles.begin(), particles.end());
    for (int i = 0; i < system.getNumConstraints(); i++) {
        int first, second;
        double distance;
        system.getConstraintParameters(i, first, second, distance);
        if (moved.count(first) > 0 || moved.count(second) > 0)
            return true;
    }
    return false;
}

namespace {

bool isBarostat(const Force& force) {
    return dynamic_cast<const MonteCarloBarostat*>(&force) != nullptr ||
           dynamic_cast<const MonteCarloAnisotropicBarostat*>(&force) != nullptr ||
           dynamic_cast<const MonteCarloFlexibleBarostat*>(&force) != nullptr ||
           dynamic_cast<const MonteCarloMembraneBarostat*>(&force) != nullptr;
}

} // namespace

int countDegreesOfFreedom(const System& system) {
    int degrees = 0;
    for (int i = 0; i < system.getNumParticles(); i++)
        degrees += system.getParticleMass(i) > 0.0 ? 3 : 0;
    for (int i = 0; i < system.getNumConstraints(); i++) {
        int first, second;
        double distance;
        system.getConstraintParameters(i, first, second, distance);
        degrees -= system.getParticleMass(first) > 0.0 || system.getParticleMass(second) > 0.0;
    }
    for (int i = 0; i < system.getNumForces(); i++)
        if (dynamic_cast<const CMMotionRemover*>(&system.getForce(i)) != nullptr)
            return degrees - 3;
    return degrees;
}

void checkNothingIsTorn(const System& system, const vector<int>& particles) {
    const set<int> moved(particles.begin(), particles.end());
    for (int i = 0; i < system.getNumConstraints(); i++) {
        int first, second;
        double distance;
        system.getConstraintParameters(i, first, second, distance);
        if (moved.count(first) != moved.count(second))
            throw OpenMMException("A constraint joins particles " + to_string(first) + " and " +
                                  to_string(second) +
                                  ", of which only one jumps; let whole molecules jump (setParticles()).");
    }
    for (int i = 0; i < system.getNumForces(); i++) {
        const Force& force = system.getForce(i);
        if (string(typeid(force).name()).find("DrudeForce") != string::npos)
            throw OpenMMException(
                    "The System has a DrudeForce, and its Drude particles would stay behind when "
                    "their atoms jump; use a force field without Drude particles.");
    }
}

namespace {

/** The pairs of particles that the System's Forces or constraints bind, and whether all of them can be known.
 */
struct BoundPairs {
    set<pair<int, int>> pairs;
    bool complete = true;
    void add(int first, int second) {
        pairs.insert(minmax(first, second));
    }
};

/**
 * Whether a Force can't stand for a bond.  Others may: PythonForce and a plugin's (a potential for the whole
 * molecule, as in a mixed system of openmm-ml), CustomCVForce, CustomCompoundBondForce, ATMForce.
 */
bool holdsNoBonds(const Force& force) {
    const string type = typeid(force).name();
    for (const char* kind : {"NonbondedForce", "AngleForce", "TorsionForce", "GBSAOBCForce", "CustomGBForce",
                 "CustomHbondForce", "CustomExternalForce", "CMAPTorsionForce", "CMMotionRemover", "Barostat",
                 "AndersenThermostat", "RMSDForce", "RGForce", "OrientationRestraintForce", "GayBerneForce",
                 "LCPOForce", "AmoebaMultipoleForce", "AmoebaVdwForce", "AmoebaGeneralizedKirkwoodForce",
                 "AmoebaWcaDispersionForce", "AmoebaTorsionTorsionForce"})
        if (type.find(kind) != string::npos && type.find("OpenMM") != string::npos)
            return true;
    return false;
}

BoundPairs findBoundPairs(const System& system) {
    BoundPairs found;
    for (int i = 0; i < system.getNumConstraints(); i++) {
        int first, second;
        double distance;
        system.getConstraintParameters(i, first, second, distance);
        found.add(first, second);
    }
    for (int i = 0; i < system.getNumForces(); i++) {
        const Force& force = system.getForce(i);
        int first, second;
        if (auto* bonds = dynamic_cast<const HarmonicBondForce*>(&force)) {
            double length, k;
            for (int j = 0; j < bonds->getNumBonds(); j++) {
                bonds->getBondParameters(j, first, second, length, k);
                found.add(first, second);
            }
        }
        else if (auto* bonds = dynamic_cast<const CustomBondForce*>(&force)) {
            vector<double> parameters;
            for (int j = 0; j < bonds->getNumBonds(); j++) {
                bonds->getBondParameters(j, first, second, parameters);
                found.add(first, second);
            }
        }
        else
            found.complete &= holdsNoBonds(force);
    }
    return found;
}

} // namespace

void checkSameBonds(const System& system, const UniSimIntegrator& integrator) {
    const BoundPairs bound = findBoundPairs(system);
    const vector<pair<int, int>>& bonds = integrator.getBonds();
    set<int> joined;
    for (auto [first, second] : bonds) {
        joined.insert(first);
        joined.insert(second);
    }
    // A System of nonbonded Forces only, or whose bonds are somebody else's, tells nothing.
    const bool tells = any_of(bound.pairs.begin(), bound.pairs.end(), [&joined](const pair<int, int>& pair) {
        return joined.count(pair.first) > 0 && joined.count(pair.second) > 0;
    });
    if (!bound.complete || !tells)
        return;
    for (auto [first, second] : bonds)
        if (bound.pairs.count(minmax(first, second)) == 0)
            throw OpenMMException("The integrator has a bond between particles " + to_string(first) +
                                  " and " + to_string(second) +
                                  ", and the System has neither a constraint nor a bond there; create the "
                                  "System from the Topology that the integrator was given, with the atoms in "
                                  "the same order.");
}

void checkMetropolis(const System& system, const vector<int>& particles) {
    const string cure = "use the acceptance mode AcceptAll or ";
    for (int i = 0; i < system.getNumForces(); i++) {
        const Force& force = system.getForce(i);
        if (isBarostat(force))
            throw OpenMMException(
                    "MetropolisHastings is exact at constant volume only, but the System has a " +
                    force.getName() + "; " + cure + "remove the barostat.");
        if (dynamic_cast<const AndersenThermostat*>(&force) != nullptr)
            throw OpenMMException(
                    "MetropolisHastings needs Forces that are functions of positions, but the System has "
                    "a thermostat, " +
                    force.getName() + ", with a temperature of its own; " + cure + "remove it.");
    }
    set<int> moved(particles.begin(), particles.end());
    for (int i = 0; i < system.getNumConstraints(); i++) {
        int first, second;
        double distance;
        system.getConstraintParameters(i, first, second, distance);
        if (moved.count(first) > 0 || moved.count(second) > 0)
            throw OpenMMException(
                    "MetropolisHastings can't be exact for jumping particles with constraints (between " +
                    to_string(first) + " and " + to_string(second) + "); " + cure +
                    "create the System with constraints=None.");
    }
}

} // namespace UniSimPlugin
