#include "UniSimIntegratorProxy.h"
#include "UniSimIntegrator.h"
#include "openmm/OpenMMException.h"
#include "openmm/serialization/SerializationNode.h"
#include <memory>
#include <typeinfo>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

namespace {

const int VERSION = 2; // 1: before guidance sources

extern "C" __attribute__((constructor)) void registerUniSimSerializationProxies() {
    SerializationProxy::registerProxy(typeid(UniSimIntegrator), new UniSimIntegratorProxy());
}

vector<int> readIntegers(const SerializationNode& node) {
    vector<int> values;
    for (const SerializationNode& child : node.getChildren())
        values.push_back(child.getIntProperty("value"));
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
    node.setBoolProperty("randomizesVelocities", integrator.getRandomizesVelocities());
    node.setIntProperty("randomSeed", integrator.getRandomNumberSeed());
    node.setIntProperty("numThreads", integrator.getNumThreads());
    writeIntegers(node.createChildNode("Particles"), integrator.getParticles());
    writeIntegers(node.createChildNode("AtomicNumbers"), integrator.getAtomicNumbers());
    SerializationNode& bonds = node.createChildNode("Bonds");
    for (auto [first, second] : integrator.getBonds())
        bonds.createChildNode("Bond").setIntProperty("p1", first).setIntProperty("p2", second);
}

void* UniSimIntegratorProxy::deserialize(const SerializationNode& node) const {
    const int version = node.getIntProperty("version");
    if (version < 1 || version > VERSION)
        throw OpenMMException("Unsupported version number");
    auto integrator = make_unique<UniSimIntegrator>(node.getStringProperty("modelFile"),
            node.getDoubleProperty("temperature"), node.getIntProperty("numSubsteps"),
            node.getStringProperty("modelSha256"));
    integrator->setStepSize(node.getDoubleProperty("stepSize"));
    integrator->setConstraintTolerance(node.getDoubleProperty("constraintTolerance"));
    integrator->setIntegrationForceGroups(node.getIntProperty("integrationForceGroups"));
    if (version >= 2) {
        integrator->setGuidanceSource(
                (UniSimIntegrator::GuidanceSource)node.getIntProperty("guidanceSource"));
        integrator->setNumResampled(node.getIntProperty("numResampled"));
        integrator->setGuidanceForceLimit(node.getDoubleProperty("guidanceForceLimit"));
    }
    integrator->setGuidanceScale(node.getDoubleProperty("guidanceScale"));
    integrator->setGuidanceForceGroups(node.getIntProperty("guidanceForceGroups"));
    integrator->setAcceptanceMode((UniSimIntegrator::AcceptanceMode)node.getIntProperty("acceptanceMode"));
    integrator->setRandomizesVelocities(node.getBoolProperty("randomizesVelocities"));
    integrator->setRandomNumberSeed(node.getIntProperty("randomSeed"));
    integrator->setNumThreads(node.getIntProperty("numThreads", 0)); // XML from before there was this setting
    integrator->setParticles(readIntegers(node.getChildNode("Particles")));
    integrator->setAtomicNumbers(readIntegers(node.getChildNode("AtomicNumbers")));
    vector<pair<int, int>> bonds;
    for (const SerializationNode& bond : node.getChildNode("Bonds").getChildren())
        bonds.push_back({bond.getIntProperty("p1"), bond.getIntProperty("p2")});
    integrator->setBonds(bonds);
    return integrator.release();
}

} // namespace UniSimPlugin
