#include "Processor.h"
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
    return level == "x86-64-v3" && hasLevel3();
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
    UniSimPackagedModel(
            const UniSimModelMetadata& metadata, const string& content, const UniSimStepArguments& arguments)
            : metadata(metadata), arguments(arguments) {
        checkMachine(metadata);
        if (!arguments.getDevice().is_cpu())
            metadata.fail(
                    "holds machine code for the CPU and can't run on another device; export the weights to a "
                    ".unisim.pt file.");
        for (double element : metadata.getNumbers("elements"))
            elements.push_back(int64_t(element));
        // The library stays mapped into this process when the folder is gone.
        TemporaryFolder folder;
        unpack(content, folder.path);
        function = make_unique<torch::inductor::AOTIModelPackageLoader>(folder.path.string(), FUNCTION);
    }

    c10::IValue call(Method method) override {
        if (method == TimeGrid)
            return getTimeGrid(arguments.n.toInt());
        if (method == GuidancePoints)
            return at::empty({0}, arguments.positions.value.toTensor().options());
        const bool given = method == LogDensity;
        vector<Tensor> inputs = getState();
        const torch::IValue& chosen = given ? arguments.nextPositions.value : arguments.noise.value;
        Tensor other = checked(chosen, given ? "next_positions" : "noise", at::kFloat, inputs[0].sizes());
        inputs.insert(inputs.end(), {other, other, at::scalar_tensor(given, at::kBool)});
        vector<Tensor> results = function->boxed_run(std::move(inputs));
        if (given)
            return results.at(1);
        return c10::ivalue::Tuple::create({results.at(0), results.at(1)});
    }

private:
    const UniSimModelMetadata& metadata;
    const UniSimStepArguments& arguments;
    vector<int64_t> elements;
    unique_ptr<torch::inductor::AOTIModelPackageLoader> function;

    Tensor getTimeGrid(int64_t n) const {
        string key = "time_grid_" + to_string(n);
        TORCH_CHECK(metadata.contains(key), "This package has no time grid of that many substeps.");
        return at::tensor(metadata.getNumbers(key), at::kDouble);
    }

    static Tensor checked(
            const torch::IValue& value, const char* name, at::ScalarType type, at::IntArrayRef shape) {
        Tensor tensor = value.toTensor().contiguous();
        TORCH_CHECK(tensor.scalar_type() == type && tensor.sizes() == shape, name, " has the type ",
                tensor.scalar_type(), " and the shape ", tensor.sizes(), ", not ", type, " and ", shape, ".");
        return tensor;
    }

    /** The first six arguments of the function. */
    vector<Tensor> getState() const {
        TORCH_CHECK(arguments.forces.value.toTensor().numel() == 0,
                "This model takes no forces; it was exported with guidance none.");
        int64_t atoms = arguments.atomicNumbers.toTensor().numel();
        int64_t copies = arguments.t.value.toTensor().numel();
        vector<int64_t> shape = {copies, atoms, 3};
        TORCH_CHECK(copies > 0 && atoms > 0, "No particle was given; call setParticles first.");
        Tensor numbers = checked(arguments.atomicNumbers, "atomic_numbers", at::kLong, {atoms});
        int64_t count = arguments.bonds.toTensor().size(0);
        Tensor bonds = checked(arguments.bonds, "bonds", at::kLong, {count, 2});
        checkAtoms(numbers, bonds);
        return {checked(arguments.positions.value, "positions", at::kFloat, shape),
                checked(arguments.initialPositions.value, "initial_positions", at::kFloat, shape), numbers,
                bonds, checked(arguments.t.value, "t", at::kDouble, {copies}),
                checked(arguments.tNext.value, "t_next", at::kDouble, {copies})};
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

unique_ptr<UniSimContainer> loadPackagedModel(
        const UniSimModelMetadata& metadata, const string& content, const UniSimStepArguments& arguments) {
    return make_unique<UniSimPackagedModel>(metadata, content, arguments);
}

unique_ptr<UniSimContainer> loadContainer(
        const UniSimModelMetadata& metadata, const string& content, const UniSimStepArguments& arguments) {
    bool packaged = metadata.getText("container") == "aotinductor";
    return packaged ? loadPackagedModel(metadata, content, arguments)
                    : loadScriptedModel(metadata, content, arguments);
}

} // namespace UniSimPlugin
