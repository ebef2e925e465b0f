"""Kinetics of model and reference, both at one lag time: P(stay), implied timescales, first passages, correlation.

===============  ==========================================================  =====================
symbol           meaning                                                     name here
===============  ==========================================================  =====================
T_ii             P(stay in basin i over one lag)                             stay_alpha, stay
t_k              implied timescale of the k-th slowest process, ps           implied_timescale_k
m_ij             mean first-passage time from basin i to j, ps               mfpt
g dt             time per independent sample of the slowest basin's          decorrelation_time
                 indicator; g = 1 + 2 sum of autocorrelations
===============  ==========================================================  =====================

Equations: `kinetics` and `msm`. Frames are looked at every lag time on both sides, as a passage between two frames is
never seen. Windows that touch an uncertain basin are left out of timescales, passages and correlations (no reference
knows them).
Masses and friction shape all of these: the reference must have those of the model's training MD.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..comparison import Comparison
from ..estimators.agreement import agreement_z
from ..estimators.features import backbone_torsions
from ..estimators.kinetics import (
    BASINS,
    Statistics,
    basin_statistics,
    lagged_pairs,
    statistical_inefficiency,
    transition_matrix,
)
from ..estimators.msm import LEAST_BLOCKS, MarkovFigures, markov_figures
from ..metric import Metric
from .basins import BasinSet, StateSeries, state_series
from .torsion_metrics import NO_TORSIONS

LAG_MULTIPLES = (1, 2, 4)
LEAST_WINDOWS = 5  # that don't overlap, from one basin; a fraction of fewer is no probability
_BINOMIAL = "binomial, one count for overlapping windows"


@dataclass(frozen=True)
class _Lag:
    """One lag time on both sides."""

    time: float  # ps
    model: int  # frames
    reference: int
    model_block: int
    reference_block: int
    repeats: int
    seed: int

    def times(self, factor: int) -> "_Lag":
        return _Lag(
            self.time * factor, self.model * factor, self.reference * factor, self.model_block, self.reference_block,
            self.repeats, self.seed,
        )  # fmt: skip


def kinetic_metrics(
    comparison: Comparison, basins: BasinSet | None = None, lag_ps: float | None = None
) -> list[Metric]:
    """Kinetic figures of the model beside those of the reference.

    Parameters
    ----------
    comparison : Comparison
    basins : BasinSet, optional
        States of the Markov model; without them alpha and beta of each residue.
    lag_ps : float, optional
        Default: the longer one of both frame spacings.

    Returns
    -------
    list of Metric
        ``stay_alpha[ALA 2]``, ``stay_beta[ALA 2]`` of each residue; ``stay[C5]`` of each basin of a file;
        ``implied_timescale_1`` (details: the same at several lags), ``mfpt[C5 -> PII]``, ``decorrelation_time``.
        Where there is no common lag time, one missing Metric of each kind.
    """
    lag, reason = _common_lag(comparison, lag_ps)
    series = state_series(comparison, basins)
    if lag is None or not series:
        why = reason if lag is None else NO_TORSIONS
        return [Metric.missing(key, label, why, unit=unit) for key, label, unit in _KINDS]
    metrics = _stay_by_residue(comparison, lag)
    for one in series:
        if basins is not None:
            metrics += _stay_by_basin(one, lag)
        metrics += [*_markov_metrics(one, lag), _decorrelation(one, lag)]
    return metrics


_KINDS = (
    ("stay_alpha", "P(stay in alpha)", ""),
    ("stay_beta", "P(stay in beta)", ""),
    ("implied_timescale_1", "Slowest implied timescale", "ps"),
    ("mfpt", "Mean first-passage times", "ps"),
    ("decorrelation_time", "Time per independent sample", "ps"),
)


def lag_problem(comparison: Comparison, lag_ps: float | None) -> str:
    """Why kinetics have no common lag time; empty if they have one."""
    return _common_lag(comparison, lag_ps)[1]


def _common_lag(comparison: Comparison, lag_ps: float | None) -> tuple[_Lag | None, str]:
    """The lag on both sides, or why there is none."""
    own, other = comparison.model_spacing_ps, comparison.reference_spacing_ps
    if own is None or other is None:
        which = "model" if own is None else "reference"
        return None, f"time between frames of the {which} is unknown; give it"
    time = max(own, other) if lag_ps is None else lag_ps
    frames = [_whole_frames(time, spacing) for spacing in (own, other)]
    if frames[0] is None or frames[1] is None:
        return None, (
            f"a lag of {time:g} ps is not a whole number of frames of both the model ({own:g} ps) and the reference "
            f"({other:g} ps)"
        )
    for name, count, series in (
        ("model", frames[0], comparison.model_series),
        ("reference", frames[1], comparison.reference),
    ):
        if len(series) <= count:
            return None, f"the {name} is shorter than the lag of {time:g} ps"
    resampling = comparison.resampling
    reference_block = max(1, round(resampling.block_frames * own / other))
    return _Lag(
        time,
        frames[0],
        frames[1],
        resampling.block_frames,
        reference_block,
        resampling.repeats,
        resampling.seed,
    ), ""


def _whole_frames(time: float, spacing: float) -> int | None:
    frames = round(time / spacing)
    return frames if frames >= 1 and abs(time / spacing - frames) < 1e-3 * frames else None


def _beside(
    key: str,
    label: str,
    figures: tuple[float | None, float | None, float | None, float | None],
    reason: str,
    unit: str = "",
    **details: Any,
) -> Metric:
    """A Metric of (value, error, reference, its error), with z; NaN counts as missing."""
    value, error, reference, reference_error = (
        None if number is None or not np.isfinite(number) else float(number) for number in figures
    )
    details["z"] = agreement_z(value, error, reference, reference_error)
    return Metric(
        key, label, value, unit, None, standard_error=error, reference=reference, reference_error=reference_error,
        reason=reason if value is None else "", details=details,
    )  # fmt: skip


def _stay_by_residue(comparison: Comparison, lag: _Lag) -> list[Metric]:
    """P(stay) of alpha and beta, whatever phi is."""
    model = backbone_torsions(comparison.model_series, comparison.topology)
    reference = backbone_torsions(comparison.reference, comparison.topology)
    metrics = []
    for ours, md in zip(model, reference):
        statistics = basin_statistics(ours.phi, ours.psi, lag.model)
        judge = basin_statistics(md.phi, md.psi, lag.reference)
        for name in BASINS:
            figures = (*_stay(statistics, name, lag.model), *_stay(judge, name, lag.reference))
            metrics.append(
                _beside(
                    f"stay_{name}[{ours.label}]", f"P(stay in {name} for {lag.time:g} ps), {ours.label}", figures,
                    f"the model is in {name} in fewer than {LEAST_WINDOWS} windows", lag_ps=lag.time, error=_BINOMIAL,
                )
            )  # fmt: skip
    return metrics


def _stay(statistics: Statistics, name: str, overlap: int) -> tuple[float | None, float | None]:
    found = statistics[f"stay_{name}"]
    few = found is None or found["windows"] < LEAST_WINDOWS * overlap
    return (None, None) if few or found is None else (found["value"], found["standard_error"])


def _stay_by_basin(series: StateSeries, lag: _Lag) -> list[Metric]:
    size = len(series.names)
    estimates = [
        transition_matrix(*lagged_pairs(states, frames), n_states=size, overlap=frames)
        for states, frames in ((series.model, lag.model), (series.reference, lag.reference))
    ]
    metrics = []
    for index in range(size):
        pairs = [
            (float(one.probability[index, index]), float(one.standard_error[index, index]))
            if one.counts[index].sum() >= LEAST_WINDOWS * frames
            else (None, None)
            for one, frames in zip(estimates, (lag.model, lag.reference))
        ]
        name = series.state_name(index)
        reason = f"the model is in {name} in fewer than {LEAST_WINDOWS} windows"
        metrics.append(
            _beside(
                f"stay[{name}]", f"P(stay in {name} for {lag.time:g} ps)", (*pairs[0], *pairs[1]), reason,
                lag_ps=lag.time, error=_BINOMIAL, uncertain=series.uncertain[index],
            )
        )  # fmt: skip
    return metrics


def _figures(series: StateSeries, lag: _Lag) -> tuple[MarkovFigures, MarkovFigures]:
    """Of model and reference; uncertain basins count as no state."""
    certain = [index for index, uncertain in enumerate(series.uncertain) if not uncertain]
    lookup = np.full(len(series.names) + 1, -1)  # the last entry serves index -1
    lookup[certain] = np.arange(len(certain))
    sides = (
        (series.model, lag.model, lag.model_block),
        (series.reference, lag.reference, lag.reference_block),
    )
    first, last = (
        markov_figures(
            lookup[states], len(certain), lag_frames=frames, lag_time=lag.time, block_frames=max(block, frames),
            repeats=lag.repeats, generator=np.random.default_rng(lag.seed),
        )
        for states, frames, block in sides
    )  # fmt: skip
    return first, last


def _markov_metrics(series: StateSeries, lag: _Lag) -> list[Metric]:
    certain = [index for index, uncertain in enumerate(series.uncertain) if not uncertain]
    if len(certain) < 2:
        reason = "fewer than two basins are certain"
        return [Metric.missing(key, label, reason, unit=unit) for key, label, unit in _KINDS[2:4]]
    longest = min(len(series.model) // lag.model, len(series.reference) // lag.reference) // 2
    lags = [lag.times(factor) for factor in LAG_MULTIPLES if factor == 1 or factor <= longest]
    figures = [_figures(series, one) for one in lags]
    suffix = f"[{series.suffix}]" if series.suffix else ""
    metrics = [_timescale(process, suffix, lags, figures) for process in range(len(certain) - 1)]
    model, reference = figures[0]
    for row, first in enumerate(certain):
        for column, last in enumerate(certain):
            if row != column:
                place = (row, column)
                name = f"{series.names[first]} -> {series.state_name(last)}"
                metrics.append(
                    _beside(
                        f"mfpt[{name}]", f"Mean first-passage time {name}",
                        (*_at(model.passage_times, model.passage_errors, place),
                         *_at(reference.passage_times, reference.passage_errors, place)),
                        "the model doesn't go from one to the other and back", "ps", lag_ps=lag.time,
                    )
                )  # fmt: skip
    return metrics


def _at(
    values: NDArray[np.float64], errors: NDArray[np.float64] | None, place: Any
) -> tuple[float, float | None]:
    return float(values[place]), None if errors is None else float(errors[place])


def _timescale(
    process: int, suffix: str, lags: list[_Lag], figures: list[tuple[MarkovFigures, MarkovFigures]]
) -> Metric:
    """One process at the first lag, with the others in the details (a Markovian model gives the same at each)."""
    rows = [
        (
            *_at(model.timescales, model.timescale_errors, process),
            *_at(reference.timescales, reference.timescale_errors, process),
        )
        for model, reference in figures
    ]
    columns = [
        [None if number is None or not np.isfinite(number) else number for number in column]
        for column in zip(*rows)
    ]
    names = ("model_ps", "model_error_ps", "reference_ps", "reference_error_ps")
    return _beside(
        f"implied_timescale_{process + 1}{suffix}",
        f"Implied timescale {process + 1} at a lag of {lags[0].time:g} ps {suffix}".rstrip(), rows[0],
        "the model's transition matrix has no such eigenvalue in (0, 1)", "ps", lag_ps=lags[0].time,
        lags_ps=[one.time for one in lags], **dict(zip(names, columns)), windows=figures[0][0].windows,
    )  # fmt: skip


def _decorrelation(series: StateSeries, lag: _Lag) -> Metric:
    """g dt of the basin that is slowest in the reference; frames in an uncertain basin count as unknown."""
    key = f"decorrelation_time[{series.suffix}]" if series.suffix else "decorrelation_time"
    uncertain = np.flatnonzero(series.uncertain)
    model, reference = (
        np.where(np.isin(states, uncertain), -1, states) for states in (series.model, series.reference)
    )
    changing = [index for index in range(len(series.names)) if _changes(reference, index)]
    if not changing:
        return Metric.missing(key, _KINDS[4][1], "the reference never changes its basin", unit="ps")
    inefficiencies = [
        statistical_inefficiency(_phases(reference, index, lag.reference)) for index in changing
    ]
    slowest = changing[int(np.argmax(inefficiencies))]
    label = f"Time per independent sample of {series.state_name(slowest)}"
    if not _changes(model, slowest):
        reason = f"the model never changes between {series.names[slowest]} and the rest"
        return Metric.missing(key, label, reason, unit="ps")
    rows = [
        _inefficiency_with_error(model, slowest, lag.model, lag.model_block, lag),
        _inefficiency_with_error(reference, slowest, lag.reference, lag.reference_block, lag),
    ]
    figures = [None if number is None else number * lag.time for row in rows for number in row]
    return _beside(
        key, label, (figures[0], figures[1], figures[2], figures[3]), "", "ps", lag_ps=lag.time,
        indicator=series.names[slowest], statistical_inefficiency=rows[0][0],
        reference_statistical_inefficiency=rows[1][0],
    )  # fmt: skip


def _changes(states: NDArray[np.int64], index: int) -> bool:
    """Whether a state is both entered and left, among known frames."""
    inside = states[states >= 0] == index
    return bool(inside.any() and not inside.all())


def _phases(states: NDArray[np.int64], index: int, stride: int) -> NDArray[np.float64]:
    """Indicator of a state every `stride` frames, one row for each first frame; unknown frames hold the mean."""
    values = (states == index).astype(np.float64)
    values[states < 0] = values[states >= 0].mean()
    length = len(values) // stride
    return values[: length * stride].reshape(length, stride).T


def _inefficiency_with_error(
    states: NDArray[np.int64], index: int, stride: int, block_frames: int, lag: _Lag
) -> tuple[float, float | None]:
    """g and its error: blocks are drawn whole and enter as copies, so that no correlation crosses a border."""
    value = statistical_inefficiency(_phases(states, index, stride))
    length = max(block_frames // stride, 3)
    n_blocks = len(states) // (length * stride)
    if n_blocks < LEAST_BLOCKS:
        return value, None
    whole = _phases(states[: n_blocks * length * stride], index, stride)
    blocks = whole.reshape(stride, n_blocks, length)
    generator = np.random.default_rng(lag.seed)
    drawn = generator.integers(0, n_blocks, size=(lag.repeats, n_blocks))
    samples = [statistical_inefficiency(blocks[:, chosen].reshape(-1, length)) for chosen in drawn]
    return value, float(np.std(samples, ddof=1))
