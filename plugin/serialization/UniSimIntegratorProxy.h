#ifndef OPENMM_UNISIMINTEGRATORPROXY_H_
#define OPENMM_UNISIMINTEGRATORPROXY_H_

#include "internal/windowsExportUniSim.h"
#include "openmm/serialization/SerializationProxy.h"

namespace UniSimPlugin {

/**
 * This is a proxy for serializing UniSimIntegrator objects.  The model file itself is not stored: its path
 * and SHA-256 are, and deserializing throws an exception if the file is absent or another one.
 */
class OPENMM_EXPORT_UNISIM UniSimIntegratorProxy : public OpenMM::SerializationProxy {
public:
    UniSimIntegratorProxy();
    void serialize(const void* object, OpenMM::SerializationNode& node) const override;
    void* deserialize(const OpenMM::SerializationNode& node) const override;
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMINTEGRATORPROXY_H_
