"""Is a trajectory fit for use: finite, bonds and handedness intact, energies of its halves alike.

=========================  =====================================================================  ==================
symbol                     meaning                                                                name here
=========================  =====================================================================  ==================
z = (U2 - U1) / s          difference of the halves' mean potential energies over its error        equilibration_z
s^2 = sum_h sigma_h^2 g/n  g: integrated autocorrelation time in frames (Sokal's window, emcee)    _mean_and_error
=========================  =====================================================================  ==================

The energy decorrelates within picoseconds, so z finds a run that hasn't left its start, not one that misses a basin:
walkers of different seeds are there for that. Source: Sokal, in Functional Integration (1997) 131; Foreman-Mackey et
al., PASP 125 (2013) 306.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stereo import handedness, stereocentres
from .trajectory_file import Trajectory

__all__ = ["check_frames", "check_trajectory"]

LARGEST_BOND_DEVIATION = 0.05  # nm from the bond's median, 15 thermal deviations at 300 K
LARGEST_Z = 4.0  # one in 16,000 by chance: there are hundreds of files
FEWEST_FRAMES = 200  # for the halves' autocorrelation


def check_trajectory(trajectory: Trajectory, structure: NDArray[np.floating] | None = None) -> dict[str, Any]:
    """Check one walker.

    Parameters
    ----------
    trajectory : Trajectory
    structure : ndarray, shape (n_atoms, 3), optional
        Built structure whose handedness every frame must have; without it the first frame's.

    Returns
    -------
    dict
        ``passed``; ``failed``, the names of failed checks; ``non_finite_frames``; ``stereocentres``;
        ``chirality_flips``, frames in which any centre has the other hand; ``worst_bond_deviation_nm``;
        ``equilibration_z`` and ``energy_correlation_time_ps``, None where there are too few frames or the walker
        restarts.
    """
    attributes = trajectory.attributes
    energies = trajectory.potential_energy
    result = check_frames(trajectory.positions, attributes, structure, np.isfinite(energies))
    restarts = bool(attributes.get("segment_frames", 0)) or not attributes.get("reversible", True)
    if len(energies) >= FEWEST_FRAMES and result["non_finite_frames"] == 0 and not restarts:
        z, correlation = _halves(energies.astype(np.float64))
        result["equilibration_z"] = round(z, 3)
        result["energy_correlation_time_ps"] = round(correlation * attributes["frame_spacing_ps"], 3)
        if abs(result["equilibration_z"]) > LARGEST_Z:
            result["failed"].append("equilibration")
            result["passed"] = False
    return result


def check_frames(
    positions: NDArray[np.floating],
    attributes: dict[str, Any],
    structure: NDArray[np.floating] | None = None,
    finite: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:
    """Check positions alone, as an archive holds them; the figures that need energies are None.

    Parameters
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3), nm
    attributes : dict
        With `atomic_numbers` and `bonds`.
    structure : ndarray, shape (n_atoms, 3), optional
    finite : ndarray of bool, shape (n_frames,), optional
        Frames that are finite in whatever else is known of them.

    Returns
    -------
    dict
        As of `check_trajectory`.
    """
    frames: NDArray[np.float64] = positions.astype(np.float64)
    whole = np.isfinite(frames).all((1, 2)) & (True if finite is None else finite)
    centres = stereocentres(attributes["atomic_numbers"], attributes["bonds"])
    flips = _flips(frames, centres, structure)
    worst = _worst_bond(frames, np.array(attributes["bonds"]).reshape(-1, 2))
    bad = {
        "empty": len(frames) == 0,
        "finite": not whole.all(),
        "chirality": flips > 0,
        "bonds": not worst <= LARGEST_BOND_DEVIATION,
    }
    failed = [name for name, is_bad in bad.items() if is_bad]
    return {
        "passed": not failed,
        "failed": failed,
        "non_finite_frames": int((~whole).sum()),
        "stereocentres": len(centres),
        "chirality_flips": flips,
        "worst_bond_deviation_nm": worst,
        "equilibration_z": None,
        "energy_correlation_time_ps": None,
    }


def _flips(
    positions: NDArray[np.float64], centres: NDArray[np.int64], structure: NDArray[np.floating] | None
) -> int:
    if len(centres) == 0 or len(positions) == 0:
        return 0
    signs = handedness(positions, centres)
    wanted = signs[0] if structure is None else handedness(np.asarray(structure)[None], centres)[0]
    return int((signs != wanted).any(1).sum())


def _worst_bond(positions: NDArray[np.float64], bonds: NDArray[np.int64]) -> float:
    """Largest deviation of a bond length from its median over the frames, nm."""
    if len(bonds) == 0 or len(positions) == 0:
        return 0.0
    lengths = np.linalg.norm(positions[:, bonds[:, 0]] - positions[:, bonds[:, 1]], axis=-1)
    return round(float(np.abs(lengths - np.median(lengths, axis=0)).max()), 5)


def _halves(energies: NDArray[np.float64]) -> tuple[float, float]:
    """z of the halves' means, and the longer of their correlation times in frames."""
    middle = len(energies) // 2
    (first, error1, time1), (second, error2, time2) = (
        _mean_and_error(half) for half in (energies[:middle], energies[middle:])
    )
    error = float(np.hypot(error1, error2))
    return (second - first) / error if error > 0 else 0.0, max(time1, time2)


def _mean_and_error(values: NDArray[np.float64]) -> tuple[float, float, float]:
    from emcee.autocorr import integrated_time

    deviation = float(values.std())
    if deviation == 0.0:
        return float(values.mean()), 0.0, 1.0
    time = max(1.0, float(integrated_time(values, quiet=True, tol=0)[0]))
    return float(values.mean()), deviation * float(np.sqrt(time / len(values))), time
