"""Counter-based normal noise: the same numbers here, in the C++ plugin and on every platform.

Each number is a pure function of (seed, stream, step, substep, particle), so a checkpoint needs counters only
and any part of a stream can be made without the rest.

==============  ==========================================================  ==================
symbol          meaning                                                     name here
==============  ==========================================================  ==================
key             (seed mod 2^32, stream)                                     key
counter A       (particle, substep, step mod 2^32, step div 2^32)           counter
counter B       A with bit 31 of the substep set                            counter
r0..r3          words of one Philox4x32-10 block                            words
u               (r + 1/2) / 2^32, in (0, 1), double                         uniforms
n0, n1          sqrt(-2 ln u0) cos(2 pi u1), ... sin(2 pi u1), from A       standard_normals
n2              the cosine form, from B                                     standard_normals
==============  ==========================================================  ==================

Sources: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC11), for Philox; Box and Muller (1958).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError

__all__ = [
    "ACCEPTANCE",
    "RESAMPLING",
    "SUBSTEP_NOISE",
    "VELOCITIES",
    "acceptance_uniform",
    "candidate_stream",
    "philox4x32",
    "resampling_uniform",
    "standard_normals",
    "uniforms",
]

SUBSTEP_NOISE = 0
VELOCITIES = 1
ACCEPTANCE = 2
RESAMPLING = 3
FIRST_CANDIDATE = 0x10000

_WORD = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_SECOND_BLOCK = 0x80000000


def philox4x32(counter: ArrayLike, key: ArrayLike) -> NDArray[np.uint32]:
    """Philox4x32 with 10 rounds.

    Parameters
    ----------
    counter : array_like, shape (..., 4), uint32
    key : array_like, shape (..., 2), uint32
        Its leading axes broadcast with the counter's.

    Returns
    -------
    ndarray, shape (..., 4), uint32
    """
    c0, c1, c2, c3 = np.moveaxis(np.asarray(counter, dtype=np.uint64), -1, 0)
    k0, k1 = np.moveaxis(np.asarray(key, dtype=np.uint64), -1, 0)
    for _ in range(10):
        product0 = _MULTIPLIERS[0] * c0
        product1 = _MULTIPLIERS[1] * c2
        c0, c1 = (product1 >> _SHIFT) ^ c1 ^ k0, product1 & _WORD
        c2, c3 = (product0 >> _SHIFT) ^ c3 ^ k1, product0 & _WORD
        k0 = (k0 + _KEY_STEPS[0]) & _WORD
        k1 = (k1 + _KEY_STEPS[1]) & _WORD
    return np.stack(np.broadcast_arrays(c0, c1, c2, c3), axis=-1).astype(np.uint32)


def uniforms(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Uniform numbers in the open interval (0, 1): (r + 1/2) / 2^32."""
    return (words.astype(np.float64) + 0.5) * 2.0**-32


def standard_normals(
    seed: ArrayLike, step: int, substep: ArrayLike, particle: ArrayLike, stream: int = SUBSTEP_NOISE
) -> NDArray[np.float64]:
    """Three standard normal numbers for each particle.

    Parameters
    ----------
    seed : int or array_like of int
        Copies of a system take seed + copy. Only the lowest 32 bits count.
    step : int
        The jump, from 0.
    substep, particle : int or array_like of int
        Broadcast with each other and with `seed`.
    stream : int
        SUBSTEP_NOISE, VELOCITIES, or `candidate_stream`.

    Returns
    -------
    ndarray, shape (broadcast shape, 3)
    """
    seeds, substeps, particles = np.broadcast_arrays(
        _words(seed, "seed", wrap=True), _words(substep, "substep", 31), _words(particle, "particle")
    )
    first = uniforms(philox4x32(_counter(particles, substeps, step), _key(seeds, stream)))
    second = uniforms(philox4x32(_counter(particles, substeps + _SECOND_BLOCK, step), _key(seeds, stream)))
    radius, angle = _radius(first), 2.0 * np.pi * first[..., 1]
    third = _radius(second) * np.cos(2.0 * np.pi * second[..., 1])
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), third], axis=-1)


def acceptance_uniform(seed: ArrayLike, step: int) -> NDArray[np.float64]:
    """The uniform number in (0, 1) that decides a Metropolis step; the shape of `seed`."""
    seeds = _words(seed, "seed", wrap=True)
    zero = np.zeros_like(seeds)
    return uniforms(philox4x32(_counter(zero, zero, step), _key(seeds, ACCEPTANCE)))[..., 0]


def resampling_uniform(seed: ArrayLike, step: int) -> NDArray[np.float64]:
    """The uniform number in (0, 1) that chooses among several jumps; the shape of `seed`."""
    seeds = _words(seed, "seed", wrap=True)
    zero = np.zeros_like(seeds)
    return uniforms(philox4x32(_counter(zero, zero, step), _key(seeds, RESAMPLING)))[..., 0]


def candidate_stream(candidate: int) -> int:
    """Stream of the substeps of one of several jumps from one start; the first has that of a jump alone."""
    return SUBSTEP_NOISE if candidate == 0 else FIRST_CANDIDATE + candidate


def _radius(uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(-2.0 * np.log(uniform[..., 0]))


def _words(values: ArrayLike, name: str, bits: int = 32, wrap: bool = False) -> NDArray[np.int64]:
    """Whole numbers below 2^bits; larger ones are reduced if `wrap`, else refused."""
    numbers = np.asarray(values)
    if numbers.dtype.kind not in "iu":
        raise ConfigError(f"The noise's {name} = {values!r} is not a whole number; give integers.")
    if wrap:
        return (numbers.astype(np.uint64) & _WORD).astype(np.int64)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= 2**bits):
        raise ConfigError(
            f"The noise's {name} runs from {numbers.min()} to {numbers.max()}, but must lie in [0, 2^{bits})."
        )
    return numbers.astype(np.int64)


def _key(seeds: NDArray[np.int64], stream: int) -> NDArray[np.int64]:
    return np.stack([seeds, np.full_like(seeds, stream)], axis=-1)


def _counter(particles: NDArray[np.int64], substeps: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    if not 0 <= step < 2**64:
        raise ConfigError(f"The noise's step = {step} must lie in [0, 2^64).")
    low, high = (np.full_like(particles, part) for part in (step & 0xFFFFFFFF, step >> 32))
    return np.stack([particles, substeps, low, high], axis=-1)
