#include "UniSimIntegratorProxy.h"
#include "UniSimIntegrator.h"
#include "UniSimTrust.h"
#include "internal/UniSimProperties.h"
#include "openmm/OpenMMException.h"
#include "openmm/serialization/SerializationNode.h"
#include <memory>
#include <typeinfo>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

namespace {

const int VERSION = 4; // 1: before guidance sources, 2: before batches of proposals, 3: before devices

extern "C" __attribute__((constructor)) void registerUniSimSerializationProxies() {
    SerializationProxy::registerProxy(typeid(UniSimIntegrator), new UniSimIntegratorProxy());
}

vector<int> readIntegers(const SerializationNode& node) {
    vector<int> values;
    for (const SerializationNode& child : node.getChildren())
        values.push_back(readNumber<int>(child, "value"));
    return values;
}

void writeIntegers(SerializationNode& node, const vector<int>& values) {
    for (int value : values)
        node.createChildNode("Item").setIntProperty("value", value);
}

} // namespace

UniSimIntegratorProxy::UniSimIntegratorProxy() : SerializationProxy("UniSimIntegrator") {
}

void UniSimIntegratorProxy::serialize(const void* object, SerializationNode& node) const {
    node.setIntProperty("version", VERSION);
    const UniSimIntegrator& integrator = *reinterpret_cast<const UniSimIntegrator*>(object);
    node.setStringProperty("modelFile", integrator.getModelFile());
    node.setStringProperty("modelSha256", integrator.getModelHash());
    node.setDoubleProperty("stepSize", integrator.getStepSize());
    node.setDoubleProperty("constraintTolerance", integrator.getConstraintTolerance());
    node.setIntProperty("integrationForceGroups", integrator.getIntegrationForceGroups());
    node.setDoubleProperty("temperature", integrator.getTemperature());
    node.setIntProperty("numSubsteps", integrator.getNumSubsteps());
    node.setIntProperty("guidanceSource", (int)integrator.getGuidanceSource());
    node.setIntProperty("numResampled", integrator.getNumResampled());
    node.setDoubleProperty("guidanceForceLimit", integrator.getGuidanceForceLimit());
    node.setDoubleProperty("guidanceScale", integrator.getGuidanceScale());
    node.setIntProperty("guidanceForceGroups", integrator.getGuidanceForceGroups());
    node.setIntProperty("acceptanceMode", (int)integrator.getAcceptanceMode());
    node.setIntProperty("proposalBatchSize", integrator.getProposalBatchSize());
    node.setBoolProperty("randomizesVelocities", integrator.getRandomizesVelocities());
    node.setBoolProperty("keepsStereocenters", integrator.getKeepsStereocenters());
    node.setIntProperty("randomSeed", integrator.getRandomNumberSeed());
    node.setIntProperty("numThreads", integrator.getNumThreads());
    node.setStringProperty("modelDevice", integrator.getModelDevice());
    writeIntegers(node.createChildNode("Particles"), integrator.getParticles());
    writeIntegers(node.createChildNode("AtomicNumbers"), integrator.getAtomicNumbers());
    SerializationNode& bonds = node.createChildNode("Bonds");
    for (auto [first, second] : integrator.getBonds())
        bonds.createChildNode("Bond").setIntProperty("p1", first).setIntProperty("p2", second);
}

void* UniSimIntegratorProxy::deserialize(const SerializationNode& node) const {
    const int version = readNumber<int>(node, "version");
    if (version < 1 || version > VERSION)
        throw OpenMMException("Unsupported version number");
    // XML can't vouch for the file that it names.  What has this hash may be run, and nothing else is.
    const string& modelFile = node.getStringProperty("modelFile");
    const string& hash = node.getStringProperty("modelSha256");
    UniSimTrust::require(modelFile, hash);
    auto integrator = make_unique<UniSimIntegrator>(
            modelFile, readNumber<double>(node, "temperature"), readNumber<int>(node, "numSubsteps"), hash);
    integrator->setStepSize(readNumber<double>(node, "stepSize"));
    integrator->setConstraintTolerance(readNumber<double>(node, "constraintTolerance"));
    integrator->setIntegrationForceGroups(readNumber<int>(node, "integrationForceGroups"));
    if (version >= 2) {
        integrator->setGuidanceSource(
                (UniSimIntegrator::GuidanceSource)readNumber<int>(node, "guidanceSource"));
        integrator->setNumResampled(readNumber<int>(node, "numResampled"));
        integrator->setGuidanceForceLimit(readNumber<double>(node, "guidanceForceLimit"));
    }
    if (version >= 3)
        integrator->setProposalBatchSize(readNumber<int>(node, "proposalBatchSize"));
    integrator->setGuidanceScale(readNumber<double>(node, "guidanceScale"));
    integrator->setGuidanceForceGroups(readNumber<int>(node, "guidanceForceGroups"));
    integrator->setAcceptanceMode((UniSimIntegrator::AcceptanceMode)readNumber<int>(node, "acceptanceMode"));
    integrator->setRandomizesVelocities(readFlag(node, "randomizesVelocities"));
    if (version >= 4)
        integrator->setKeepsStereocenters(readFlag(node, "keepsStereocenters"));
    integrator->setRandomNumberSeed(readNumber<int>(node, "randomSeed"));
    integrator->setNumThreads(
            readNumber<int>(node, "numThreads", 0)); // XML from before there was this setting
    integrator->setModelDevice(node.getStringProperty("modelDevice", "cpu"));
    integrator->setParticles(readIntegers(node.getChildNode("Particles")));
    integrator->setAtomicNumbers(readIntegers(node.getChildNode("AtomicNumbers")));
    vector<pair<int, int>> bonds;
    for (const SerializationNode& bond : node.getChildNode("Bonds").getChildren())
        bonds.push_back({readNumber<int>(bond, "p1"), readNumber<int>(bond, "p2")});
    integrator->setBonds(bonds);
    return integrator.release();
}

} // namespace UniSimPlugin
