"""One dictionary of scores for a dipeptide run (one phi, one psi) against an MD reference.

Every figure stands beside what MD itself would score (`same_size_floor`) or beside its error bar. The
definitions are those of `distributions` and `kinetics`.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from openmm_unisim.errors import ConfigError

from .distributions import same_size_floor, torsion_js_distances, wrap_degrees
from .kinetics import BASINS, basin_statistics, relaxation_time


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
    """Score torsions of a run against a reference trajectory of the same molecule.

    Parameters
    ----------
    phi, psi : array, shape (n_frames,) or (n_copies, n_frames)
        degrees, `lag_frames` frames to a lag. Frames with NaN are left out of every figure and counted.
    reference_phi, reference_psi : array, shape (n_reference,)
        degrees, one continuous MD trajectory.
    lag_frames : int
        Frames of the run in one lag time; 1 where every jump is a frame.
    lag_frames_reference : int
        Frames of the reference in one lag time (20 ps at a spacing of 10 ps: 2).
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
    md_phi, md_psi = wrap_degrees(reference_phi).ravel(), wrap_degrees(reference_psi).ravel()
    if sample_phi.shape != sample_psi.shape:
        raise ConfigError(
            f"phi {sample_phi.shape} and psi {sample_psi.shape} differ in shape; give one psi for each phi."
        )
    finite = np.isfinite(sample_phi) & np.isfinite(sample_psi)
    n_finite = int(finite.sum())
    if n_finite == 0:
        raise ConfigError("every frame of the run is NaN; there is nothing to score.")
    floor = same_size_floor(
        md_phi, md_psi, n_finite, generator, stride=lag_frames_reference, repeats=floor_repeats
    )
    model = basin_statistics(sample_phi, sample_psi, lag_frames, jump_psi)
    reference = basin_statistics(md_phi, md_psi, lag_frames_reference)
    return {
        "js": torsion_js_distances(sample_phi[finite], sample_psi[finite], md_phi, md_psi),
        "js_floor": {key: value.as_dict() for key, value in floor.items()},
        "model": model,
        "reference": reference,
        "stay_difference": {name: _stay(model, name) - _stay(reference, name) for name in BASINS},
        "relaxation_time_ps": {
            "model": two_state_relaxation_time(model, lag_time_ps),
            "reference": two_state_relaxation_time(reference, lag_time_ps),
        },
        "n_frames": int(finite.size),
        "nan_frames": int(finite.size - n_finite),
    }


def _stay(statistics: dict[str, dict[str, float]], basin: str) -> float:
    return statistics[f"stay_{basin}"]["value"]


def two_state_relaxation_time(statistics: dict[str, dict[str, float]], lag_time_ps: float) -> float:
    """-lag / ln(P(stay, alpha) + P(stay, beta) - 1), ps, from `basin_statistics`; NaN if undefined."""
    return relaxation_time(sum(_stay(statistics, name) for name in BASINS) - 1.0, lag_time_ps)
