#ifndef OPENMM_UNISIMJUMP_H_
#define OPENMM_UNISIMJUMP_H_

#include "UniSimIntegrator.h"
#include "UniSimKernels.h"
#include "internal/UniSimImages.h"
#include "internal/UniSimModel.h"
#include "internal/UniSimNoise.h"
#include "internal/UniSimStereocenters.h"
#include "internal/UniSimStopwatch.h"
#include "openmm/Vec3.h"
#include "openmm/internal/ContextImpl.h"
#include <deque>
#include <map>
#include <optional>
#include <vector>

namespace UniSimPlugin {

/**
 * The algorithm of a jump, the same on every platform.
 *
 * A jump of n substeps is a path x^0, ..., x^n with x^{k+1} drawn from the model's law K_k(. | x^k; x^0).  In
 * the acceptance mode MetropolisHastings it is accepted with probability min(1, a),
 *
 * log a = -[U(x^n) - U(x^0)]/kT + sum_k log K_k(y^{k+1} | y^k; y^0) - sum_k log K_k(x^{k+1} | x^k; x^0),
 *
 * where y^k = x^{n-k} is the reversed path (docs/theory.md, "Metropolis on paths").
 *
 * With the guidance source Resampling several jumps are made from one start (UniSimResampling.cpp), and one
 * is chosen in proportion to its weight.
 *
 * In that mode several paths can be proposed at once, from one start (UniSimProposals.cpp).  Each is that of
 * the noise of a later jump: if the jumps before it are rejected, it is the path which that jump would have
 * proposed by itself.  So the chain is the one without batches, and every rejection is a step of it.
 *
 * The model sees positions relative to the center of the particles at the start of the jump, so that single
 * precision loses nothing far from the origin, and, unless it knows of periodic boxes, molecules whole and in
 * neighboring images (UniSimImages).  The Context keeps each particle in the image in which it was.
 */
class UniSimJump {
public:
    /**
     * Prepare jumps in a Context.  This throws an exception if System, integrator and model don't fit
     * together.
     */
    UniSimJump(OpenMM::ContextImpl& context, UniSimIntegrator& integrator, MoveUniSimDataKernel& data);
    /**
     * Take one step: propose a jump, accept or reject it, and advance the time.
     */
    void execute();
    /**
     * Continue with the noise of another seed.
     */
    void setSeed(int seed);
    /**
     * Drop paths that were proposed ahead, since something outside of a jump has changed the Context's state.
     */
    void forgetAhead();
    /**
     * Get whether a jump was made whose noise an earlier jump in this Context had, too.
     */
    bool hasRepeatedNoise() const {
        return repeatedNoise;
    }

private:
    /** The points of a path relative to the center of its start, and what is known about their densities. */
    struct Path {
        long long jump = 0; // whose noise it has
        bool finite = true;
        std::vector<double> times;
        std::vector<std::vector<OpenMM::Vec3>> points;
        double logDensity = 0.0;
        int numSubsteps() const {
            return (int)times.size() - 1;
        }
    };
    /** All that a path depends on but the Context's parameters. */
    struct Conditions {
        std::vector<double> times;
        double kT, guidanceScale, guidanceForceLimit;
        int guidanceSource, guidanceForceGroups, integrationForceGroups, seed, mode;
        std::vector<OpenMM::Vec3> start, box;
        bool operator==(const Conditions& other) const = default;
    };
    static const int MAX_BATCH_PARTICLES = 4096; // copies times particles of one call of the model
    struct Outcome {
        bool finite, accepted;
        double logAcceptance;
    };
    void checkAllowed() const;
    void readStart();
    Outcome jump();
    Outcome resample();
    void walkCandidates(int first, int number, std::vector<std::vector<OpenMM::Vec3>>& ends);
    double computeLogWeight(const std::vector<OpenMM::Vec3>& end);
    Path takePath(bool judged);
    Conditions getConditions() const;
    void propose(int number, bool judged);
    void advancePaths(int k, const std::vector<OpenMM::Vec3>& normals, bool judged);
    Outcome decide(const Path& path);
    Outcome rejectNotFinite() const;
    std::vector<OpenMM::Vec3> getBox() const;
    bool staysInImages(const std::vector<OpenMM::Vec3>& end) const;
    bool computeReversedDensity(const Path& path, double& logDensity);
    void addState(const Path& path, int k, UniSimModelState& state) const;
    bool usesForces() const;
    void computeForces(UniSimModelState& state, const OpenMM::Vec3& origin, std::vector<bool>& finite);
    bool computeForcesAt(const std::vector<OpenMM::Vec3>& points, const OpenMM::Vec3& origin,
            std::vector<OpenMM::Vec3>& forces);
    double computePotentialEnergy(int groups);
    static bool isInReach(const std::vector<OpenMM::Vec3>& points);
    int chooseNumThreads() const;
    /** Whether a jump to there is refused, and counted, since it turns a stereocenter over. */
    bool turnsOver(const std::vector<OpenMM::Vec3>& end) const;
    Outcome rejectTurned();
    void place(const OpenMM::Vec3* points, const OpenMM::Vec3& origin);
    bool project();
    void restore();
    void setSurroundings(UniSimModelState& state) const;
    void drawNormals(
            int firstSubstep, int number, int copies, std::vector<std::vector<OpenMM::Vec3>>& normals);
    void drawVelocities();
    /** Note the number of a jump; false if it was noted before. */
    bool remember(long long jump);
    void record(const Outcome& outcome);
    OpenMM::ContextImpl& context;
    UniSimIntegrator& integrator;
    MoveUniSimDataKernel& data;
    UniSimModel& model;
    UniSimStopwatch& stopwatch;
    UniSimNoise noise;
    std::vector<int> particles;
    std::vector<std::pair<int, int>> bonds; // as indices into particles
    std::vector<OpenMM::Vec3> start;        // of the jumping particles, as the model sees them
    std::optional<UniSimStereocenters> stereocenters;
    std::optional<UniSimImages> images; // where the System has a box and the model doesn't see it
    std::vector<OpenMM::Vec3> shifts;   // from the Context's positions to those in start; empty if none
    OpenMM::Vec3 center;
    double kT, lagTime, guidanceAlpha;
    std::pair<double, double> temperatureRange;
    int platformThreads;
    bool passesBox, removesDrift, constrained, moved, projected, positionsChecked, executing, usesForceMeans;
    std::deque<Path> ahead; // of this jump and later ones, should this one be rejected
    Conditions aheadConditions;
    std::map<long long, long long> made; // jumps of that seed in rows: first, one beyond the last
    int seedOfMade;
    bool repeatedNoise;
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMJUMP_H_
