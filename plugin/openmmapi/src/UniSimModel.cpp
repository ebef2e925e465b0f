#include "internal/UniSimModel.h"
#include "UniSimTrust.h"
#include "internal/UniSimArchive.h"
#include "internal/UniSimContainer.h"
#include "internal/UniSimHash.h"
#include "internal/UniSimStepArguments.h"
#include "internal/UniSimTorchScope.h"
#include "openmm/OpenMMException.h"
#include <caffe2/serialize/inline_container.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <torch/torch.h>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

namespace {

const size_t MAX_METADATA_BYTES = 65536;

/** The line of an exception from torch that says what happened, without C++ or TorchScript backtraces. */
string oneLine(const string& text) {
    bool fromScript = text.find("Traceback of TorchScript") != string::npos;
    istringstream stream(text);
    string line, chosen;
    while (getline(stream, line)) {
        if (line.find_first_not_of(" \t\r") == string::npos)
            continue;
        chosen = line;
        if (!fromScript)
            break;
    }
    for (const string prefix : {"builtins.", "RuntimeError: "})
        if (chosen.compare(0, prefix.size(), prefix) == 0)
            chosen.erase(0, prefix.size());
    return chosen;
}

/** Call something of torch; what it throws becomes an OpenMMException of one sentence about the model file.
 */
template <typename Call>
auto guarded(const UniSimModelMetadata& metadata, const string& what, const Call& call) -> decltype(call()) {
    string cause;
    try {
        return call();
    }
    catch (const OpenMMException&) {
        throw;
    }
    catch (const c10::Error& error) {
        cause = oneLine(error.what_without_backtrace());
    }
    catch (const exception& error) {
        cause = oneLine(error.what());
    }
    metadata.fail(what + ": " + cause);
}

string readFile(const UniSimModelMetadata& metadata, const string& file) {
    error_code ignored;
    if (filesystem::exists(file, ignored) && !filesystem::is_regular_file(file, ignored)) // may have no end
        metadata.fail("is no file; check the path.");
    ifstream stream(file, ios::binary);
    stringstream content;
    if (!stream || !(content << stream.rdbuf()))
        metadata.fail("can't be read; check the path and its permissions.");
    return content.str();
}

map<string, string> readEntries(const UniSimModelMetadata& metadata, const string& content) {
    const string folder = "extra/";
    istringstream stream(content);
    caffe2::serialize::PyTorchStreamReader reader(&stream);
    checkArchive(content, [&reader](const string& name) {
        auto [data, size] =
                reader.getRecord(name.substr(name.find('/') + 1)); // without the archive's own name
        return string(static_cast<const char*>(data.get()), size);
    });
    map<string, string> entries;
    for (const string& name : reader.getAllRecords()) {
        if (name.compare(0, folder.size(), folder) != 0)
            continue;
        if (reader.getRecordSize(name) > MAX_METADATA_BYTES)
            metadata.fail("has a metadata entry " + name.substr(folder.size()) +
                          " that is too long; export it again.");
        auto [data, size] = reader.getRecord(name);
        entries[name.substr(folder.size())] = string(static_cast<const char*>(data.get()), size);
    }
    return entries;
}

} // namespace

struct UniSimModel::Implementation {
    string file;
    UniSimModelMetadata metadata;
    string hash;
    UniSimStepArguments arguments;
    unique_ptr<UniSimContainer> container; // reads the arguments
    UniSimStopwatch* stopwatch = nullptr;
    int numThreads = 0;
    bool inSession = false;
    vector<int64_t> numbers, ends; // of the particles and of the bonds

    Implementation(const string& file) : file(file), metadata(file) {
    }

    /** Call a method of the step contract with the arguments that are set. */
    torch::IValue call(UniSimContainer::Method method) {
        optional<UniSimTorchScope> scope;
        if (!inSession)
            scope.emplace(numThreads);
        return container->call(method);
    }

    torch::IValue callTimed(UniSimContainer::Method method) {
        UniSimStopwatch::Scope scope(*stopwatch, UniSimStopwatch::Model);
        return call(method);
    }

    /** Load the code of the file's bytes for the device of the arguments. */
    void load(const string& content) {
        container = guarded(metadata, "can't be loaded by this torch, so export it again with it", [&]() {
            UniSimTorchScope scope(0);
            return loadContainer(metadata, content, arguments);
        });
    }

    void sendParticles() {
        const torch::Device& device = arguments.getDevice();
        arguments.atomicNumbers = torch::tensor(numbers, torch::kLong).to(device);
        arguments.bonds = torch::tensor(ends, torch::kLong).reshape({-1, 2}).to(device);
    }

    void checkSize(size_t size, size_t expected, const string& what) const {
        if (size != expected)
            metadata.fail("returned " + to_string(size) + " " + what + " where " + to_string(expected) +
                          " are due; it breaks the step contract, so export it again.");
    }
};

struct UniSimModel::Session::Implementation {
    explicit Implementation(UniSimModel::Implementation& model) : model(model), scope(model.numThreads) {
        model.inSession = true;
    }
    ~Implementation() {
        model.inSession = false;
    }
    UniSimModel::Implementation& model;
    UniSimTorchScope scope;
};

UniSimModel::Session::Session(UniSimModel& model)
        : implementation(new Implementation(*model.implementation)) {
}

UniSimModel::Session::~Session() {
}

UniSimModel::UniSimModel(const string& file, const string& expectedHash)
        : implementation(new Implementation(file)) {
    Implementation& my = *implementation;
    string content = readFile(my.metadata, file);
    my.hash = computeSha256(content);
    if (expectedHash.empty())
        UniSimTrust::require(file, my.hash);
    else if (my.hash != expectedHash)
        my.metadata.fail("is not the one that is asked for (its SHA-256 is " + my.hash + ", not " +
                         expectedHash + "); put the original file there.");
    UniSimTrust::add(my.hash);
    auto entries = guarded(my.metadata,
            "is neither a TorchScript archive nor a package or is damaged, so fetch "
            "or export it again",
            [&]() { return readEntries(my.metadata, content); });
    my.metadata.setEntries(entries);
    my.arguments.setScalarType(
            my.metadata.getText("scalar_type") == "float64" ? torch::kDouble : torch::kFloat);
    my.load(content);
    setParticles({}, {});
}

UniSimModel::~UniSimModel() {
}

const string& UniSimModel::getHash() const {
    return implementation->hash;
}

const UniSimModelMetadata& UniSimModel::getMetadata() const {
    return implementation->metadata;
}

void UniSimModel::setParticles(const vector<int>& atomicNumbers, const vector<pair<int, int>>& bonds) {
    Implementation& my = *implementation;
    my.numbers.assign(atomicNumbers.begin(), atomicNumbers.end());
    my.ends.clear();
    for (auto [first, second] : bonds)
        my.ends.insert(my.ends.end(), {first, second});
    my.sendParticles();
}

void UniSimModel::setDevice(const string& name) {
    Implementation& my = *implementation;
    const torch::Device before = my.arguments.getDevice();
    const torch::Device device = guarded(my.metadata, "can't run on a device '" + name + "'", [&name]() {
        const torch::Device found(name);
        torch::ones({1}).to(found).to(torch::kCPU); // throws an exception if this torch or machine lacks it
        return found;
    });
    if (device == before)
        return;
    const string content = readFile(my.metadata, my.file);
    if (computeSha256(content) != my.hash)
        my.metadata.fail("has changed since it was loaded; create the integrator anew.");
    my.arguments.setDevice(device);
    try {
        my.load(content);
        guarded(my.metadata, "can't run on the device '" + name + "'", [&my]() { my.sendParticles(); });
    }
    catch (...) {
        my.arguments.setDevice(before);
        my.load(content);
        my.sendParticles();
        throw;
    }
}

string UniSimModel::getDevice() const {
    return implementation->arguments.getDevice().str();
}

void UniSimModel::setStopwatch(UniSimStopwatch& stopwatch) {
    implementation->stopwatch = &stopwatch;
}

void UniSimModel::setNumThreads(int number) {
    implementation->numThreads = number;
}

int UniSimModel::getNumTorchThreads() {
    return at::get_num_threads();
}

vector<double> UniSimModel::getTimeGrid(int n) {
    Implementation& my = *implementation;
    my.arguments.n = static_cast<int64_t>(n);
    vector<double> times = guarded(my.metadata, "offers no time grid of " + to_string(n) + " substeps",
            [&]() { return toNumbers(my.call(UniSimContainer::TimeGrid).toTensor()); });
    bool increasing =
            times.size() == static_cast<size_t>(n) + 1 && times.front() == 0.0 && times.back() == 1.0;
    for (size_t k = 0; increasing && k + 1 < times.size(); k++)
        increasing = times[k] < times[k + 1];
    if (!increasing)
        my.metadata.fail("has a time grid of " + to_string(n) +
                         " substeps that doesn't rise from 0 to 1; "
                         "export it again.");
    return times;
}

vector<Vec3> UniSimModel::getGuidancePoints(const UniSimModelState& state) {
    Implementation& my = *implementation;
    vector<Vec3> points;
    guarded(my.metadata, "failed in guidance_points", [&]() {
        my.arguments.setState(state);
        toVectors(my.callTimed(UniSimContainer::GuidancePoints).toTensor(), points);
    });
    if (!points.empty())
        my.checkSize(points.size(), state.positions.size(), "guidance points");
    return points;
}

vector<double> UniSimModel::step(
        const UniSimModelState& state, const vector<Vec3>& noise, vector<Vec3>& nextPositions) {
    Implementation& my = *implementation;
    vector<double> logDensity = guarded(my.metadata, "failed in step", [&]() {
        my.arguments.setState(state);
        my.arguments.setVectors(my.arguments.noise, noise);
        auto result = my.callTimed(UniSimContainer::Step).toTuple();
        toVectors(result->elements()[0].toTensor(), nextPositions);
        return toNumbers(result->elements()[1].toTensor());
    });
    my.checkSize(nextPositions.size(), state.positions.size(), "positions");
    my.checkSize(logDensity.size(), state.times.size(), "log densities");
    return logDensity;
}

vector<double> UniSimModel::getLogDensity(const vector<Vec3>& nextPositions, const UniSimModelState& state) {
    Implementation& my = *implementation;
    vector<double> logDensity = guarded(my.metadata, "failed in log_density", [&]() {
        my.arguments.setState(state);
        my.arguments.setVectors(my.arguments.nextPositions, nextPositions);
        return toNumbers(my.callTimed(UniSimContainer::LogDensity).toTensor());
    });
    my.checkSize(logDensity.size(), state.times.size(), "log densities");
    return logDensity;
}

} // namespace UniSimPlugin
