#ifndef OPENMM_UNISIMNOISE_H_
#define OPENMM_UNISIMNOISE_H_

#include "internal/windowsExportUniSim.h"
#include "openmm/Vec3.h"
#include <array>
#include <cstdint>

namespace UniSimPlugin {

/**
 * Counter-based random numbers: each is a function of the seed and of what it is for, so that no state needs
 * to be kept.  The generator is Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
 * easy as 1, 2, 3", SC 2011).  openmm_unisim/simulation/noise.py gives the same numbers in Python.
 *
 * The key is (seed, stream); the counter is (particle, substep, low half of the jump's number, high half).  A
 * block of four words r0..r3 becomes uniforms u = (r + 0.5) 2^-32 and by Box and Muller's formula the normals
 * sqrt(-2 ln u0) cos(2 pi u1) and sqrt(-2 ln u0) sin(2 pi u1).  These are the x and y components for a
 * particle; its z component is the first normal of the block whose counter has the highest bit of the substep
 * set.
 */
class OPENMM_EXPORT_UNISIM UniSimNoise {
public:
    enum Stream : std::uint32_t {
        SubstepStream = 0,
        VelocityStream = 1,
        AcceptanceStream = 2,
        ResamplingStream = 3,
        FirstCandidateStream = 0x10000
    };
    using Block = std::array<std::uint32_t, 4>;
    /**
     * Create the noise of a Context.
     *
     * @param seed    the random number seed
     */
    explicit UniSimNoise(int seed);
    /**
     * Compute one block of Philox4x32-10.
     *
     * @param counter   the four words of the counter
     * @param key0      the first word of the key
     * @param key1      the second word of the key
     */
    static Block philox(Block counter, std::uint32_t key0, std::uint32_t key1);
    /**
     * Get three independent standard normal numbers.
     *
     * @param stream    what they are for
     * @param step      the number of the jump
     * @param substep   the number of the substep
     * @param particle  the index of the particle
     */
    OpenMM::Vec3 getNormals(Stream stream, long long step, int substep, int particle) const;
    /**
     * Fill an array with what getNormals() gives for successive particles.
     *
     * @param stream    what they are for
     * @param step      the number of the jump
     * @param substep   the number of the substep
     * @param first     the index of the first particle
     * @param count     the number of particles
     * @param normals   the numbers of each particle are put here
     */
    void fillNormals(
            Stream stream, long long step, int substep, int first, int count, OpenMM::Vec3* normals) const;
    /**
     * Get the stream of the substeps of one of several jumps from the same start.  The first one has that of
     * a jump alone.
     *
     * @param candidate   the index of the jump among them
     */
    static Stream getCandidateStream(int candidate);
    /**
     * Get the uniform number in (0, 1) that chooses among several jumps from the same start.
     *
     * @param step      the number of the jump
     */
    double getResamplingUniform(long long step) const;
    /**
     * Get the uniform number in (0, 1) that decides about a jump.
     *
     * @param step      the number of the jump
     */
    double getAcceptanceUniform(long long step) const;

private:
    Block getBlock(Stream stream, long long step, std::uint32_t substep, int particle) const;
    std::uint32_t seed;
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMNOISE_H_
