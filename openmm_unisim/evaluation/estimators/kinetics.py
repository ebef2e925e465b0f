"""Basins, populations with error bars, and transition probabilities over one lag.

===============  ==========================================================  =========================
symbol           meaning                                                     name here
===============  ==========================================================  =========================
C_ij             windows that start in state i and end in state j            counts
T_ij             C_ij / sum_j C_ij                                           probability
P(stay, i)       T_ii                                                        probability[i, i]
g                statistical inefficiency 1 + 2 sum_k rho_k                  statistical_inefficiency
t_2              -lag / ln(lambda_2), lambda_2 = T_00 + T_11 - 1             relaxation_time
===============  ==========================================================  =========================

Source: counting estimators of Markov state models (Prinz et al., J. Chem. Phys. 134 (2011) 174105); the sum
in g stops at the first non-positive pair of correlations (Geyer, Stat. Sci. 7 (1992) 473).
Basin alpha is psi in [-120, 50) degrees, basin beta is the rest; phi > 0 is reported apart and is no basin. A
NaN torsion is in no basin (index -1): such frames and windows are left out, never counted as beta.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import ConfigError
from .distributions import FloatArray, wrap_degrees

ALPHA_PSI_RANGE = (-120.0, 50.0)
BASINS = ("alpha", "beta")

Statistics = dict[str, dict[str, float] | None]


@dataclass(frozen=True)
class TransitionEstimate:
    """Transition counts (windows may overlap), probabilities and standard errors, each (n_states, n_states).

    A row of a state that was never left from is NaN: not available, not zero.
    """

    counts: NDArray[np.int64]
    probability: NDArray[np.float64]
    standard_error: NDArray[np.float64]


def assign_basin(psi: ArrayLike) -> NDArray[np.int64]:
    """Basin of each psi (degrees): 0 alpha, [-120, 50); 1 beta, the rest; -1 for NaN. Same shape as `psi`."""
    values = wrap_degrees(psi)
    alpha = (values >= ALPHA_PSI_RANGE[0]) & (values < ALPHA_PSI_RANGE[1])
    return np.where(np.isfinite(values), np.where(alpha, 0, 1), -1).astype(np.int64)


def lagged_pairs(states: ArrayLike, lag_frames: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and ends of all windows of `lag_frames` frames, flat.

    `states` is (n_frames,) or (n_copies, n_frames); no window runs from one copy into another.
    """
    series = np.atleast_2d(np.asarray(states, dtype=np.int64))
    if lag_frames < 1 or series.shape[1] <= lag_frames:
        raise ConfigError(
            f"a lag of {lag_frames} frames needs a trajectory of more than {max(lag_frames, 1)} frames, not "
            f"{series.shape[1]}; lower the lag or run longer."
        )
    return series[:, :-lag_frames].ravel(), series[:, lag_frames:].ravel()


def _binomial_error(fraction: FloatArray, n_effective: FloatArray) -> FloatArray:
    """sqrt(p(1-p)/n); one event, 1/n, where p is 0 or 1, since nothing seen is not nothing there."""
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(fraction * (1.0 - fraction) / n_effective)
        return np.where((fraction == 0.0) | (fraction == 1.0), 1.0 / n_effective, error)


def transition_matrix(
    starts: ArrayLike, ends: ArrayLike, n_states: int = len(BASINS), overlap: int = 1
) -> TransitionEstimate:
    """Transition probabilities from pairs of states, with counting error bars.

    Parameters
    ----------
    starts, ends : array, shape (n_pairs,)
        State index at the start and the end of each window; pairs with a negative index are left out.
    n_states : int
        Number of states.
    overlap : int
        Windows that share a frame, i.e. the lag in frames where windows start at every frame. The effective
        number of windows in the standard error sqrt(p(1-p)/n) is counts/overlap.
    """
    first, last = np.asarray(starts).ravel(), np.asarray(ends).ravel()
    if first.shape != last.shape:
        raise ConfigError(f"{first.size} starts and {last.size} ends; give one end for each start.")
    known = (first >= 0) & (last >= 0)
    flat = first[known] * n_states + last[known]
    counts = np.bincount(flat, minlength=n_states**2).reshape(n_states, n_states).astype(np.int64)
    total = counts.sum(axis=1, keepdims=True).astype(np.float64)
    with np.errstate(invalid="ignore"):
        probability = counts / total
    return TransitionEstimate(counts, probability, _binomial_error(probability, total / overlap))


def relaxation_time(eigenvalue: float, lag_time: float) -> float:
    """Relaxation time -lag/ln(eigenvalue) in the unit of `lag_time`; NaN unless 0 < eigenvalue < 1.

    For two states the second eigenvalue of the transition matrix is T_00 + T_11 - 1.
    """
    return float(-lag_time / np.log(eigenvalue)) if 0.0 < eigenvalue < 1.0 else float("nan")


def statistical_inefficiency(series: ArrayLike) -> float:
    """g = 1 + 2 sum of autocorrelations, at least 1; (n_frames,) or (n_copies, n_frames); 1 if constant."""
    values = np.atleast_2d(np.asarray(series, dtype=np.float64))
    values = values - values.mean()
    n_frames = values.shape[1]
    variance = float(np.mean(values**2))
    if variance == 0.0 or n_frames < 3:
        return 1.0
    spectrum = np.fft.rfft(values, n=2 * n_frames, axis=1)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :n_frames].mean(axis=0)
    correlation = correlation / (np.arange(n_frames, 0, -1) * variance)
    n_pairs = n_frames // 2
    pair_sums = correlation[: 2 * n_pairs].reshape(n_pairs, 2).sum(axis=1)
    stop = int(np.argmax(pair_sums <= 0.0)) if (pair_sums <= 0.0).any() else n_pairs
    return max(1.0, 2.0 * float(pair_sums[:stop].sum()) - 1.0)


def population(indicator: ArrayLike, known: ArrayLike | None = None) -> dict[str, float] | None:
    """Fraction of True among the known frames, with its standard error sqrt(p(1-p) g/n).

    `indicator` is boolean, (n_frames,) or (n_copies, n_frames); `known` marks the frames that
    count (default: all). None if there is no known frame.
    """
    values = np.asarray(indicator, dtype=np.float64)
    mask = np.ones(values.shape, dtype=bool) if known is None else np.asarray(known, dtype=bool)
    n_known = int(mask.sum())
    if n_known == 0:
        return None
    fraction = float(values[mask].mean())
    inefficiency = statistical_inefficiency(np.where(mask, values, fraction))
    error = _binomial_error(np.asarray(fraction), np.asarray(n_known / inefficiency))
    return {"value": fraction, "standard_error": float(error)}


def basin_statistics(
    phi: ArrayLike,
    psi: ArrayLike,
    lag_frames: int | None = 1,
    jump_psi: tuple[ArrayLike, ArrayLike] | None = None,
) -> Statistics:
    """Populations of both basins and of phi > 0, and P(stay) of both basins, with standard errors.

    Parameters
    ----------
    phi, psi : array, shape (n_frames,) or (n_copies, n_frames)
        degrees.
    lag_frames : int or None
        Frames in one lag time; windows start at every frame. None: no P(stay).
    jump_psi : tuple of two arrays, optional
        psi before and after single jumps, to count P(stay) from instead of the windows of `psi`.

    Returns
    -------
    dict
        ``population_alpha``, ``population_beta``, ``population_phi_positive``, ``stay_alpha``,
        ``stay_beta``: each a dict of ``value``, ``standard_error`` and, for P(stay), ``windows``; None
        where nothing was counted.
    """
    basins, wrapped_phi = assign_basin(psi), wrap_degrees(phi)
    result: Statistics = {}
    for index, name in enumerate(BASINS):
        result[f"population_{name}"] = population(basins == index, basins >= 0)
    result["population_phi_positive"] = population(wrapped_phi > 0.0, np.isfinite(wrapped_phi))
    estimate = None
    if jump_psi is not None:
        estimate = transition_matrix(assign_basin(jump_psi[0]), assign_basin(jump_psi[1]))
    elif lag_frames is not None:
        estimate = transition_matrix(*lagged_pairs(basins, lag_frames), overlap=lag_frames)
    for index, name in enumerate(BASINS):
        windows = 0 if estimate is None else int(estimate.counts[index].sum())
        result[f"stay_{name}"] = None
        if estimate is not None and windows > 0:
            result[f"stay_{name}"] = {
                "value": float(estimate.probability[index, index]),
                "standard_error": float(estimate.standard_error[index, index]),
                "windows": windows,
            }
    return result
