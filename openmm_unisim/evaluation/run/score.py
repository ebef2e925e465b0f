"""One dictionary of scores for the torsions of one residue, alone or against an MD reference.

Every figure stands beside what MD itself would score (`same_size_floor`) or beside its error bar. The
definitions are those of `distributions` and `kinetics`.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...errors import ConfigError
from ..estimators.distributions import same_size_floor, torsion_js_distances, wrap_degrees
from ..estimators.kinetics import BASINS, Statistics, basin_statistics, relaxation_time


def score_torsions(
    phi: ArrayLike,
    psi: ArrayLike,
    reference_phi: ArrayLike | None,
    reference_psi: ArrayLike | None,
    *,
    lag_frames: int = 1,
    lag_frames_reference: int | None = None,
    lag_time_ps: float,
    jump_psi: tuple[ArrayLike, ArrayLike] | None = None,
    generator: np.random.Generator,
    floor_repeats: int = 20,
) -> dict[str, Any]:
    """Score phi and psi of one residue; whatever can't be computed is None.

    Parameters
    ----------
    phi, psi : array, shape (n_frames,) or (n_copies, n_frames)
        degrees, `lag_frames` frames to a lag. Frames with NaN are left out of every figure and counted.
    reference_phi, reference_psi : array, shape (n_reference,), or None
        degrees, one continuous MD trajectory of the same residue.
    lag_frames : int
        Frames of the run in one lag time; 1 where every jump is a frame.
    lag_frames_reference : int or None
        Frames of the reference in one lag time (20 ps at a spacing of 10 ps: 2); None where it isn't a
        whole number. The floor is then that of uncorrelated frames, and the reference's kinetics are None.
    lag_time_ps : float
        The lag time, ps; used for relaxation times only.
    jump_psi : tuple of two arrays, optional
        psi before and after single jumps, degrees, to count P(stay) from instead of consecutive frames of
        `psi`.
    generator : numpy.random.Generator
        Source of randomness of the floor.
    floor_repeats : int
        Resampled pairs behind each floor.

    Returns
    -------
    dict
        ``js`` (phi, psi, phi_psi), ``js_floor`` (mean, std of each), ``model`` and ``reference``
        (populations and P(stay), each with value and standard_error), ``stay_difference`` (alpha, beta:
        model minus reference), ``relaxation_time_ps``, ``n_frames``, ``nan_frames``.
    """
    sample_phi, sample_psi = (np.atleast_2d(wrap_degrees(angle)) for angle in (phi, psi))
    if sample_phi.shape != sample_psi.shape:
        raise ConfigError(
            f"phi {sample_phi.shape} and psi {sample_psi.shape} differ in shape; give one psi for each phi."
        )
    finite = np.isfinite(sample_phi) & np.isfinite(sample_psi)
    n_finite = int(finite.sum())
    if n_finite == 0:
        raise ConfigError("every frame of the run is NaN; there is nothing to score.")
    has_windows = jump_psi is not None or sample_psi.shape[1] > lag_frames
    model = basin_statistics(sample_phi, sample_psi, lag_frames if has_windows else None, jump_psi)
    distances = floor = reference = None
    if reference_phi is not None and reference_psi is not None:
        md_phi, md_psi = wrap_degrees(reference_phi).ravel(), wrap_degrees(reference_psi).ravel()
        distances = torsion_js_distances(sample_phi[finite], sample_psi[finite], md_phi, md_psi)
        stride, block = (lag_frames_reference, 50) if lag_frames_reference else (1, 1)
        estimate = same_size_floor(
            md_phi, md_psi, n_finite, generator, stride=stride, block_frames=block, repeats=floor_repeats
        )
        floor = {key: value.as_dict() for key, value in estimate.items()}
        reference = basin_statistics(md_phi, md_psi, lag_frames_reference)
    return {
        "js": distances,
        "js_floor": floor,
        "model": model,
        "reference": reference,
        "stay_difference": {name: _difference(model, reference, f"stay_{name}") for name in BASINS},
        "relaxation_time_ps": {
            "model": two_state_relaxation_time(model, lag_time_ps),
            "reference": None if reference is None else two_state_relaxation_time(reference, lag_time_ps),
        },
        "n_frames": int(finite.size),
        "nan_frames": int(finite.size - n_finite),
    }


def score_ala2(
    phi: ArrayLike,
    psi: ArrayLike,
    reference_phi: ArrayLike,
    reference_psi: ArrayLike,
    *,
    lag_frames: int = 1,
    lag_frames_reference: int = 2,
    lag_time_ps: float = 20.0,
    jump_psi: tuple[ArrayLike, ArrayLike] | None = None,
    generator: np.random.Generator,
    floor_repeats: int = 20,
) -> dict[str, Any]:
    """`score_torsions` with the lag (20 ps) and frame spacing (10 ps) of the shipped alanine dipeptide."""
    return score_torsions(
        phi,
        psi,
        reference_phi,
        reference_psi,
        lag_frames=lag_frames,
        lag_frames_reference=lag_frames_reference,
        lag_time_ps=lag_time_ps,
        jump_psi=jump_psi,
        generator=generator,
        floor_repeats=floor_repeats,
    )


def two_state_relaxation_time(statistics: Statistics, lag_time_ps: float) -> float | None:
    """-lag / ln(P(stay, alpha) + P(stay, beta) - 1), ps, from `basin_statistics`; None if undefined."""
    stays = [statistics[f"stay_{name}"] for name in BASINS]
    if any(stay is None for stay in stays):
        return None
    time = relaxation_time(sum(stay["value"] for stay in stays if stay is not None) - 1.0, lag_time_ps)
    return time if np.isfinite(time) else None


def _difference(model: Statistics, reference: Statistics | None, key: str) -> float | None:
    first = model[key]
    last = None if reference is None else reference[key]
    return None if first is None or last is None else first["value"] - last["value"]
