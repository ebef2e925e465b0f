#ifndef OPENMM_UNISIMCONTAINER_H_
#define OPENMM_UNISIMCONTAINER_H_

#include "internal/UniSimModelMetadata.h"
#include "internal/UniSimStepArguments.h"
#include <ATen/core/ivalue.h>
#include <memory>
#include <string>

namespace UniSimPlugin {

/**
 * What holds the code of a model file: a TorchScript archive (UniSimScriptedModel.cpp) or machine code in an
 * AOTInductor package (UniSimPackagedModel.cpp).  Only UniSimModel calls it; it turns torch's exceptions into
 * one sentence.
 */
class UniSimContainer {
public:
    /** The methods of the step contract. */
    enum Method { Step, LogDensity, GuidancePoints, TimeGrid };
    virtual ~UniSimContainer() {
    }
    /** Call a method with those of the arguments that it declares. */
    virtual c10::IValue call(Method method) = 0;
};

/**
 * Load the code of a model file, in the container that its metadata name.
 *
 * @param metadata   the metadata of the file
 * @param content    the file's bytes
 * @param arguments  what calls read; like the metadata it must outlive the container
 */
std::unique_ptr<UniSimContainer> loadContainer(const UniSimModelMetadata& metadata,
        const std::string& content, const UniSimStepArguments& arguments);
std::unique_ptr<UniSimContainer> loadScriptedModel(const UniSimModelMetadata& metadata,
        const std::string& content, const UniSimStepArguments& arguments);
std::unique_ptr<UniSimContainer> loadPackagedModel(const UniSimModelMetadata& metadata,
        const std::string& content, const UniSimStepArguments& arguments);

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMCONTAINER_H_
