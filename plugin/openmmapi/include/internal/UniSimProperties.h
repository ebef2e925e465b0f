#ifndef OPENMM_UNISIMPROPERTIES_H_
#define OPENMM_UNISIMPROPERTIES_H_

#include "internal/UniSimText.h"
#include "openmm/OpenMMException.h"
#include "openmm/serialization/SerializationNode.h"
#include <charconv>
#include <string>

namespace UniSimPlugin {

/**
 * Read a property of XML that is a number, and nothing beside it.  The functions of SerializationNode make 12
 * of "12x" and an arbitrary number of "x".
 *
 * @tparam Number   int, long long or double
 */
template <typename Number>
Number readNumber(const OpenMM::SerializationNode& node, const std::string& name) {
    const std::string& text = node.getStringProperty(name);
    Number value{};
    const char* end = text.data() + text.size();
    auto [last, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || last != end)
        throw OpenMM::OpenMMException(
                "The XML of a UniSimIntegrator has " + name + "=\"" + toUtf8(text.substr(0, 40)) +
                "\", which is no number that fits; it is damaged, so load another one.");
    return value;
}

/**
 * Read a property that XML of before may lack.
 */
template <typename Number>
Number readNumber(const OpenMM::SerializationNode& node, const std::string& name, Number otherwise) {
    return node.hasProperty(name) ? readNumber<Number>(node, name) : otherwise;
}

/**
 * Read a property that is 0 or 1.
 */
inline bool readFlag(const OpenMM::SerializationNode& node, const std::string& name) {
    int value = readNumber<int>(node, name);
    if (value != 0 && value != 1)
        throw OpenMM::OpenMMException("The XML of a UniSimIntegrator has " + name + "=\"" +
                                      std::to_string(value) +
                                      "\", which must be 0 or 1; it is damaged, so load another one.");
    return value == 1;
}

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMPROPERTIES_H_
