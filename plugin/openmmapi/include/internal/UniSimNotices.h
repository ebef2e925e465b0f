#ifndef OPENMM_UNISIMNOTICES_H_
#define OPENMM_UNISIMNOTICES_H_

#include "internal/windowsExportUniSim.h"
#include <string>

namespace UniSimPlugin {

/**
 * Tell the user a notice.  It goes to the handler of this process; without one, to the standard error
 * stream.
 */
void announceUniSimNotice(const std::string& notice);

/**
 * Set who hears the notices.  The handler returns whether the jumps may go on; if not, step() throws an
 * exception with the notice's text before the next jump.
 */
OPENMM_EXPORT_UNISIM void setUniSimNoticeHandler(bool (*handler)(const std::string& notice));

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMNOTICES_H_
