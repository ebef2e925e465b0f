// What a user of MD may not expect in a Context: found here, told by whoever steps the integrator.

#include "internal/UniSimNotices.h"
#include "internal/UniSimInterrupt.h"
#include "internal/UniSimSystemChecks.h"
#include "openmm/CMMotionRemover.h"
#include "openmm/CustomBondForce.h"
#include "openmm/CustomCVForce.h"
#include "openmm/CustomCentroidBondForce.h"
#include "openmm/CustomCompoundBondForce.h"
#include "openmm/CustomExternalForce.h"
#include "openmm/CustomGBForce.h"
#include "openmm/CustomTorsionForce.h"
#include "openmm/GBSAOBCForce.h"
#include "openmm/MonteCarloAnisotropicBarostat.h"
#include "openmm/MonteCarloBarostat.h"
#include "openmm/MonteCarloFlexibleBarostat.h"
#include "openmm/MonteCarloMembraneBarostat.h"
#include "openmm/OpenMMException.h"
#include "openmm/internal/ContextImpl.h"
#include <cmath>
#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <typeinfo>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

namespace {

bool (*noticeHandler)(const string& notice) = nullptr;

const double SAME_TEMPERATURE = 0.01; // K

/** What a Force does once in so many steps: its frequency, and its temperature parameter, if it has one. */
struct Clocked {
    int frequency = 0; // 0: no such Force
    string temperatureParameter;
};

Clocked getClock(const Force& force) {
    if (auto* barostat = dynamic_cast<const MonteCarloBarostat*>(&force))
        return {barostat->getFrequency(), MonteCarloBarostat::Temperature()};
    if (auto* barostat = dynamic_cast<const MonteCarloAnisotropicBarostat*>(&force))
        return {barostat->getFrequency(), MonteCarloAnisotropicBarostat::Temperature()};
    if (auto* barostat = dynamic_cast<const MonteCarloFlexibleBarostat*>(&force))
        return {barostat->getFrequency(), MonteCarloFlexibleBarostat::Temperature()};
    if (auto* barostat = dynamic_cast<const MonteCarloMembraneBarostat*>(&force))
        return {barostat->getFrequency(), MonteCarloMembraneBarostat::Temperature()};
    if (auto* remover = dynamic_cast<const CMMotionRemover*>(&force))
        return {remover->getFrequency(), ""};
    return {};
}

/** Whether one of so many terms of a Force, of which a function gives the particles, touches a jumping one.
 */
template <typename Particles>
bool anyTouches(const set<int>& jumping, int numTerms, const Particles& getParticles) {
    for (int i = 0; i < numTerms; i++)
        for (int particle : getParticles(i))
            if (jumping.count(particle) > 0)
                return true;
    return false;
}

/**
 * Whether a Force is of a kind that users add to a force field, such as restraints and biases, and acts on
 * jumping particles.  Terms of CHARMM and AMOEBA go by their names.
 */
bool isUsersOwn(const Force& force, const set<int>& jumping) {
    const string& name = force.getName();
    if (name.rfind("UniSim", 0) == 0 || name.rfind("Amoeba", 0) == 0 || name == "LennardJones14")
        return false;
    vector<double> parameters;
    if (auto* external = dynamic_cast<const CustomExternalForce*>(&force))
        return anyTouches(jumping, external->getNumParticles(), [&](int i) {
            int particle;
            external->getParticleParameters(i, particle, parameters);
            return vector<int>{particle};
        });
    if (auto* bonds = dynamic_cast<const CustomBondForce*>(&force))
        return anyTouches(jumping, bonds->getNumBonds(), [&](int i) {
            vector<int> ends(2);
            bonds->getBondParameters(i, ends[0], ends[1], parameters);
            return ends;
        });
    if (auto* torsions = dynamic_cast<const CustomTorsionForce*>(&force))
        return anyTouches(jumping, torsions->getNumTorsions(), [&](int i) {
            vector<int> four(4);
            torsions->getTorsionParameters(i, four[0], four[1], four[2], four[3], parameters);
            return four;
        });
    if (auto* compound = dynamic_cast<const CustomCompoundBondForce*>(&force))
        return anyTouches(jumping, compound->getNumBonds(), [&](int i) {
            vector<int> members;
            compound->getBondParameters(i, members, parameters);
            return members;
        });
    if (auto* centroids = dynamic_cast<const CustomCentroidBondForce*>(&force))
        return anyTouches(jumping, centroids->getNumGroups(), [&](int i) {
            vector<int> members;
            centroids->getGroupParameters(i, members, parameters);
            return members;
        });
    const string type = typeid(force).name();
    for (const char* kind :
            {"RMSDForce", "RGForce", "OrientationRestraintForce", "PythonForce", "TorchForce"})
        if (type.find(kind) != string::npos)
            return true;
    return dynamic_cast<const CustomCVForce*>(&force) != nullptr;
}

/** Da; of the heavy elements that models know. */
const map<int, double> MASSES = {{6, 12.011}, {7, 14.007}, {8, 15.999}, {9, 18.998}, {15, 30.974},
        {16, 32.06}, {17, 35.45}, {35, 79.904}, {53, 126.904}};
const double MASS_TOLERANCE = 0.5, MOVED_TO_A_HYDROGEN = 3.1; // Da

/** A heavy particle whose mass no moving of mass to its hydrogens explains, or -1. */
int findForeignMass(const System& system, const UniSimIntegrator& integrator, const vector<int>& particles) {
    const vector<int>& numbers = integrator.getAtomicNumbers();
    map<int, int> numberOf, hydrogens;
    for (size_t i = 0; i < particles.size(); i++)
        numberOf[particles[i]] = numbers[i];
    for (auto [first, second] : integrator.getBonds()) {
        hydrogens[first] += numberOf[second] == 1;
        hydrogens[second] += numberOf[first] == 1;
    }
    for (int particle : particles) {
        auto known = MASSES.find(numberOf[particle]);
        if (known == MASSES.end())
            continue;
        const double mass = system.getParticleMass(particle);
        if (mass > known->second + MASS_TOLERANCE ||
                mass < known->second - MASS_TOLERANCE - MOVED_TO_A_HYDROGEN * hydrogens[particle])
            return particle;
    }
    return -1;
}

bool isImplicitSolvent(const Force& force) {
    return dynamic_cast<const GBSAOBCForce*>(&force) != nullptr ||
           dynamic_cast<const CustomGBForce*>(&force) != nullptr;
}

/** The force groups that jumps feel. */
int getFeltGroups(const UniSimIntegrator& integrator) {
    if (integrator.getAcceptanceMode() == UniSimIntegrator::MetropolisHastings)
        return integrator.getIntegrationForceGroups();
    const UniSimIntegrator::GuidanceSource source = integrator.getGuidanceSource();
    const bool asksForces = source == UniSimIntegrator::OpenMMGuidance ||
                            source == UniSimIntegrator::OpenMMResidualGuidance ||
                            source == UniSimIntegrator::Resampling;
    return asksForces && integrator.getGuidanceScale() > 0 ? integrator.getGuidanceForceGroups() : 0;
}

void addClockNotices(ContextImpl& context, const UniSimIntegrator& integrator, vector<string>& notices) {
    const System& system = context.getSystem();
    const bool onlyJumps = &context.getIntegrator() == &integrator; // or most steps are of MD
    for (int i = 0; i < system.getNumForces(); i++) {
        const string name = system.getForce(i).getName();
        const Clocked clock = getClock(system.getForce(i));
        if (clock.frequency > 1 && onlyJumps) {
            stringstream notice;
            notice << name << " acts once in " << clock.frequency << " steps, and a step is a jump of "
                   << integrator.getLagTime() << " ps; set its frequency to 1 unless that is meant.";
            notices.push_back(notice.str());
        }
        if (clock.frequency == 0 || clock.temperatureParameter.empty())
            continue;
        const double temperature = context.getParameter(clock.temperatureParameter);
        if (fabs(temperature - integrator.getTemperature()) > SAME_TEMPERATURE) {
            stringstream notice;
            notice << name << " is set to " << temperature << " K and the integrator to "
                   << integrator.getTemperature() << " K; set them to the same temperature.";
            notices.push_back(notice.str());
        }
    }
}

void addForceNotices(const System& system, const UniSimIntegrator& integrator, const UniSimSystemFacts& facts,
        vector<string>& notices) {
    const int felt = getFeltGroups(integrator);
    string unfelt;
    for (int i : facts.usersForces) {
        const Force& force = system.getForce(i);
        if ((felt & (1 << force.getForceGroup())) == 0)
            unfelt += (unfelt.empty() ? "" : ", ") + force.getName();
    }
    if (!unfelt.empty())
        notices.push_back(
                "Jumps don't feel these Forces: " + unfelt +
                ". Guide by their force groups (setGuidanceSource(), setGuidanceForceGroups()) or "
                "let Metropolis acceptance judge the jumps, unless they belong to the force field that "
                "the model was trained with.");
}

void addSolventNotice(const System& system, const UniSimIntegrator& integrator,
        const UniSimSystemFacts& facts, vector<string>& notices) {
    const string environment = integrator.getModelMetadata("environment");
    if (getFeltGroups(integrator) != 0 || integrator.getGuidanceSource() != UniSimIntegrator::NoGuidance)
        return;
    if (system.usesPeriodicBoundaryConditions()) {
        if (facts.othersStay && (environment == "vacuum" || environment == "obc2"))
            notices.push_back(
                    "Jumps don't feel the particles that stay, such as a box of water: the model was "
                    "trained without them; see docs/solvent.md for moves that do, or let Metropolis "
                    "acceptance judge the jumps.");
        return;
    }
    bool implicit = false;
    for (int i = 0; i < system.getNumForces(); i++)
        implicit |= isImplicitSolvent(system.getForce(i));
    if (environment == (implicit ? "vacuum" : "obc2"))
        notices.push_back(string("The System has ") + (implicit ? "an implicit" : "no") +
                          " solvent, and the model was trained in " + (implicit ? "vacuum" : "OBC2") +
                          ", which its jumps go on sampling; use a model or guidance for this environment, "
                          "or let Metropolis acceptance judge the jumps.");
}

} // namespace

UniSimSystemFacts findSystemFacts(
        const System& system, const UniSimIntegrator& integrator, const vector<int>& particles) {
    UniSimSystemFacts facts;
    const set<int> jumping(particles.begin(), particles.end());
    for (int i = 0; i < system.getNumForces(); i++)
        if (isUsersOwn(system.getForce(i), jumping))
            facts.usersForces.push_back(i);
    facts.othersStay = (int)jumping.size() < system.getNumParticles();
    facts.foreignParticle = findForeignMass(system, integrator, particles);
    return facts;
}

vector<string> findNotices(
        ContextImpl& context, const UniSimIntegrator& integrator, const UniSimSystemFacts& facts) {
    vector<string> notices;
    const System& system = context.getSystem();
    addClockNotices(context, integrator, notices);
    addForceNotices(system, integrator, facts, notices);
    addSolventNotice(system, integrator, facts, notices);
    if (facts.foreignParticle >= 0)
        notices.push_back(
                "Particle " + to_string(facts.foreignParticle) +
                " has a mass that its element in the Topology hasn't, with or without mass moved to "
                "hydrogens; if the System is another molecule's, give the integrator its Topology.");
    return notices;
}

void announceUniSimNotice(const string& notice) {
    if (noticeHandler == nullptr)
        cerr << "UniSimIntegrator: " << notice << endl;
    else if (!noticeHandler(notice))
        throw UniSimInterrupted(notice);
}

void setUniSimNoticeHandler(bool (*handler)(const string& notice)) {
    noticeHandler = handler;
}

} // namespace UniSimPlugin
