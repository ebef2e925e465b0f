#ifndef OPENMM_UNISIMTRUST_H_
#define OPENMM_UNISIMTRUST_H_

#include "internal/windowsExportUniSim.h"
#include <string>

namespace UniSimPlugin {

/**
 * This class says which model files the process may run.  A model file is a program, so one that nothing
 * vouches for is refused before anything in it is interpreted.  These vouch for a file:
 *
 * <ul>
 * <li>the expectedHash that is passed to the constructor of UniSimIntegrator,</li>
 * <li>a hash that was passed to add(),</li>
 * <li>the function that was passed to setCheck(); the Python package sets one, which knows the shipped models
 * and those that the user made or trusted.</li>
 * </ul>
 *
 * The hash in a serialized UniSimIntegrator vouches for nothing, since whoever wrote the XML chose it.
 */
class OPENMM_EXPORT_UNISIM UniSimTrust {
public:
    /**
     * A function that is asked about a file that nothing else vouches for.  It returns the message of the
     * exception to throw, or an empty string if the file may be run.
     */
    typedef std::string (*Check)(const std::string& modelFile, const std::string& hash);
    /**
     * Trust every model file with a certain content, until the process ends.
     *
     * @param hash   the SHA-256 of the file, as 64 lower case hexadecimal digits
     */
    static void add(const std::string& hash);
    /**
     * Set the function that is asked about files that were not added; nullptr trusts none of them.
     */
    static void setCheck(Check check);
    /**
     * Throw an exception unless a model file may be run.
     *
     * @param modelFile  the path of the file, for the message
     * @param hash       its SHA-256
     */
    static void require(const std::string& modelFile, const std::string& hash);
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMTRUST_H_
