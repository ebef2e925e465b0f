"""A Markov state model of a discrete trajectory, and its error bars.

===============  ==========================================================  =========================
symbol           meaning                                                     name here
===============  ==========================================================  =========================
C_ij             windows of one lag from state i to state j                  block_counts (by block)
T_ij, pi_i       most likely reversible transition matrix and its            probability, stationary
                 stationary distribution
t_k              -lag / ln(lambda_k), lambda_k the eigenvalues of T          implied_timescales
m_ij             mean time from state i to the first frame in j:             first_passage_times
                 m_ij = lag + sum_{k != j} T_ik m_kj
===============  ==========================================================  =========================

Source: Prinz et al., J. Chem. Phys. 134 (2011) 174105 (estimator, implied timescales); Norris, Markov Chains,
theorem 1.3.5 (m_ij). The reversible estimator is deeptime's (Hoffmann et al., Mach. Learn. Sci. Technol. 3 (2022)
015009). Windows start at every frame and belong to the block that they start in: resampling blocks then resamples
windows that were all observed, and none joins two blocks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import ConfigError
from .kinetics import relaxation_time

LEAST_BLOCKS = 3  # for an error bar


@dataclass(frozen=True)
class MarkovModel:
    """Reversible Markov model of the states that can be reached from one another.

    Attributes
    ----------
    states : ndarray of int, shape (n_kept,)
        The largest set of states that all reach each other.
    probability : ndarray, shape (n_kept, n_kept)
    stationary : ndarray, shape (n_kept,)
    lag_time : float
        ps.
    """

    states: NDArray[np.int64]
    probability: NDArray[np.float64]
    stationary: NDArray[np.float64]
    lag_time: float


def block_counts(states: ArrayLike, lag_frames: int, n_states: int, block_frames: int) -> NDArray[np.int64]:
    """Transition counts of each block of `block_frames` frames, shape (n_blocks, n_states, n_states).

    Windows start at every frame; one with a negative state at either end is left out. The sum over blocks is the
    count matrix of the whole trajectory.

    Parameters
    ----------
    states : array of int, shape (n_frames,)
    lag_frames, n_states, block_frames : int
    """
    series = np.asarray(states, dtype=np.int64)
    if lag_frames < 1 or block_frames < 1 or len(series) <= lag_frames:
        raise ConfigError(
            f"a lag of {lag_frames} frames and blocks of {block_frames} don't fit {len(series)} frames; lower the lag "
            "or run longer."
        )
    first, last = series[:-lag_frames], series[lag_frames:]
    block = np.arange(len(first)) // block_frames
    known = (first >= 0) & (last >= 0)
    flat = (block * n_states + first)[known] * n_states + last[known]
    n_blocks = int(block[-1]) + 1
    return np.bincount(flat, minlength=n_blocks * n_states**2).reshape(n_blocks, n_states, n_states)


def markov_model(counts: NDArray[np.int64], lag_time: float) -> MarkovModel | None:
    """The most likely reversible Markov model; None if fewer than two states reach each other.

    Parameters
    ----------
    counts : ndarray, shape (n_states, n_states)
    lag_time : float
        ps.
    """
    from deeptime.markov.tools.estimation import largest_connected_set, transition_matrix

    if counts.sum() == 0:
        return None
    kept = np.sort(largest_connected_set(counts, directed=True))
    if len(kept) < 2:
        return None
    submatrix = counts[np.ix_(kept, kept)].astype(np.float64)
    probability, stationary = transition_matrix(submatrix, reversible=True, return_statdist=True)
    return MarkovModel(kept.astype(np.int64), probability, stationary, lag_time)


def implied_timescales(model: MarkovModel) -> list[float]:
    """Of all processes but the stationary one, slowest first, ps; NaN where an eigenvalue isn't in (0, 1)."""
    # similar to a symmetric matrix by detailed balance, so that eigenvalues are real
    root = np.sqrt(model.stationary)
    symmetric = root[:, None] * model.probability / root[None, :]
    eigenvalues = np.linalg.eigvalsh((symmetric + symmetric.T) / 2.0)[::-1]
    return [relaxation_time(float(value), model.lag_time) for value in eigenvalues[1:]]


def first_passage_times(model: MarkovModel, n_states: int) -> NDArray[np.float64]:
    """Mean time from state i to j, ps, shape (n_states, n_states); NaN on the diagonal and for states left out.

    In frames of one lag: a visit between two frames isn't seen, so that times compare at equal lag only.
    """
    times = np.full((n_states, n_states), np.nan)
    size = len(model.states)
    for target in range(size):
        rest = [state for state in range(size) if state != target]
        matrix = np.eye(size - 1) - model.probability[np.ix_(rest, rest)]
        times[model.states[rest], model.states[target]] = model.lag_time * np.linalg.solve(
            matrix, np.ones(size - 1)
        )
    return times


@dataclass(frozen=True)
class MarkovFigures:
    """Figures of one trajectory with their standard errors (None: fewer than `LEAST_BLOCKS` blocks).

    Attributes
    ----------
    timescales, timescale_errors : ndarray, shape (n_states - 1,), ps
        Slowest first; NaN where the trajectory doesn't tell.
    passage_times, passage_errors : ndarray, shape (n_states, n_states), ps
        Row from, column to.
    windows : int
        Counted windows.
    """

    timescales: NDArray[np.float64]
    timescale_errors: NDArray[np.float64] | None
    passage_times: NDArray[np.float64]
    passage_errors: NDArray[np.float64] | None
    windows: int


def markov_figures(
    states: ArrayLike,
    n_states: int,
    *,
    lag_frames: int,
    lag_time: float,
    block_frames: int,
    repeats: int,
    generator: np.random.Generator,
) -> MarkovFigures:
    """Implied timescales and mean first-passage times with error bars from resampled blocks of windows.

    Parameters
    ----------
    states : array of int, shape (n_frames,)
        Negative: left out.
    n_states : int
    lag_frames : int
    lag_time : float
        The same in ps.
    block_frames, repeats : int
    generator : numpy.random.Generator
    """
    blocks = block_counts(states, lag_frames, n_states, block_frames)
    values = _flat_figures(blocks.sum(axis=0), lag_time, n_states)
    times, passages = _split(values, n_states)
    windows = int(blocks.sum())
    if len(blocks) < LEAST_BLOCKS:
        return MarkovFigures(times, None, passages, None, windows)
    drawn = generator.integers(0, len(blocks), size=(repeats, len(blocks)))
    samples = np.array([_flat_figures(blocks[chosen].sum(axis=0), lag_time, n_states) for chosen in drawn])
    enough = np.isfinite(samples).sum(axis=0) >= 2  # a resample without a state tells nothing about it
    errors = np.full(values.shape, np.nan)
    errors[enough] = np.nanstd(samples[:, enough], axis=0, ddof=1)
    time_errors, passage_errors = _split(errors, n_states)
    return MarkovFigures(times, time_errors, passages, passage_errors, windows)


def _flat_figures(counts: NDArray[np.int64], lag_time: float, n_states: int) -> NDArray[np.float64]:
    result = np.full(n_states - 1 + n_states**2, np.nan)
    model = markov_model(counts, lag_time)
    if model is not None:
        times = implied_timescales(model)
        result[: len(times)] = times
        result[n_states - 1 :] = first_passage_times(model, n_states).ravel()
    return result


def _split(values: NDArray[np.float64], n_states: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return values[: n_states - 1], values[n_states - 1 :].reshape(n_states, n_states)
