"""Effective sample size of a time series through emcee's integrated autocorrelation time, as in the paper.

=====================  ==============================================================  =====================
symbol                 meaning                                                         name here
=====================  ==============================================================  =====================
tau                    1 + 2 sum_(k=1)^M rho_k, frames; M the first >= 5 tau           integrated_time
n / tau                effective samples                                               value
sqrt(2 (2M + 1)/n)     relative standard error of tau                                  relative_error
=====================  ==============================================================  =====================

Source: Sokal's window and error (Madras and Sokal, J. Stat. Phys. 50 (1988) 109) as in emcee
(Foreman-Mackey et al., PASP 125 (2013) 306), which UniSim calls. `kinetics.statistical_inefficiency` estimates the
same tau with Geyer's window.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

WINDOW = 5  # emcee's c
TRUSTED_LENGTH = 50  # emcee trusts tau from a series of at least as many tau


@dataclass(frozen=True)
class EffectiveSamples:
    """Effective samples of a series.

    Attributes
    ----------
    value : float
    integrated_time : float
        Frames between effective samples.
    relative_error : float
        Of both.
    n_frames : int
    """

    value: float
    integrated_time: float
    relative_error: float
    n_frames: int

    @property
    def trusted(self) -> bool:
        """Whether the series is at least 50 integrated times long."""
        return self.n_frames >= TRUSTED_LENGTH * self.integrated_time


def effective_samples(series: ArrayLike) -> EffectiveSamples | None:
    """Effective samples of one series; None if it never varies or tau isn't positive.

    Parameters
    ----------
    series : array, shape (n_frames,) or (n_frames, n_walkers)
        Finite. Walkers are series of the same process whose autocorrelations are averaged; the result is of one.
    """
    from emcee.autocorr import integrated_time

    values = np.asarray(series, dtype=np.float64)
    if len(values) < 3:
        return None
    values = values.reshape(len(values), -1)
    if (values.max(axis=0) == values.min(axis=0)).any():
        return None
    time = float(
        integrated_time(values, c=WINDOW, tol=0, quiet=True)[0]
    )  # tol = 0: the length is judged here
    if not (np.isfinite(time) and time > 0.0):
        return None
    n_frames = len(values)
    error = float(np.sqrt(2.0 * (2.0 * np.ceil(WINDOW * time) + 1.0) / n_frames))
    return EffectiveSamples(n_frames / time, time, error, n_frames)


def longest_finite_stretch(series: ArrayLike) -> slice:
    """The longest run of finite frames of a series, (n_frames,): a dropped frame inside it would shift time."""
    finite = np.isfinite(np.asarray(series, dtype=np.float64))
    edges: NDArray[np.int64] = np.flatnonzero(
        np.diff(np.concatenate([[False], finite, [False]]).astype(np.int8))
    )
    if len(edges) == 0:
        return slice(0, 0)
    starts, stops = edges[::2], edges[1::2]
    longest = int(np.argmax(stops - starts))
    return slice(int(starts[longest]), int(stops[longest]))
