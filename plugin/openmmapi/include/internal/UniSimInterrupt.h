#ifndef OPENMM_UNISIMINTERRUPT_H_
#define OPENMM_UNISIMINTERRUPT_H_

#include "internal/windowsExportUniSim.h"
#include "openmm/OpenMMException.h"
#include <string>

namespace UniSimPlugin {

/**
 * This is thrown out of a jump when the user asked to stop (Ctrl-C).  The System is left as the last whole
 * jump left it.
 */
class OPENMM_EXPORT_UNISIM UniSimInterrupted : public OpenMM::OpenMMException {
public:
    UniSimInterrupted();
    /** One that stops for a notice that the user made an error of; the next jump wasn't begun. */
    explicit UniSimInterrupted(const std::string& message);
};

/**
 * Set the function that is asked, a few times per second between substeps, whether the user wants to stop.
 */
void OPENMM_EXPORT_UNISIM setUniSimInterruptCheck(bool (*check)());

/**
 * Ask the function that was set, at most a few times per second, and throw UniSimInterrupted if it says so.
 */
void throwIfUniSimInterrupted();

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMINTERRUPT_H_
