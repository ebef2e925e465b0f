#include "internal/UniSimContainer.h"
#include <optional>
#include <sstream>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>

using namespace std;

namespace UniSimPlugin {

namespace {

const vector<string> REQUIRED_METHODS = {
        "step", "log_density", "guidance_points", "time_grid"}; // in the order of UniSimContainer::Method
const vector<string> OPTIONAL_METHODS = {"drift"};

class UniSimScriptedModel : public UniSimContainer {
public:
    UniSimScriptedModel(const UniSimModelMetadata& metadata, const string& content,
            const UniSimStepArguments& arguments) {
        istringstream stream(content);
        torch::jit::Module loaded = torch::jit::load(stream, arguments.getDevice());
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
        // The executor would watch the first call of a graph with derivatives and rewrite it for later ones,
        // which then differ in the last digits.
        optimized = metadata.getText("guidance_sources").find("openmm") == string::npos;
        for (const string& name : REQUIRED_METHODS)
            methods.push_back(findMethod(name, metadata, arguments));
    }

    c10::IValue call(Method method) override {
        Declared& called = methods.at(method);
        stack.clear();
        for (const torch::IValue* value : called.arguments)
            stack.push_back(*value);
        optional<torch::jit::GraphOptimizerEnabledGuard> steady;
        if (!optimized)
            steady.emplace(false);
        called.function.run(stack);
        return std::move(stack.back());
    }

private:
    /** A method of the module with the arguments that it declares. */
    struct Declared {
        torch::jit::Method function;
        vector<const torch::IValue*> arguments;
    };
    torch::jit::Module module;
    vector<Declared> methods;
    torch::jit::Stack stack;
    bool optimized;

    Declared findMethod(
            const string& name, const UniSimModelMetadata& metadata, const UniSimStepArguments& arguments) {
        Declared method = {module.get_method(name), {}};
        for (const auto& argument : method.function.function().getSchema().arguments()) {
            if (argument.name() == "self")
                continue;
            method.arguments.push_back(arguments.find(argument.name()));
            if (method.arguments.back() == nullptr)
                metadata.fail("has a method " + name + " with an argument " + argument.name() +
                              " that this version doesn't know; update openmm_unisim.");
        }
        return method;
    }
};

} // namespace

unique_ptr<UniSimContainer> loadScriptedModel(
        const UniSimModelMetadata& metadata, const string& content, const UniSimStepArguments& arguments) {
    return make_unique<UniSimScriptedModel>(metadata, content, arguments);
}

} // namespace UniSimPlugin
