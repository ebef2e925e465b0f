// What a user of MD may not expect in a Context: found here, told by whoever steps the integrator.

#include "internal/UniSimNotices.h"
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
#include "openmm/RMSDForce.h"
#include "openmm/internal/ContextImpl.h"
#include <cmath>
#include <iostream>
#include <map>
#include <sstream>

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

/** Is a Force of a kind that users add to a force field, such as restraints and biases? */
bool isUsersOwn(const Force& force) {
    return dynamic_cast<const CustomExternalForce*>(&force) != nullptr ||
           dynamic_cast<const CustomBondForce*>(&force) != nullptr ||
           dynamic_cast<const CustomTorsionForce*>(&force) != nullptr ||
           dynamic_cast<const CustomCentroidBondForce*>(&force) != nullptr ||
           dynamic_cast<const CustomCompoundBondForce*>(&force) != nullptr ||
           dynamic_cast<const CustomCVForce*>(&force) != nullptr ||
           dynamic_cast<const RMSDForce*>(&force) != nullptr;
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
    for (int i = 0; i < system.getNumForces(); i++) {
        const string name = system.getForce(i).getName();
        const Clocked clock = getClock(system.getForce(i));
        if (clock.frequency > 1) {
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

void addForceNotices(const System& system, const UniSimIntegrator& integrator, vector<string>& notices) {
    const int felt = getFeltGroups(integrator);
    string unfelt;
    for (int i = 0; i < system.getNumForces(); i++) {
        const Force& force = system.getForce(i);
        if (isUsersOwn(force) && (felt & (1 << force.getForceGroup())) == 0)
            unfelt += (unfelt.empty() ? "" : ", ") + force.getName();
    }
    if (!unfelt.empty())
        notices.push_back("Jumps don't feel these Forces: " + unfelt +
                          ". Guide by their force groups (setGuidanceSource(), setGuidanceForceGroups()) or "
                          "use MetropolisHastings, unless they belong to the force field that the model was "
                          "trained with.");
}

void addSolventNotice(const System& system, const UniSimIntegrator& integrator, vector<string>& notices) {
    const string environment = integrator.getModelMetadata("environment");
    if (system.usesPeriodicBoundaryConditions() || getFeltGroups(integrator) != 0 ||
            integrator.getGuidanceSource() != UniSimIntegrator::NoGuidance)
        return;
    bool implicit = false;
    for (int i = 0; i < system.getNumForces(); i++)
        implicit |= isImplicitSolvent(system.getForce(i));
    if (environment == (implicit ? "vacuum" : "obc2"))
        notices.push_back(string("The System has ") + (implicit ? "an implicit" : "no") +
                          " solvent, and the model was trained in " + (implicit ? "vacuum" : "OBC2") +
                          ", which its jumps go on sampling; use a model or guidance for this environment, "
                          "or MetropolisHastings.");
}

} // namespace

vector<string> findNotices(ContextImpl& context, const UniSimIntegrator& integrator) {
    vector<string> notices;
    addClockNotices(context, integrator, notices);
    addForceNotices(context.getSystem(), integrator, notices);
    addSolventNotice(context.getSystem(), integrator, notices);
    return notices;
}

void announceUniSimNotice(const string& notice) {
    if (noticeHandler == nullptr)
        cerr << "UniSimIntegrator: " << notice << endl;
    else if (!noticeHandler(notice))
        throw OpenMMException(notice);
}

void setUniSimNoticeHandler(bool (*handler)(const string& notice)) {
    noticeHandler = handler;
}

} // namespace UniSimPlugin
