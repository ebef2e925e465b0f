// What a UniSimIntegrator writes into checkpoints and States.  Noise needs no state but the seed and the
// number of the jump.

#include "UniSimIntegrator.h"
#include "internal/UniSimCounters.h"
#include "internal/UniSimJump.h"
#include "internal/UniSimModel.h"
#include "internal/UniSimProperties.h"
#include "openmm/OpenMMException.h"
#include "openmm/serialization/SerializationNode.h"
#include <cmath>
#include <cstring>
#include <istream>
#include <ostream>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

namespace {

const char MAGIC[8] = {'U', 'n', 'i', 'S', 'i', 'm', 'C', '4'};
const char THIRD_MAGIC[8] = {'U', 'n', 'i', 'S', 'i', 'm', 'C', '3'};  // without the model's hash
const char SECOND_MAGIC[8] = {'U', 'n', 'i', 'S', 'i', 'm', 'C', '2'}; // without statistics of acceptance
const char FIRST_MAGIC[8] = {
        'U', 'n', 'i', 'S', 'i', 'm', 'C', '1'}; // without the count of clipped forces, too
const size_t HASH_LENGTH = 64;
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

bool begins(const char* magic, const char* expected) {
    return memcmp(magic, expected, sizeof(MAGIC)) == 0;
}

/** Read the hash of the model that a checkpoint was made with, and refuse that of another one. */
void readHash(istream& stream, const UniSimModel& model) {
    string hash(HASH_LENGTH, ' ');
    stream.read(hash.data(), HASH_LENGTH);
    if (!stream || hash != model.getHash())
        model.getMetadata().fail("is not the model that the checkpoint was made with, whose SHA-256 is " +
                                 hash.substr(0, 12) +
                                 "...; load it into an integrator of that model, or take the positions "
                                 "over as a State (getState(), setState()).");
}

string nameOfBin(int bin) {
    return "logAcceptanceBin" + to_string(bin);
}

/** Refuse numbers that no run can have led to, before any of them is taken over. */
void checkRead(const char* source, long long jumpIndex, const UniSimCounters& counters) {
    bool possible = jumpIndex >= 0 && counters.consecutiveNaN >= 0 && counters.sumAcceptance >= 0.0 &&
                    isfinite(counters.sumAcceptance);
    for (long long count : {counters.proposed, counters.accepted, counters.nan, counters.clipped,
                 counters.judged, counters.turned})
        possible &= count >= 0;
    for (long long count : counters.histogram)
        possible &= count >= 0;
    if (!possible)
        throw OpenMMException(string("The UniSimIntegrator's part of the ") + source +
                              " is damaged: it holds a negative or infinite count; load another one.");
}

} // namespace

void UniSimIntegrator::createCheckpoint(ostream& stream) const {
    write(stream, MAGIC);
    stream.write(getModelHash().data(), HASH_LENGTH);
    write(stream, activeSeed);
    write(stream, jumpIndex);
    write(stream, counters->proposed);
    write(stream, counters->accepted);
    write(stream, counters->nan);
    write(stream, counters->consecutiveNaN);
    write(stream, counters->lastLogAcceptance);
    write(stream, counters->clipped);
    write(stream, counters->judged);
    write(stream, counters->sumAcceptance);
    write(stream, counters->histogram);
    write(stream, counters->turned);
}

void UniSimIntegrator::loadCheckpoint(istream& stream) {
    char magic[sizeof(MAGIC)];
    int seed;
    long long index;
    UniSimCounters loaded;
    halfLoaded = true; // OpenMM has read its own part; until this one is taken, too, no jump is made
    read(stream, magic);
    const bool first = begins(magic, FIRST_MAGIC), second = begins(magic, SECOND_MAGIC);
    const bool newest = begins(magic, MAGIC);
    if (!first && !second && !newest && !begins(magic, THIRD_MAGIC))
        throw OpenMMException(
                "The checkpoint was not made by this version of UniSimIntegrator; load one that was.");
    if (newest)
        readHash(stream, *model);
    read(stream, seed);
    read(stream, index);
    read(stream, loaded.proposed);
    read(stream, loaded.accepted);
    read(stream, loaded.nan);
    read(stream, loaded.consecutiveNaN);
    read(stream, loaded.lastLogAcceptance);
    if (!first)
        read(stream, loaded.clipped);
    if (!first && !second) {
        read(stream, loaded.judged);
        read(stream, loaded.sumAcceptance);
        read(stream, loaded.histogram);
    }
    if (newest)
        read(stream, loaded.turned);
    checkRead("checkpoint", index, loaded);
    setActiveSeed(seed);
    jumpIndex = index;
    *counters = loaded;
    halfLoaded = false;
}

void UniSimIntegrator::serializeParameters(SerializationNode& node) const {
    node.setIntProperty("unisimVersion", STATE_VERSION);
    node.setStringProperty("modelSHA256", getModelHash());
    node.setIntProperty("seed", activeSeed);
    node.setLongProperty("jumpIndex", jumpIndex);
    node.setLongProperty("proposed", counters->proposed);
    node.setLongProperty("accepted", counters->accepted);
    node.setLongProperty("nan", counters->nan);
    node.setLongProperty("consecutiveNaN", counters->consecutiveNaN);
    node.setDoubleProperty("lastLogAcceptance", counters->lastLogAcceptance);
    node.setLongProperty("clipped", counters->clipped);
    node.setLongProperty("turned", counters->turned);
    node.setLongProperty("judged", counters->judged);
    node.setDoubleProperty("sumAcceptance", counters->sumAcceptance);
    for (int bin = 0; bin < UniSimCounters::NUM_BINS; bin++)
        if (counters->histogram[bin] > 0)
            node.setLongProperty(nameOfBin(bin), counters->histogram[bin]);
}

void UniSimIntegrator::deserializeParameters(const SerializationNode& node) {
    if (!node.hasProperty("unisimVersion"))
        return;
    const int version = readNumber<int>(node, "unisimVersion");
    if (version != STATE_VERSION)
        throw OpenMMException("The State holds UniSimIntegrator parameters of version " + to_string(version) +
                              ", and only version " + to_string(STATE_VERSION) +
                              " is known; update openmm_unisim.");
    // A State from before there was this entry is taken for the integrator's own model's.
    hasStateOfAnotherModel = node.getStringProperty("modelSHA256", getModelHash()) != getModelHash();
    if (hasStateOfAnotherModel)
        return;
    const int seed = readNumber<int>(node, "seed");
    const long long index = readNumber<long long>(node, "jumpIndex");
    UniSimCounters loaded;
    loaded.proposed = readNumber<long long>(node, "proposed");
    loaded.accepted = readNumber<long long>(node, "accepted");
    loaded.nan = readNumber<long long>(node, "nan");
    loaded.consecutiveNaN = readNumber<long long>(node, "consecutiveNaN");
    loaded.lastLogAcceptance = readNumber<double>(node, "lastLogAcceptance");
    loaded.clipped = readNumber<long long>(node, "clipped", 0LL); // a State from before there was this count
    loaded.turned = readNumber<long long>(node, "turned", 0LL);
    loaded.judged = readNumber<long long>(node, "judged", 0LL);
    loaded.sumAcceptance = readNumber<double>(node, "sumAcceptance", 0.0);
    for (int bin = 0; bin < UniSimCounters::NUM_BINS; bin++)
        loaded.histogram[bin] = readNumber<long long>(node, nameOfBin(bin), 0LL);
    checkRead("State", index, loaded);
    setActiveSeed(seed);
    jumpIndex = index;
    *counters = loaded;
}

void UniSimIntegrator::setActiveSeed(int seed) {
    activeSeed = seed;
    if (jump != nullptr)
        jump->setSeed(seed);
}

} // namespace UniSimPlugin
