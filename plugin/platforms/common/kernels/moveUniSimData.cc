// Device code of CommonMoveUniSimDataKernel, compiled at run time by OpenCL or NVRTC.  "real", "mixed", GLOBAL and the
// rest are OpenMM's.  Arrays of the platform are in its own order, which changes; index[i] is the System's index of the
// atom in place i, and place[i] the place of the i-th jumping particle.

/** Keep the positions of all atoms in the System's order, as they are stored. */
KERNEL void savePositions(GLOBAL const real4* RESTRICT posq, GLOBAL const int* RESTRICT index,
        GLOBAL real4* RESTRICT saved
#ifdef USE_MIXED_PRECISION
        , GLOBAL const real4* RESTRICT posqCorrection, GLOBAL real4* RESTRICT savedCorrection
#endif
        ) {
    for (int i = GLOBAL_ID; i < NUM_ATOMS; i += GLOBAL_SIZE) {
        saved[index[i]] = posq[i];
#ifdef USE_MIXED_PRECISION
        savedCorrection[index[i]] = posqCorrection[i];
#endif
    }
}

/** Put all atoms back to the kept positions; the fourth component, which may be a charge, stays. */
KERNEL void restorePositions(GLOBAL real4* RESTRICT posq, GLOBAL const int* RESTRICT index,
        GLOBAL const real4* RESTRICT saved
#ifdef USE_MIXED_PRECISION
        , GLOBAL real4* RESTRICT posqCorrection, GLOBAL const real4* RESTRICT savedCorrection
#endif
        ) {
    for (int i = GLOBAL_ID; i < NUM_ATOMS; i += GLOBAL_SIZE) {
        real4 before = saved[index[i]];
        posq[i] = make_real4(before.x, before.y, before.z, posq[i].w);
#ifdef USE_MIXED_PRECISION
        posqCorrection[i] = savedCorrection[index[i]];
#endif
    }
}

/** Positions of the jumping particles, in their order. */
KERNEL void gatherPositions(GLOBAL const real4* RESTRICT posq, GLOBAL const int* RESTRICT place,
        GLOBAL mixed4* RESTRICT positions
#ifdef USE_MIXED_PRECISION
        , GLOBAL const real4* RESTRICT posqCorrection
#endif
        ) {
    for (int i = GLOBAL_ID; i < NUM_PARTICLES; i += GLOBAL_SIZE) {
        real4 p = posq[place[i]];
#ifdef USE_MIXED_PRECISION
        real4 c = posqCorrection[place[i]];
        positions[i] = make_mixed4(p.x + (mixed) c.x, p.y + (mixed) c.y, p.z + (mixed) c.z, 0);
#else
        positions[i] = make_mixed4(p.x, p.y, p.z, 0);
#endif
    }
}

/** Put the jumping particles to these positions. */
KERNEL void scatterPositions(GLOBAL real4* RESTRICT posq, GLOBAL const int* RESTRICT place,
        GLOBAL const mixed4* RESTRICT positions
#ifdef USE_MIXED_PRECISION
        , GLOBAL real4* RESTRICT posqCorrection
#endif
        ) {
    for (int i = GLOBAL_ID; i < NUM_PARTICLES; i += GLOBAL_SIZE) {
        mixed4 p = positions[i];
        posq[place[i]] = make_real4((real) p.x, (real) p.y, (real) p.z, posq[place[i]].w);
#ifdef USE_MIXED_PRECISION
        posqCorrection[place[i]] = make_real4((real) (p.x - (real) p.x), (real) (p.y - (real) p.y),
                (real) (p.z - (real) p.z), 0);
#endif
    }
}

/** Forces on the jumping particles, in their order, as the fixed-point numbers in which they are summed. */
KERNEL void gatherForces(GLOBAL const mm_long* RESTRICT forceBuffer, GLOBAL const int* RESTRICT place,
        GLOBAL mm_long* RESTRICT forces) {
    for (int i = GLOBAL_ID; i < NUM_PARTICLES; i += GLOBAL_SIZE) {
        forces[3 * i] = forceBuffer[place[i]];
        forces[3 * i + 1] = forceBuffer[place[i] + PADDED_NUM_ATOMS];
        forces[3 * i + 2] = forceBuffer[place[i] + 2 * PADDED_NUM_ATOMS];
    }
}

/** Set the velocities of all atoms, given in the System's order; the fourth component, the inverse mass, stays. */
KERNEL void scatterVelocities(GLOBAL mixed4* RESTRICT velm, GLOBAL const int* RESTRICT index,
        GLOBAL const mixed4* RESTRICT velocities) {
    for (int i = GLOBAL_ID; i < NUM_ATOMS; i += GLOBAL_SIZE) {
        mixed4 v = velocities[index[i]];
        velm[i] = make_mixed4(v.x, v.y, v.z, velm[i].w);
    }
}
