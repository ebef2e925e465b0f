"""Speeds: nominal, against MD, and per independent sample; and potential energies in kT.

===================  ==========================================================  ===================
symbol               meaning                                                     name here
===================  ==========================================================  ===================
jumps/s * tau        model time per wall time, as ns/day                         nominal_ns_per_day
n / g                independent samples of the basin indicator                  effective_samples
(med U - med U_MD)   shift of the median potential energy over kT                median_shift_kt
 / kT
===================  ==========================================================  ===================

*Nominal* since a jump of tau is worth tau only if the model's kinetics are MD's: compare P(stay) first.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...units import BOLTZMANN
from .distributions import FloatArray

SECONDS_PER_DAY = 86400.0


def nominal_ns_per_day(jumps_per_second: float, lag_time_ps: float) -> float:
    """Model time per day of wall time, ns."""
    return jumps_per_second * lag_time_ps * SECONDS_PER_DAY / 1000.0


def energy_comparison(
    energies: ArrayLike, md_energies: ArrayLike | None, temperature: float, n_atoms: int
) -> dict[str, Any]:
    """Medians and spreads of potential energies, and the shift between them in kT.

    Parameters
    ----------
    energies, md_energies : array, kJ/mol
        Of the run and of MD with the same System; NaN is left out. None: no MD.
    temperature : float
        K.
    n_atoms : int

    Returns
    -------
    dict
        ``median_kj_mol``, ``iqr_kj_mol``, ``md_median_kj_mol``, ``md_iqr_kj_mol``, ``median_shift_kt``,
        ``median_shift_kt_per_ten_atoms``; None where there are no energies.
    """
    median, spread, _ = _summary(energies)
    md_median, md_spread, n_md = _summary(md_energies)
    shift = None if median is None or md_median is None else (median - md_median) / (BOLTZMANN * temperature)
    return {
        "median_kj_mol": median,
        "iqr_kj_mol": spread,
        "md_median_kj_mol": md_median,
        "md_iqr_kj_mol": md_spread,
        "md_frames": n_md,
        "median_shift_kt": shift,
        "median_shift_kt_per_ten_atoms": None if shift is None else shift * 10.0 / n_atoms,
    }


def _summary(energies: ArrayLike | None) -> tuple[float | None, float | None, int]:
    values = _finite(energies)
    if len(values) == 0:
        return None, None, 0
    lower, median, upper = np.percentile(values, [25.0, 50.0, 75.0])
    return float(median), float(upper - lower), len(values)


def _finite(energies: ArrayLike | None) -> FloatArray:
    values = np.asarray([] if energies is None else energies, dtype=np.float64).ravel()
    return values[np.isfinite(values)]


def energy_histograms(
    energies: ArrayLike, md_energies: ArrayLike | None, bins: int = 50
) -> dict[str, Any] | None:
    """Densities of both on common bins that span 99.8 % of them; None where the run has no finite energy.

    Returns
    -------
    dict
        Lists ``centre_kj_mol``, ``model``, ``md`` (empty where there is none); densities per kJ/mol of all
        frames, so that outliers beyond the axis lower the curve instead of vanishing. ``outside``: fraction
        of the run's frames beyond the axis.
    """
    model, md = _finite(energies), _finite(md_energies)
    if len(model) == 0:
        return None
    ranges = [np.percentile(values, [0.1, 99.9]) for values in (model, md) if len(values)]
    if len(md):  # a few exploded energies mustn't flatten the comparison
        low, high = ranges[1]
        margin = 2.0 * (high - low) + 1.0
        ranges[0] = np.clip(ranges[0], low - margin, high + margin)
    low, high = min(pair[0] for pair in ranges), max(pair[1] for pair in ranges)
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    width = edges[1] - edges[0]
    outside = float(np.mean((model < edges[0]) | (model > edges[-1])))
    densities = [
        (np.histogram(v, edges)[0] / (len(v) * width)).tolist() if len(v) else [] for v in (model, md)
    ]
    centres = (edges[:-1] + width / 2).tolist()
    return {"centre_kj_mol": centres, "model": densities[0], "md": densities[1], "outside": outside}
