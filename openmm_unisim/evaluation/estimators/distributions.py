"""Histograms of torsions, the Jensen-Shannon distance, and the floor that MD itself scores.

===============  =====================================================  =====================
symbol           meaning                                                name here
===============  =====================================================  =====================
p, q             normalised histograms                                  first, second
JSD(p, q)        1/2 KL(p, m) + 1/2 KL(q, m), m = (p + q)/2, nats        js_divergence
d_JS             sqrt(JSD), at most sqrt(ln 2) = 0.8326                  js_distance
===============  =====================================================  =====================

Source: Lin, IEEE Trans. Inf. Theory 37 (1991) 145; natural logarithm and square root as in UniSim (spec
section 13). Unlike UniSim's tables, histograms cover the whole torus (60 bins in 1-D, 30 x 30 in 2-D),
nothing falls outside them and no pseudo-count is added: d_JS needs none.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import ConfigError, NonFiniteError
from ..uncertainty import block_indices

BINS_1D = 60
BINS_2D = 30
MAXIMUM_JS_DISTANCE = float(np.sqrt(np.log(2.0)))

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class FloorEstimate:
    """What MD samples score against an MD reference: `mean` and `std` over `repeats` resampled pairs."""

    mean: float
    std: float
    repeats: int
    n_frames: int
    block_frames: int

    def as_dict(self) -> dict[str, float | int]:
        """Plain numbers for JSON."""
        return {key: getattr(self, key) for key in ("mean", "std", "repeats", "n_frames", "block_frames")}


def wrap_degrees(angles: ArrayLike) -> FloatArray:
    """Angles mapped to [-180, 180) degrees, any shape."""
    values = np.asarray(angles, dtype=np.float64)
    wrapped = (values + 180.0) % 360.0 - 180.0
    return np.where(wrapped >= 180.0, -180.0, wrapped)


def _bin_index(angles: ArrayLike, bins: int) -> NDArray[np.int64]:
    values = wrap_degrees(angles).ravel()
    if not np.isfinite(values).all():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        raise NonFiniteError(
            f"{bad} of {values.size} torsions are NaN or infinite; drop and count those frames first."
        )
    return np.floor((values + 180.0) * (bins / 360.0)).astype(np.int64) % bins


def torsion_histogram(angles: ArrayLike, bins: int = BINS_1D) -> FloatArray:
    """Counts of torsions (degrees, any shape) in `bins` equal bins over [-180, 180), shape (bins,)."""
    return np.bincount(_bin_index(angles, bins), minlength=bins).astype(np.float64)


def torsion_histogram_2d(phi: ArrayLike, psi: ArrayLike, bins: int = BINS_2D) -> FloatArray:
    """Joint counts on the torus, shape (bins, bins): first index phi, second psi (degrees)."""
    first, second = _bin_index(phi, bins), _bin_index(psi, bins)
    if first.shape != second.shape:
        raise ConfigError(f"phi has {first.size} values and psi {second.size}; give one psi for each phi.")
    return np.bincount(first * bins + second, minlength=bins * bins).reshape(bins, bins).astype(np.float64)


def _normalised(histogram: ArrayLike, name: str) -> FloatArray:
    values = np.asarray(histogram, dtype=np.float64).ravel()
    total = values.sum()
    if not (np.isfinite(total) and total > 0 and (values >= 0).all()):
        raise ConfigError(f"the {name} histogram is empty or holds negative or NaN entries; give counts.")
    return values / total


def js_divergence(first: ArrayLike, second: ArrayLike) -> float:
    """Jensen-Shannon divergence (nats) of two histograms of one shape; counts or probabilities."""
    p, q = _normalised(first, "first"), _normalised(second, "second")
    if p.shape != q.shape:
        raise ConfigError(f"histograms of {p.size} and {q.size} bins can't be compared; bin both alike.")
    mean = 0.5 * (p + q)
    kl_first = np.sum(p * np.log(np.divide(p, mean, out=np.ones_like(p), where=p > 0)))
    kl_second = np.sum(q * np.log(np.divide(q, mean, out=np.ones_like(q), where=q > 0)))
    return max(0.0, 0.5 * float(kl_first + kl_second))


def js_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Square root of the Jensen-Shannon divergence in nats: 0 for equal, 0.8326 for disjoint histograms."""
    return float(np.sqrt(js_divergence(first, second)))


def torsion_js_distances(
    phi: ArrayLike, psi: ArrayLike, reference_phi: ArrayLike, reference_psi: ArrayLike
) -> dict[str, float]:
    """JS distances of phi and psi (60 bins each) and of their joint histogram (30 x 30); in degrees."""
    return {
        "phi": js_distance(torsion_histogram(phi), torsion_histogram(reference_phi)),
        "psi": js_distance(torsion_histogram(psi), torsion_histogram(reference_psi)),
        "phi_psi": js_distance(
            torsion_histogram_2d(phi, psi), torsion_histogram_2d(reference_phi, reference_psi)
        ),
    }


def same_size_floor(
    reference_phi: ArrayLike,
    reference_psi: ArrayLike,
    n_frames: int,
    generator: np.random.Generator,
    *,
    stride: int = 1,
    block_frames: int = 50,
    repeats: int = 20,
) -> dict[str, FloorEstimate]:
    """JS distances that an MD run of `n_frames` frames, `stride` reference frames apart, scores.

    Moving-block bootstrap of both sides: each repeat draws a sample of `n_frames` frames from random circular
    blocks of `block_frames` frames (neighbours stay correlated as in MD at that spacing), and,
    independently, a replica of the reference of its full length from blocks of the same duration.
    Resampling only the sample would leave out the reference's own noise; a plain subset of the reference,
    which shares its frames, would score better than any new MD run could once n_frames is not small beside
    the reference. On the shipped reference the estimate agrees with scoring held-out blocks against the
    rest (0.136 and 0.136 in phi_psi at 2,000 frames, 0.090 and 0.097 at 5,000): bins that the reference
    never visited can't be resampled, so it errs low.

    Parameters
    ----------
    reference_phi, reference_psi : array, shape (n_reference,)
        degrees, one continuous trajectory.
    n_frames : int
        Frames of the sample whose floor is wanted.
    generator : numpy.random.Generator
        Source of randomness.
    stride : int
        Reference frames between two frames of the sample (lag time / frame spacing).
    block_frames : int
        Sample frames in a block; a block should outlast the slowest relaxation.
    repeats : int
        Resampled pairs.

    Returns
    -------
    dict of FloorEstimate
        For ``phi``, ``psi`` and ``phi_psi``, as in `torsion_js_distances`.
    """
    phi, psi = np.asarray(reference_phi).ravel(), np.asarray(reference_psi).ravel()
    if n_frames < 1 or stride < 1 or repeats < 2 or block_frames < 1:
        raise ConfigError(
            f"n_frames = {n_frames}, stride = {stride}, block_frames = {block_frames}, repeats = {repeats}: "
            "the first three must be at least 1 and repeats at least 2."
        )
    block = min(block_frames, n_frames)
    scores: dict[str, list[float]] = {"phi": [], "psi": [], "phi_psi": []}
    for _ in range(repeats):
        sample = block_indices(phi.size, n_frames, stride, block, generator)
        replica = block_indices(phi.size, phi.size, 1, min(block * stride, phi.size), generator)
        distances = torsion_js_distances(phi[sample], psi[sample], phi[replica], psi[replica])
        for key, value in distances.items():
            scores[key].append(value)
    return {
        key: FloorEstimate(float(np.mean(values)), float(np.std(values, ddof=1)), repeats, n_frames, block)
        for key, values in scores.items()
    }
