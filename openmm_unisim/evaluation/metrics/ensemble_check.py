"""Two temperatures, one Boltzmann law: does the distribution of energies shift with temperature as it must?

===================  ==========================================================  =====================
symbol               meaning                                                     name here
===================  ==========================================================  =====================
P_k(E)               density of energies sampled at T_k, beta_k = 1/(k_B T_k)    energies_1, energies_2
ln P_2(E)/P_1(E)     a + b E with b = beta_1 - beta_2 if both samples are        measured_slope
                     Boltzmann's, whatever the density of states
p(2|E)               n_2 P_2/(n_1 P_1 + n_2 P_2) = 1/(1 + e^-(a' + b E)): the    measured_slope
                     most likely b is that of a logistic regression
===================  ==========================================================  =====================

Source: Shirts, J. Chem. Theory Comput. 9 (2013) 909, eqs. 5-8 and its maximum-likelihood estimate (the same function as
Bennett's acceptance ratio). At constant volume the kinetic part factors out, so that potential energies alone obey the
law. The check needs no reference and is blind to an error that is the same function of E at both temperatures, e.g. a
wrong density of states.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import ConfigError
from ...units import BOLTZMANN
from ..estimators.agreement import agreement_z
from ..metric import Metric
from ..uncertainty import Resampling

KEY, LABEL = "two_temperature_slope", "Slope of ln P2(E)/P1(E) over beta1 - beta2"
_STEPS, _TOLERANCE = 100, 1e-10
_LEAST_SAMPLES = 50


def measured_slope(energies_1: ArrayLike, energies_2: ArrayLike) -> float | None:
    """The most likely b, per unit of energy; None if the energies don't overlap (it is then infinite).

    Newton's method on the concave log-likelihood, energies standardised.
    """
    first, last = (np.asarray(energies, dtype=np.float64) for energies in (energies_1, energies_2))
    pooled = np.concatenate([first, last])
    scale = float(pooled.std())
    if scale == 0.0 or first.max() < last.min() or last.max() < first.min():
        return None
    design = np.stack([np.ones(len(pooled)), (pooled - pooled.mean()) / scale], axis=1)
    from_last = np.concatenate([np.zeros(len(first)), np.ones(len(last))])
    parameters = np.array([np.log(len(last) / len(first)), 0.0])
    for _ in range(_STEPS):
        probability = 1.0 / (1.0 + np.exp(-np.clip(design @ parameters, -500.0, 500.0)))
        weights = probability * (1.0 - probability)
        hessian = design.T @ (weights[:, None] * design)
        if not np.linalg.cond(hessian) < 1e12:
            return None
        step = np.linalg.solve(hessian, design.T @ (from_last - probability))
        norm = float(np.abs(step).max())
        parameters = parameters + step * min(1.0, 2.0 / max(norm, 1e-300))
        if norm < _TOLERANCE:
            return float(parameters[1] / scale)
    return None


def ensemble_check(
    energies_1: ArrayLike,
    temperature_1: float,
    energies_2: ArrayLike,
    temperature_2: float,
    resampling: Resampling | None = None,
) -> Metric:
    """Measured over expected slope: 1 if both samples are Boltzmann's at their temperatures.

    Parameters
    ----------
    energies_1, energies_2 : array, kJ/mol
        Potential energies in the order of time, at constant volume; NaN is left out and counted.
    temperature_1, temperature_2 : float
        K, different ones; the best spacing makes the means differ by about two standard deviations.
    resampling : Resampling, optional
        Frames in a block and number of repeats; default 1 frame (independent samples) and 50.
    """
    if temperature_1 <= 0.0 or temperature_2 <= 0.0 or temperature_1 == temperature_2:
        raise ConfigError(
            f"temperatures {temperature_1} and {temperature_2} K tell nothing; give two different positive ones."
        )
    samples = [np.asarray(energies, dtype=np.float64).ravel() for energies in (energies_1, energies_2)]
    finite = [energies[np.isfinite(energies)] for energies in samples]
    if min(len(energies) for energies in finite) < _LEAST_SAMPLES:
        return Metric.missing(KEY, LABEL, f"fewer than {_LEAST_SAMPLES} finite energies at one temperature")
    expected = (1.0 / temperature_1 - 1.0 / temperature_2) / BOLTZMANN
    slope = measured_slope(*finite)
    if slope is None:
        return Metric.missing(
            KEY, LABEL, "the energies of the two temperatures don't overlap; take closer temperatures"
        )
    drawn = _resampled_slopes(finite[0], finite[1], resampling or Resampling(block_frames=1, repeats=50))
    error = float(np.std(drawn, ddof=1)) / abs(expected) if len(drawn) >= 2 else None
    ratio = slope / expected
    return Metric(
        KEY, LABEL, ratio, standard_error=error, reference=1.0,
        details={
            "slope_mol_per_kj": slope, "expected_slope_mol_per_kj": expected,
            "temperatures_K": [temperature_1, temperature_2],
            "samples": [len(energies) for energies in finite],
            "nan_samples": [len(all_) - len(kept) for all_, kept in zip(samples, finite)],
            "z": agreement_z(ratio, error, 1.0, 0.0),
        },
    )  # fmt: skip


def _resampled_slopes(
    first: NDArray[np.float64], last: NDArray[np.float64], resampling: Resampling
) -> list[float]:
    """Slopes of block-resampled energies; a resample without overlap is left out."""
    generator = resampling.generator()
    slopes = [
        measured_slope(
            first[resampling.model_indices(len(first), generator)],
            last[resampling.model_indices(len(last), generator)],
        )
        for _ in range(resampling.repeats)
    ]
    return [slope for slope in slopes if slope is not None]
