// What a UniSimIntegrator writes into checkpoints and States.  Noise needs no state but the seed and the
// number of the jump.

#include "UniSimIntegrator.h"
#include "internal/UniSimCounters.h"
#include "internal/UniSimJump.h"
#include "openmm/OpenMMException.h"
#include "openmm/serialization/SerializationNode.h"
#include <cstring>
#include <istream>
#include <ostream>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

namespace {

const char MAGIC[8] = {'U', 'n', 'i', 'S', 'i', 'm', 'C', '2'};
const char EARLIER_MAGIC[8] = {'U', 'n', 'i', 'S', 'i', 'm', 'C', '1'}; // without the count of clipped forces
const int STATE_VERSION = 1;

template <typename T>
void write(ostream& stream, const T& value) {
    stream.write(reinterpret_cast<const char*>(&value), sizeof(T));
}

template <typename T>
void read(istream& stream, T& value) {
    stream.read(reinterpret_cast<char*>(&value), sizeof(T));
    if (!stream)
        throw OpenMMException(
                "The checkpoint ends within the UniSimIntegrator's part; it is truncated or was made by "
                "another integrator.");
}

} // namespace

void UniSimIntegrator::createCheckpoint(ostream& stream) const {
    write(stream, MAGIC);
    write(stream, activeSeed);
    write(stream, jumpIndex);
    write(stream, counters->proposed);
    write(stream, counters->accepted);
    write(stream, counters->nan);
    write(stream, counters->consecutiveNaN);
    write(stream, counters->lastLogAcceptance);
    write(stream, counters->clipped);
}

void UniSimIntegrator::loadCheckpoint(istream& stream) {
    char magic[sizeof(MAGIC)];
    int seed;
    long long index;
    UniSimCounters loaded;
    read(stream, magic);
    const bool earlier = memcmp(magic, EARLIER_MAGIC, sizeof(MAGIC)) == 0;
    if (!earlier && memcmp(magic, MAGIC, sizeof(MAGIC)) != 0)
        throw OpenMMException(
                "The checkpoint was not made by this version of UniSimIntegrator; load one that was.");
    read(stream, seed);
    read(stream, index);
    read(stream, loaded.proposed);
    read(stream, loaded.accepted);
    read(stream, loaded.nan);
    read(stream, loaded.consecutiveNaN);
    read(stream, loaded.lastLogAcceptance);
    if (!earlier)
        read(stream, loaded.clipped);
    setActiveSeed(seed);
    jumpIndex = index;
    *counters = loaded;
}

void UniSimIntegrator::serializeParameters(SerializationNode& node) const {
    node.setIntProperty("unisimVersion", STATE_VERSION);
    node.setIntProperty("seed", activeSeed);
    node.setLongProperty("jumpIndex", jumpIndex);
    node.setLongProperty("proposed", counters->proposed);
    node.setLongProperty("accepted", counters->accepted);
    node.setLongProperty("nan", counters->nan);
    node.setLongProperty("consecutiveNaN", counters->consecutiveNaN);
    node.setDoubleProperty("lastLogAcceptance", counters->lastLogAcceptance);
    node.setLongProperty("clipped", counters->clipped);
}

void UniSimIntegrator::deserializeParameters(const SerializationNode& node) {
    if (!node.hasProperty("unisimVersion"))
        return;
    if (node.getIntProperty("unisimVersion") != STATE_VERSION)
        throw OpenMMException("The State holds UniSimIntegrator parameters of version " +
                              to_string(node.getIntProperty("unisimVersion")) + ", and only version " +
                              to_string(STATE_VERSION) + " is known; update openmm_unisim.");
    setActiveSeed(node.getIntProperty("seed"));
    jumpIndex = node.getLongProperty("jumpIndex");
    counters->proposed = node.getLongProperty("proposed");
    counters->accepted = node.getLongProperty("accepted");
    counters->nan = node.getLongProperty("nan");
    counters->consecutiveNaN = node.getLongProperty("consecutiveNaN");
    counters->lastLogAcceptance = node.getDoubleProperty("lastLogAcceptance");
    counters->clipped = node.getLongProperty("clipped", 0); // a State from before there was this count
}

void UniSimIntegrator::setActiveSeed(int seed) {
    activeSeed = seed;
    if (jump != nullptr)
        jump->setSeed(seed);
}

} // namespace UniSimPlugin
