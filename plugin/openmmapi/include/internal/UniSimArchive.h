#ifndef OPENMM_UNISIMARCHIVE_H_
#define OPENMM_UNISIMARCHIVE_H_

#include <functional>
#include <string>

namespace UniSimPlugin {

/** What an entry of an archive holds, uncompressed; the argument is its name. */
typedef std::function<std::string(const std::string& name)> UniSimInflate;

/**
 * Compare every entry of a zip archive with its checksum, which torch's reader doesn't.  What is damaged must
 * not get as far as the machine code of a package.  An exception that says what is wrong is thrown if the
 * archive isn't whole, or an entry occurs twice.
 *
 * @param content   the bytes of the archive
 * @param inflate   is asked for entries that are compressed, as TorchScript's code is
 */
void checkArchive(const std::string& content, const UniSimInflate& inflate);

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMARCHIVE_H_
