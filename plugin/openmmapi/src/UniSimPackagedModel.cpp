#include "internal/UniSimContainer.h"
#include <ATen/ATen.h>
#include <algorithm>
#include <caffe2/serialize/inline_container.h>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/version.h>

using namespace std;
using at::Tensor;

namespace UniSimPlugin {

namespace {

const string FOLDER = "data/aotinductor/model/", FUNCTION = "model"; // of openmm_unisim/export/packager.py

/** A folder that nobody else may read, and that is gone when this is. */
class TemporaryFolder {
public:
    TemporaryFolder() {
        string name = (filesystem::temp_directory_path() / "openmm_unisim_XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr)
            throw runtime_error("no temporary folder can be made at " + name + " (" + strerror(errno) + ")");
        path = name;
    }
    ~TemporaryFolder() {
        error_code ignored;
        filesystem::remove_all(path, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    filesystem::path path;
};

/** Write the files of the function, and nothing else of the archive. */
void unpack(const string& content, const filesystem::path& folder) {
    istringstream stream(content);
    caffe2::serialize::PyTorchStreamReader reader(&stream);
    filesystem::create_directories(folder / FOLDER);
    for (const string& name : reader.getAllRecords()) {
        if (name.compare(0, FOLDER.size(), FOLDER) != 0)
            continue;
        string file = name.substr(FOLDER.size());
        if (file.empty() || file == "." || file == ".." || file.find('/') != string::npos)
            continue;
        auto [data, size] = reader.getRecord(name);
        ofstream out(folder / FOLDER / file, ios::binary);
        if (!out.write(static_cast<const char*>(data.get()), size).flush())
            throw runtime_error("its code can't be unpacked in " + folder.string() +
                                "; set TMPDIR to a "
                                "folder with space");
    }
}

/** Whether this machine runs code for an instruction set (openmm_unisim/export/processor.py). */
bool processorRuns(const string& level) {
#if defined(__x86_64__)
    return level == "x86-64-v3" && __builtin_cpu_supports("x86-64-v3");
#else
    return false;
#endif
}

void checkMachine(const UniSimModelMetadata& metadata) {
    if (!processorRuns(metadata.getText("processor")))
        metadata.fail(
                "holds machine code for the processor " + metadata.getText("processor").substr(0, 80) +
                ", which this one can't run; export the weights on this machine, or to a .unisim.pt file.");
    string made = metadata.getText("torch_version"), here = TORCH_VERSION;
    auto minorOf = [](const string& version) {
        return version.substr(0, version.find('.', version.find('.') + 1));
    };
    if (minorOf(made) != minorOf(here))
        metadata.fail("was compiled for torch " + made + ", and this is torch " + here +
                      "; export it again with this torch.");
}

/**
 * A substep compiled ahead of time.  The machine code takes arrays as they come, so that types and shapes are
 * checked here; what it can't do (time grids, unknown elements) is done from the metadata.
 */
class UniSimPackagedModel : public UniSimContainer {
public:
    UniSimPackagedModel(const UniSimModelMetadata& metadata, const string& content) : metadata(metadata) {
        checkMachine(metadata);
        for (double element : metadata.getNumbers("elements"))
            elements.push_back(int64_t(element));
        // The library stays mapped into this process when the folder is gone.
        TemporaryFolder folder;
        unpack(content, folder.path);
        function = make_unique<torch::inductor::AOTIModelPackageLoader>(folder.path.string(), FUNCTION);
    }

    c10::IValue call(const string& method, const Arguments& arguments) override {
        if (method == "time_grid")
            return getTimeGrid(arguments.at("n").toInt());
        if (method == "guidance_points")
            return at::empty({0}, arguments.at("positions").toTensor().options());
        bool given = method == "log_density";
        vector<Tensor> inputs = getState(arguments);
        Tensor other =
                getTensor(arguments, given ? "next_positions" : "noise", at::kFloat, inputs[0].sizes());
        inputs.insert(inputs.end(), {other, other, at::scalar_tensor(given, at::kBool)});
        vector<Tensor> results = function->boxed_run(std::move(inputs));
        if (given)
            return results.at(1);
        return c10::ivalue::Tuple::create({results.at(0), results.at(1)});
    }

private:
    const UniSimModelMetadata& metadata;
    vector<int64_t> elements;
    unique_ptr<torch::inductor::AOTIModelPackageLoader> function;

    Tensor getTimeGrid(int64_t n) const {
        string key = "time_grid_" + to_string(n);
        TORCH_CHECK(metadata.contains(key), "This package has no time grid of that many substeps.");
        return at::tensor(metadata.getNumbers(key), at::kDouble);
    }

    static Tensor getTensor(
            const Arguments& arguments, const string& name, at::ScalarType type, at::IntArrayRef shape) {
        Tensor tensor = arguments.at(name).toTensor().contiguous();
        TORCH_CHECK(tensor.scalar_type() == type && tensor.sizes() == shape, name, " has the type ",
                tensor.scalar_type(), " and the shape ", tensor.sizes(), ", not ", type, " and ", shape, ".");
        return tensor;
    }

    /** The first six arguments of the function. */
    vector<Tensor> getState(const Arguments& arguments) const {
        TORCH_CHECK(arguments.at("forces").toTensor().numel() == 0,
                "This model takes no forces; it was exported with guidance none.");
        int64_t atoms = arguments.at("atomic_numbers").toTensor().numel();
        int64_t copies = arguments.at("t").toTensor().numel();
        vector<int64_t> shape = {copies, atoms, 3};
        TORCH_CHECK(copies > 0 && atoms > 0, "No particle was given; call setParticles first.");
        Tensor numbers = getTensor(arguments, "atomic_numbers", at::kLong, {atoms});
        Tensor bonds = arguments.at("bonds").toTensor();
        bonds = getTensor(arguments, "bonds", at::kLong, {bonds.size(0), 2});
        checkAtoms(numbers, bonds);
        return {getTensor(arguments, "positions", at::kFloat, shape),
                getTensor(arguments, "initial_positions", at::kFloat, shape), numbers, bonds,
                getTensor(arguments, "t", at::kDouble, {copies}),
                getTensor(arguments, "t_next", at::kDouble, {copies})};
    }

    void checkAtoms(const Tensor& numbers, const Tensor& bonds) const {
        const int64_t *number = numbers.const_data_ptr<int64_t>(), *end = bonds.const_data_ptr<int64_t>();
        for (int64_t i = 0; i < numbers.numel(); i++)
            TORCH_CHECK(find(elements.begin(), elements.end(), number[i]) != elements.end(), "Atomic number ",
                    number[i], " did not occur in this model's training.");
        for (int64_t i = 0; i < bonds.numel(); i++)
            TORCH_CHECK(end[i] >= 0 && end[i] < numbers.numel(), "A bond names an atom that isn't there.");
    }
};

} // namespace

unique_ptr<UniSimContainer> loadPackagedModel(const UniSimModelMetadata& metadata, const string& content) {
    return make_unique<UniSimPackagedModel>(metadata, content);
}

unique_ptr<UniSimContainer> loadContainer(const UniSimModelMetadata& metadata, const string& content) {
    bool packaged = metadata.getText("container") == "aotinductor";
    return packaged ? loadPackagedModel(metadata, content) : loadScriptedModel(metadata, content);
}

} // namespace UniSimPlugin
