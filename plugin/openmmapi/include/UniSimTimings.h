#ifndef OPENMM_UNISIMTIMINGS_H_
#define OPENMM_UNISIMTIMINGS_H_

namespace UniSimPlugin {

/**
 * Where the time of a UniSimIntegrator's jumps went, by the wall clock, and what was called.
 */
struct UniSimTimings {
    /** the time inside the model: its substeps, their densities and guidance points (in s) */
    double model = 0.0;
    /** the time in which OpenMM computed forces and energies (in s) */
    double forces = 0.0;
    /** the time in which random numbers were made (in s) */
    double noise = 0.0;
    /** the time of everything else in a jump: moving and converting data, constraints, virtual sites,
     * velocities and updateContextState() (in s) */
    double handOver = 0.0;
    /** the number of jumps */
    long long jumps = 0;
    /** the number of calls of the model; one call may serve several substeps of a reversed path */
    long long modelCalls = 0;
    /** the number of evaluations of forces or of the potential energy */
    long long forceEvaluations = 0;
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMTIMINGS_H_
