#include "internal/UniSimModel.h"
#include "internal/UniSimContainer.h"
#include "internal/UniSimHash.h"
#include "openmm/OpenMMException.h"
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <caffe2/serialize/inline_container.h>
#include <cfenv>
#include <fstream>
#include <functional>
#include <sstream>
#include <torch/torch.h>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

namespace {

const size_t MAX_METADATA_BYTES = 65536;

/** Treats denormal numbers as zero in this thread while it lives, and then restores what was set before. */
class FlushDenormalScope {
public:
    FlushDenormalScope() {
        fegetenv(&environment);
        at::globalContext().setFlushDenormal(true);
    }
    ~FlushDenormalScope() {
        fesetenv(&environment);
    }

private:
    fenv_t environment;
};

/**
 * Uses one thread for a small molecule while it lives, and then restores the number. Its arrays are too small
 * to share out, and threads that wait for each other on a busy machine made a jump a hundred times slower.
 */
class ThreadScope {
public:
    explicit ThreadScope(int64_t numAtoms) : before(at::get_num_threads()) {
        if (numAtoms < SMALL_MOLECULE)
            at::set_num_threads(1);
    }
    ~ThreadScope() {
        if (at::get_num_threads() != before)
            at::set_num_threads(before);
    }

private:
    static const int64_t SMALL_MOLECULE = 200;
    int before;
};

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

template <typename Result>
Result guarded(const UniSimModelMetadata& metadata, const string& what, const function<Result()>& call) {
    string cause;
    try {
        FlushDenormalScope flush;
        torch::NoGradGuard noGrad;
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

torch::Tensor toTensor(const vector<Vec3>& vectors, const vector<int64_t>& shape, torch::ScalarType type) {
    if (vectors.empty())
        return torch::empty({0}, type);
    void* data = const_cast<Vec3*>(vectors.data());
    return torch::from_blob(data, shape, torch::kDouble).to(type, false, true);
}

vector<Vec3> toVectors(const torch::Tensor& tensor) {
    torch::Tensor values = tensor.to(torch::kCPU, torch::kDouble).contiguous();
    const double* numbers = values.data_ptr<double>();
    vector<Vec3> vectors;
    for (int64_t i = 0; i + 2 < values.numel(); i += 3)
        vectors.push_back(Vec3(numbers[i], numbers[i + 1], numbers[i + 2]));
    return vectors;
}

vector<double> toNumbers(const torch::Tensor& tensor) {
    torch::Tensor values = tensor.to(torch::kCPU, torch::kDouble).contiguous();
    return vector<double>(values.data_ptr<double>(), values.data_ptr<double>() + values.numel());
}

} // namespace

struct UniSimModel::Implementation {
    UniSimModelMetadata metadata;
    string hash;
    unique_ptr<UniSimContainer> container;
    torch::ScalarType scalarType = torch::kFloat;
    torch::Tensor atomicNumbers, bonds;

    Implementation(const string& file) : metadata(file) {
    }

    using Arguments = UniSimContainer::Arguments;

    Arguments getArguments(const UniSimModelState& state) const {
        int64_t copies = state.times.size();
        vector<int64_t> shape = {copies, atomicNumbers.size(0), 3};
        return {{"positions", toTensor(state.positions, shape, scalarType)},
                {"initial_positions", toTensor(state.initialPositions, shape, scalarType)},
                {"atomic_numbers", atomicNumbers}, {"bonds", bonds},
                {"t", torch::tensor(state.times, torch::kDouble)},
                {"t_next", torch::tensor(state.nextTimes, torch::kDouble)}, {"kT", state.kT},
                {"forces", toTensor(state.forces, shape, scalarType)},
                {"guidance_scale", state.guidanceScale},
                {"box_vectors", toTensor(state.box, {3, 3}, scalarType)}};
    }

    /** Call a method of the step contract, small molecules with one thread. */
    torch::IValue call(const string& method, const Arguments& arguments) {
        ThreadScope threads(atomicNumbers.defined() ? atomicNumbers.size(0) : 0);
        return container->call(method, arguments);
    }

    void checkSize(size_t size, size_t expected, const string& what) const {
        if (size != expected)
            metadata.fail("returned " + to_string(size) + " " + what + " where " + to_string(expected) +
                          " are due; it breaks the step contract, so export it again.");
    }
};

UniSimModel::UniSimModel(const string& file, const string& expectedHash)
        : implementation(new Implementation(file)) {
    Implementation& my = *implementation;
    string content = readFile(my.metadata, file);
    my.hash = computeSha256(content);
    if (!expectedHash.empty() && my.hash != expectedHash)
        my.metadata.fail("is not the one that is asked for (its SHA-256 is " + my.hash + ", not " +
                         expectedHash + "); put the original file there.");
    auto entries = guarded<map<string, string>>(my.metadata,
            "is neither a TorchScript archive nor a package or is damaged, so fetch "
            "or export it again",
            [&]() { return readEntries(my.metadata, content); });
    my.metadata.setEntries(entries);
    my.scalarType = my.metadata.getText("scalar_type") == "float64" ? torch::kDouble : torch::kFloat;
    my.container = guarded<unique_ptr<UniSimContainer>>(my.metadata,
            "can't be loaded by this torch, so export it again with it",
            [&]() { return loadContainer(my.metadata, content); });
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
    vector<int64_t> numbers(atomicNumbers.begin(), atomicNumbers.end()), ends;
    for (auto [first, second] : bonds)
        ends.insert(ends.end(), {first, second});
    implementation->atomicNumbers = torch::tensor(numbers, torch::kLong);
    implementation->bonds = torch::tensor(ends, torch::kLong).reshape({-1, 2});
}

vector<double> UniSimModel::getTimeGrid(int n) {
    Implementation& my = *implementation;
    vector<double> times = guarded<vector<double>>(
            my.metadata, "offers no time grid of " + to_string(n) + " substeps", [&]() {
                return toNumbers(my.call("time_grid", {{"n", static_cast<int64_t>(n)}}).toTensor());
            });
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
    vector<Vec3> points = guarded<vector<Vec3>>(my.metadata, "failed in guidance_points",
            [&]() { return toVectors(my.call("guidance_points", my.getArguments(state)).toTensor()); });
    if (!points.empty())
        my.checkSize(points.size(), state.positions.size(), "guidance points");
    return points;
}

vector<double> UniSimModel::step(
        const UniSimModelState& state, const vector<Vec3>& noise, vector<Vec3>& nextPositions) {
    Implementation& my = *implementation;
    vector<double> logDensity = guarded<vector<double>>(my.metadata, "failed in step", [&]() {
        auto arguments = my.getArguments(state);
        arguments["noise"] = toTensor(noise, arguments["positions"].toTensor().sizes().vec(), my.scalarType);
        auto result = my.call("step", arguments).toTuple();
        nextPositions = toVectors(result->elements()[0].toTensor());
        return toNumbers(result->elements()[1].toTensor());
    });
    my.checkSize(nextPositions.size(), state.positions.size(), "positions");
    my.checkSize(logDensity.size(), state.times.size(), "log densities");
    return logDensity;
}

vector<double> UniSimModel::getLogDensity(const vector<Vec3>& nextPositions, const UniSimModelState& state) {
    Implementation& my = *implementation;
    vector<double> logDensity = guarded<vector<double>>(my.metadata, "failed in log_density", [&]() {
        auto arguments = my.getArguments(state);
        arguments["next_positions"] =
                toTensor(nextPositions, arguments["positions"].toTensor().sizes().vec(), my.scalarType);
        return toNumbers(my.call("log_density", arguments).toTensor());
    });
    my.checkSize(logDensity.size(), state.times.size(), "log densities");
    return logDensity;
}

} // namespace UniSimPlugin
