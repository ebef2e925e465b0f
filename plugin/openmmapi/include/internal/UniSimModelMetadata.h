#ifndef OPENMM_UNISIMMODELMETADATA_H_
#define OPENMM_UNISIMMODELMETADATA_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace UniSimPlugin {

/**
 * The metadata of a model file: one text per key.  Lists are joined by commas.  Every method throws an
 * OpenMMException that names file and key when an entry is missing or has the wrong form.
 */
class UniSimModelMetadata {
public:
    /** The newest format of model files that this version reads. */
    static const int FORMAT_VERSION = 4;
    /**
     * Create an object without entries, for a file that is yet to be read.
     *
     * @param file     the path of the model file, for messages
     */
    explicit UniSimModelMetadata(const std::string& file);
    /**
     * Set the entries, and check the format version and the presence of what the integrator needs.
     */
    void setEntries(const std::map<std::string, std::string>& entries);
    bool contains(const std::string& key) const;
    std::string getText(const std::string& key) const;
    double getNumber(const std::string& key) const;
    std::vector<double> getNumbers(const std::string& key) const;
    bool getFlag(const std::string& key) const;
    /** Get the range of temperatures the model may be used in (in Kelvin). */
    std::pair<double, double> getTemperatureRange() const;
    /** Throw an exception for this model file. */
    [[noreturn]] void fail(const std::string& message) const;

private:
    std::string file;
    std::map<std::string, std::string> entries;
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMMODELMETADATA_H_
