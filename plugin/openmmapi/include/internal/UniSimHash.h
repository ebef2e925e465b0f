#ifndef OPENMM_UNISIMHASH_H_
#define OPENMM_UNISIMHASH_H_

#include <string>

namespace UniSimPlugin {

/**
 * Compute the SHA-256 (FIPS 180-4) of some bytes.
 *
 * @param bytes   the bytes
 * @return 64 lowercase hexadecimal digits
 */
std::string computeSha256(const std::string& bytes);

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMHASH_H_
