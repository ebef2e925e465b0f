#include "internal/UniSimContainer.h"
#include <sstream>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/script.h>

using namespace std;

namespace UniSimPlugin {

namespace {

const vector<string> REQUIRED_METHODS = {"step", "log_density", "guidance_points", "time_grid"};
const vector<string> OPTIONAL_METHODS = {"drift"};

class UniSimScriptedModel : public UniSimContainer {
public:
    UniSimScriptedModel(const UniSimModelMetadata& metadata, const string& content) : metadata(metadata) {
        istringstream stream(content);
        torch::jit::Module loaded = torch::jit::load(stream, torch::kCPU);
        vector<string> kept;
        for (const string& name : REQUIRED_METHODS) {
            if (!loaded.find_method(name))
                metadata.fail("lacks the method " + name +
                              " of a UniSim model; export it with `openmm-unisim export`.");
            kept.push_back(name);
        }
        for (const string& name : OPTIONAL_METHODS)
            if (loaded.find_method(name))
                kept.push_back(name);
        loaded.eval();
        module = torch::jit::freeze_module(loaded, kept);
    }

    c10::IValue call(const string& method, const Arguments& arguments) override {
        auto function = module.get_method(method);
        vector<torch::IValue> stack;
        for (const auto& argument : function.function().getSchema().arguments()) {
            if (argument.name() == "self")
                continue;
            auto value = arguments.find(argument.name());
            if (value == arguments.end())
                metadata.fail("has a method " + method + " with an argument " + argument.name() +
                              " that this version doesn't know; update openmm_unisim.");
            stack.push_back(value->second);
        }
        return function(stack);
    }

private:
    const UniSimModelMetadata& metadata;
    torch::jit::Module module;
};

} // namespace

unique_ptr<UniSimContainer> loadScriptedModel(const UniSimModelMetadata& metadata, const string& content) {
    return make_unique<UniSimScriptedModel>(metadata, content);
}

} // namespace UniSimPlugin
