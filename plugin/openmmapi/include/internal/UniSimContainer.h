#ifndef OPENMM_UNISIMCONTAINER_H_
#define OPENMM_UNISIMCONTAINER_H_

#include "internal/UniSimModelMetadata.h"
#include <ATen/core/ivalue.h>
#include <map>
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
    using Arguments = std::map<std::string, c10::IValue>;
    virtual ~UniSimContainer() {
    }
    /**
     * Call a method of the step contract.
     *
     * @param method     step, log_density, guidance_points or time_grid
     * @param arguments  its arguments by their names; those that it doesn't declare are left out
     */
    virtual c10::IValue call(const std::string& method, const Arguments& arguments) = 0;
};

/**
 * Load the code of a model file, in the container that its metadata name.
 *
 * @param metadata   the metadata of the file
 * @param content    the file's bytes
 */
std::unique_ptr<UniSimContainer> loadContainer(
        const UniSimModelMetadata& metadata, const std::string& content);
std::unique_ptr<UniSimContainer> loadScriptedModel(
        const UniSimModelMetadata& metadata, const std::string& content);
std::unique_ptr<UniSimContainer> loadPackagedModel(
        const UniSimModelMetadata& metadata, const std::string& content);

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMCONTAINER_H_
