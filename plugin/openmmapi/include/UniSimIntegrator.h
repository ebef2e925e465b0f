#ifndef OPENMM_UNISIMINTEGRATOR_H_
#define OPENMM_UNISIMINTEGRATOR_H_

#include "UniSimAcceptanceStatistics.h"
#include "UniSimTimings.h"
#include "internal/windowsExportUniSim.h"
#include "openmm/Integrator.h"
#include "openmm/Kernel.h"
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace UniSimPlugin {

class UniSimJump;
class UniSimModel;
class UniSimStopwatch;
struct UniSimCounters;
struct UniSimSystemFacts;

/**
 * This is an Integrator that advances a System by jumps of a long lag time, typically 10 to 100 ps, with a
 * trained UniSim network instead of Newton's equation.  One call of step(1) is one jump: a stochastic
 * differential equation is solved in a few substeps whose law is given by a model file, a TorchScript archive
 * that openmm_unisim exports. The step size is the lag time the model was trained for and can't be changed.
 *
 * In each step the integrator calls updateContextState() once, proposes a jump, accepts or rejects it
 * according to the acceptance mode, projects the positions onto the constraints, recomputes virtual sites,
 * draws new velocities from the Maxwell-Boltzmann distribution (unless told not to), and advances the time by
 * the lag time.  Time and step count advance on a rejection, too.  Forces that act once per step, such as
 * barostats, act once per jump, so their frequency counts jumps.
 *
 * A System knows neither elements nor bonds, but the model needs them: call setAtomicNumbers() and setBonds()
 * before creating a Context.  Use setParticles() to name the particles that jump when they aren't all of
 * them.
 */
class OPENMM_EXPORT_UNISIM UniSimIntegrator : public OpenMM::Integrator {
public:
    /** This is an enumeration of the ways to decide whether a proposed jump is taken. */
    enum AcceptanceMode {
        /** Every jump with finite positions is accepted. */
        AcceptAll = 0,
        /**
         * A jump is accepted by the Metropolis-Hastings rule on the weights of its path and of the reversed
         * path, so that the Boltzmann distribution of the System is sampled exactly whatever the quality of
         * the model.
         */
        MetropolisHastings = 1
    };
    /**
     * This is an enumeration of the sources of guidance to another environment, such as a solvent, a
     * restraint or a field that the model was not trained in.  Guidance moves populations; it promises no
     * kinetics.
     */
    enum GuidanceSource {
        /** Jumps are those of the environment that the model was trained in. */
        NoGuidance = 0,
        /** A network in the model file guides the jumps to the environment that it was trained for. */
        LearnedGuidance = 1,
        /**
         * The forces of the guidance force groups guide the jumps, evaluated in every substep at the end
         * points that the model predicts.
         */
        OpenMMGuidance = 2,
        /**
         * The network guides at the start of a jump and the forces of the guidance force groups at its end.
         */
        OpenMMResidualGuidance = 3,
        /**
         * Each jump is chosen among several from the same start, in proportion to the Boltzmann weight of the
         * energy of the guidance force groups to the power of the model's calibrated strength.
         */
        Resampling = 4
    };
    /**
     * Create a UniSimIntegrator.
     *
     * @param modelFile    the path of the model file
     * @param temperature  the temperature of the heat bath (in Kelvin)
     * @param numSubsteps  the number of substeps of a jump; 0 selects the number the model was made for
     * @param expectedHash the SHA-256 that the model file must have, as 64 lower case hexadecimal digits, by
     * which the caller vouches for it; if empty, UniSimTrust must know the file
     */
    explicit UniSimIntegrator(const std::string& modelFile, double temperature, int numSubsteps = 0,
            const std::string& expectedHash = "");
    ~UniSimIntegrator();
    /** Get the path of the model file. */
    const std::string& getModelFile() const;
    /** Get the SHA-256 of the model file, as 64 hexadecimal digits. */
    const std::string& getModelHash() const;
    /**
     * Get one entry of the model file's metadata, such as "environment" or "lag_time_ps".
     *
     * @param key   the name of the entry
     * @return its text
     */
    std::string getModelMetadata(const std::string& key) const;
    /** Get the time by which one step advances the System, which is also the step size (in ps). */
    double getLagTime() const;
    /**
     * Set the step size.  It is a property of the model, so every value but the lag time throws an exception.
     *
     * @param size    the lag time of the model (in ps)
     */
    void setStepSize(double size) override;
    /** Get the temperature of the heat bath (in Kelvin). */
    double getTemperature() const;
    /**
     * Set the temperature of the heat bath.  Outside the range of the model, jumps are refused unless the
     * acceptance mode is MetropolisHastings.
     *
     * @param temperature    the temperature of the heat bath (in Kelvin)
     */
    void setTemperature(double temperature);
    /** Get the number of substeps of a jump. */
    int getNumSubsteps() const;
    /**
     * Set the number of substeps of a jump.  A number for which the model offers no time grid throws an
     * exception.
     *
     * @param number    the number of substeps; 0 selects the number the model was made for
     */
    void setNumSubsteps(int number);
    /** Get the interpolant times, from 0 to 1, at which the substeps begin and end. */
    const std::vector<double>& getTimeGrid() const;
    /** Get where the guidance of the jumps comes from. */
    GuidanceSource getGuidanceSource() const;
    /**
     * Set where the guidance of the jumps comes from.  The default is that of the model file.  A source that
     * the file doesn't serve throws an exception; NoGuidance and Resampling are served by all.  If the file
     * has no guidance of its own, the guidance scale becomes 1.
     */
    void setGuidanceSource(GuidanceSource source);
    /** Get the strength of the guidance. */
    double getGuidanceScale() const;
    /**
     * Set the strength of the guidance.  0 switches it off, 1 is the strength the model was calibrated for.
     *
     * @param scale    the strength, not negative
     */
    void setGuidanceScale(double scale);
    /** Get which force groups guide the jumps, as a set of bit flags. */
    int getGuidanceForceGroups() const;
    /**
     * Set which force groups guide the jumps.  This is interpreted as a set of bit flags: the forces from
     * group i will be included if (groups&(1<<i)) != 0.  By default, all force groups are included.
     */
    void setGuidanceForceGroups(int groups);
    /** Get the largest length of a guiding force on a particle (in kJ/mol/nm); 0 means no limit. */
    double getGuidanceForceLimit() const;
    /**
     * Set the largest length of a guiding force on a particle.  Longer ones are shortened to it and counted
     * (see getNumClipped()).  This changes the environment that is guided to, but not what MetropolisHastings
     * samples.  The default is 0: no limit.
     *
     * @param limit    the largest length (in kJ/mol/nm), or 0
     */
    void setGuidanceForceLimit(double limit);
    /** Get among how many jumps one is chosen when the guidance source is Resampling. */
    int getNumResampled() const;
    /**
     * Set among how many jumps one is chosen when the guidance source is Resampling.  The default is 8.  The
     * more, the closer to the tilted law; each costs a jump.
     */
    void setNumResampled(int number);
    /** Get how the integrator decides whether a jump is taken. */
    AcceptanceMode getAcceptanceMode() const;
    /**
     * Set how the integrator decides whether a jump is taken.  In a Context, MetropolisHastings throws an
     * exception with a barostat or thermostat, or when particles that jump take part in constraints.
     */
    void setAcceptanceMode(AcceptanceMode mode);
    /** Get whether a jump that turns a stereocenter over is rejected. */
    bool getKeepsStereocenters() const;
    /**
     * Set whether a jump that turns a stereocenter over is rejected, in both acceptance modes, and counted
     * (getNumTurned()).  The default is true: MD at such temperatures never does it, and a network seldom.
     * With MetropolisHastings the molecule's own hand is then sampled exactly, without its mirror images.
     */
    void setKeepsStereocenters(bool keep);
    /** Get how many jumps are proposed at once. */
    int getProposalBatchSize() const;
    /**
     * Set how many jumps MetropolisHastings proposes at once, which networks do faster than one by one.  Each
     * step decides on one, in order; the first that is accepted ends the batch.  The default is 1, and the
     * chain is the same for every number.
     */
    void setProposalBatchSize(int number);
    /** Get the indices of the particles that jump.  An empty list means all particles of the System. */
    const std::vector<int>& getParticles() const;
    /**
     * Set the indices of the particles that jump; the others stay where they are.  Virtual sites and
     * particles without mass can't jump.  This takes effect in the next Context that is created or
     * reinitialized.
     *
     * @param particles    the indices in the System, in the order in which the model sees the particles;
     * empty means all of them
     */
    void setParticles(const std::vector<int>& particles);
    /** Get the atomic numbers of the particles that jump. */
    const std::vector<int>& getAtomicNumbers() const;
    /**
     * Set the atomic numbers of the particles that jump, in the order of getParticles().  This takes effect
     * in the next Context that is created or reinitialized.
     */
    void setAtomicNumbers(const std::vector<int>& atomicNumbers);
    /** Get the bonds between the particles that jump, as pairs of System indices. */
    const std::vector<std::pair<int, int>>& getBonds() const;
    /**
     * Set the bonds between the particles that jump, as pairs of System indices.  This takes effect in the
     * next Context that is created or reinitialized.
     */
    void setBonds(const std::vector<std::pair<int, int>>& bonds);
    /** Get whether new velocities are drawn from the Maxwell-Boltzmann distribution after each jump. */
    bool getRandomizesVelocities() const;
    /**
     * Set whether new velocities are drawn from the Maxwell-Boltzmann distribution after each jump.  The
     * network moves positions only, so velocities that are kept have nothing to do with the new positions.
     * The default is true.
     */
    void setRandomizesVelocities(bool randomize);
    /** Get the random number seed.  See setRandomNumberSeed() for details. */
    int getRandomNumberSeed() const;
    /**
     * Set the random number seed.  The noise of each jump is a function of the seed, the number of the jump,
     * the substep and the particle, so the same seed gives the same noise on every platform.  This takes
     * effect in the next Context that is created or reinitialized.
     *
     * If seed is set to 0 (which is the default value assigned), a unique seed is chosen when a Context is
     * created.
     */
    void setRandomNumberSeed(int seed);
    /**
     * Get how many threads the model may use on the CPU; 0 means that it is chosen.  See setNumThreads().
     */
    int getNumThreads() const;
    /**
     * Set how many threads the model may use on the CPU.  The number that the process had set for torch is
     * restored after each call of the model.
     *
     * With 0, the default, molecules of fewer than 200 atoms and model files with fused operators have one.
     * Otherwise there are as many as are set for torch (OMP_NUM_THREADS, torch.set_num_threads()), but on a
     * platform with a property "Threads", such as CPU, no more than that says.
     *
     * @param number    the number of threads; 0 lets the integrator choose
     */
    void setNumThreads(int number);
    /**
     * Get the number of jumps that were tried in this Context, which selects the noise of the next one.
     */
    long long getJumpIndex() const;
    /** Get the device of torch on which the network is, such as "cpu" or "cuda:0". */
    std::string getModelDevice() const;
    /**
     * Set the device of torch on which the network is, whatever the Context's Platform; "cpu" by default.
     * Positions go there and back in each call of the network.  A torch or machine without the device throws
     * an exception, and the network stays where it was.  Jumps on two devices from one seed agree to rounding
     * only.
     */
    void setModelDevice(const std::string& device);
    /** Set the number that selects the noise of the next jump. */
    void setJumpIndex(long long index);
    /** Get the number of jumps that were tried. */
    long long getNumProposed() const;
    /** Get the number of jumps that moved the System. */
    long long getNumAccepted() const;
    /** Get the number of jumps that were rejected because a position, force or energy was not finite. */
    long long getNumNaN() const;
    /** Get the number of jumps that were rejected because they would have turned a stereocenter over. */
    long long getNumTurned() const;
    /** Get how often a guiding force was shortened to the limit of setGuidanceForceLimit(). */
    long long getNumClipped() const;
    /**
     * Get the logarithm of the last jump's acceptance ratio, before the minimum with 1 is taken.  It is 0 for
     * a jump that is accepted without being judged, and minus infinity for one that is not finite.
     */
    double getLastLogAcceptance() const;
    /** Get what the acceptance ratios of the jumps were that MetropolisHastings has judged. */
    UniSimAcceptanceStatistics getAcceptanceStatistics() const;
    /** Set all counts to zero.  This does not change the noise of the next jump. */
    void resetCounters();
    /**
     * Get where the time of the jumps went since the integrator was created or resetTimings() was called.  It
     * is a measurement and no state, so neither XML nor checkpoints hold it.
     */
    UniSimTimings getTimings() const;
    /** Set all times and counts of getTimings() to zero. */
    void resetTimings();
    /** Compute the temperature that the current velocities have (in Kelvin). */
    double computeSystemTemperature();
    /** Get what users of MD might not expect in this Context, in a sentence each. */
    std::vector<std::string> getNotices() const;
    /**
     * Advance a simulation through time by taking a series of jumps.
     *
     * @param steps   the number of jumps to take
     */
    void step(int steps) override;

protected:
    /**
     * This will be called by the Context when it is created.  It checks that the System, the particles and
     * the model fit together, and prepares the data movement for the Context's platform.
     */
    void initialize(OpenMM::ContextImpl& context) override;
    /**
     * This will be called by the Context when it is destroyed to let the Integrator do any necessary cleanup.
     */
    void cleanup() override;
    /** Get the names of all Kernels used by this Integrator. */
    std::vector<std::string> getKernelNames() override;
    /** Compute the kinetic energy of the system at the current time. */
    double computeKineticEnergy() override;
    /** Velocities are at the same time as positions, so no forces are needed. */
    bool kineticEnergyRequiresForce() const override;
    /** Proposals that were made ahead are dropped when the state of the Context is changed. */
    void stateChanged(OpenMM::State::DataType changed) override;
    /** Write the seed, the number of the next jump and the counts. */
    void createCheckpoint(std::ostream& stream) const override;
    /** Read what createCheckpoint() wrote. */
    void loadCheckpoint(std::istream& stream) override;
    /** Store the seed, the number of the next jump and the counts in a State. */
    void serializeParameters(OpenMM::SerializationNode& node) const override;
    /**
     * Load what serializeParameters() stored.  A State that another integrator made holds none of it, and
     * changes nothing; neither does one of another model, which getNotices() tells.
     */
    void deserializeParameters(const OpenMM::SerializationNode& node) override;

private:
    friend class UniSimJump;
    void setActiveSeed(int seed);
    void checkContext() const;
    void announceNotices();
    std::string modelFile;
    std::unique_ptr<UniSimStopwatch> stopwatch;
    std::shared_ptr<UniSimModel> model;
    double temperature, guidanceScale, guidanceForceLimit;
    std::vector<double> timeGrid;
    int guidanceForceGroups, numResampled, proposalBatchSize, randomNumberSeed, numThreads;
    AcceptanceMode acceptanceMode;
    GuidanceSource guidanceSource;
    bool randomizesVelocities, keepsStereocenters, hasStateOfAnotherModel, particlesChanged, halfLoaded;
    std::set<std::string> announced; // notices
    std::vector<int> particles, atomicNumbers;
    std::vector<std::pair<int, int>> bonds;
    std::unique_ptr<UniSimCounters> counters;
    std::unique_ptr<UniSimSystemFacts> facts;
    long long jumpIndex;
    int activeSeed;
    std::unique_ptr<UniSimJump> jump;
    OpenMM::Kernel kernel;
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMINTEGRATOR_H_
