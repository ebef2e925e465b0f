#ifndef OPENMM_UNISIMMODEL_H_
#define OPENMM_UNISIMMODEL_H_

#include "internal/UniSimModelMetadata.h"
#include "internal/UniSimStopwatch.h"
#include "openmm/Vec3.h"
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace UniSimPlugin {

/**
 * The state of one or more copies of the jumping particles at the start of a substep.  Arrays of vectors hold
 * all particles of the first copy, then those of the second, and so on.
 */
struct UniSimModelState {
    /** x_t (in nm) */
    std::vector<OpenMM::Vec3> positions;
    /** x_0, where the jump of each copy began (in nm) */
    std::vector<OpenMM::Vec3> initialPositions;
    /** the interpolant times at which the substep of each copy begins and ends, 0 <= t < t_next <= 1 */
    std::vector<double> times, nextTimes;
    /** OpenMM's forces at the guidance points (in kJ/mol/nm), or empty */
    std::vector<OpenMM::Vec3> forces;
    /** the vectors of the periodic box (in nm), or empty */
    std::vector<OpenMM::Vec3> box;
    /** Boltzmann's constant times the temperature (in kJ/mol) */
    double kT = 0.0;
    /** the strength of the guidance in units of the calibrated one, and the calibrated one */
    double guidanceScale = 0.0, guidanceAlpha = 0.0;
    /** where guidance comes from, a GuidanceSource */
    int guidanceSource = 0;
};

/**
 * A model file, loaded.  Its code is in one of two containers (UniSimContainer.h); docs/model_file.md
 * describes what a file must hold.  All exceptions are OpenMMExceptions of one sentence.
 */
class UniSimModel {
public:
    /**
     * While a session lives, the thread that began it is set up for the model: denormal numbers are zero, and
     * torch has the number of threads that is set.  Without one each call sets the thread up and back, so a
     * session makes a series of calls cheaper.  Nothing of OpenMM may be computed in it.
     */
    class Session {
    public:
        explicit Session(UniSimModel& model);
        ~Session();

    private:
        struct Implementation;
        std::unique_ptr<Implementation> implementation;
    };
    /**
     * Load a model file.  Its SHA-256 and its metadata are checked before any code in it is interpreted.
     *
     * @param file          the path of the file
     * @param expectedHash  the SHA-256 that the file must have; empty if it may have any
     */
    explicit UniSimModel(const std::string& file, const std::string& expectedHash = "");
    ~UniSimModel();
    /**
     * Get the SHA-256 of the file, as 64 hexadecimal digits.
     */
    const std::string& getHash() const;
    const UniSimModelMetadata& getMetadata() const;
    /**
     * Set what the particles are.
     *
     * @param atomicNumbers  the atomic number of each particle
     * @param bonds          the bonds, as pairs of indices into atomicNumbers
     */
    void setParticles(const std::vector<int>& atomicNumbers, const std::vector<std::pair<int, int>>& bonds);
    /**
     * Load the file again for another device of torch, such as "cpu" or "cuda:0"; numbers go there and back
     * in each call.
     */
    void setDevice(const std::string& name);
    /**
     * Get the device on which the model is.
     */
    std::string getDevice() const;
    /**
     * Set what measures the time inside the model; it must live as long as the model is used.
     */
    void setStopwatch(UniSimStopwatch& stopwatch);
    /**
     * Set how many threads of torch are used while a method runs; 0 leaves the number that is set.
     */
    void setNumThreads(int number);
    /**
     * Get how many threads are set for torch in the calling thread.
     */
    static int getNumTorchThreads();
    /**
     * Get the interpolant times of a jump of n substeps, n+1 numbers from 0 to 1.
     */
    std::vector<double> getTimeGrid(int n);
    /**
     * Get the points at which OpenMM's forces are wanted (in nm), or an empty list when none are.
     */
    std::vector<OpenMM::Vec3> getGuidancePoints(const UniSimModelState& state);
    /**
     * Take a substep.
     *
     * @param state          where it starts
     * @param noise          standard normal numbers
     * @param nextPositions  on exit, where it ends (in nm)
     * @return the logarithm of the density of each copy's substep, nan if it has none
     */
    std::vector<double> step(const UniSimModelState& state, const std::vector<OpenMM::Vec3>& noise,
            std::vector<OpenMM::Vec3>& nextPositions);
    /**
     * Get the logarithm of the density of given substeps, nan where there is none.
     *
     * @param nextPositions  where each copy's substep ends (in nm)
     * @param state          where it starts
     */
    std::vector<double> getLogDensity(
            const std::vector<OpenMM::Vec3>& nextPositions, const UniSimModelState& state);

private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation;
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMMODEL_H_
