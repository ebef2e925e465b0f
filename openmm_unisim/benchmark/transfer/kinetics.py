"""P(stay) and two-state timescales of each residue at the model's lag, over chains and over walkers.

===============  ==========================================================  =====================
symbol           meaning                                                     name here
===============  ==========================================================  =====================
P(stay in i)     fraction of windows of one lag from basin i that end in it  stay_alpha, stay_beta
t_2              -lag / ln(P(stay, alpha) + P(stay, beta) - 1)               timescale_ps
===============  ==========================================================  =====================

Basins and estimators: `evaluation.estimators.kinetics`. No window runs from one chain, or walker, into another.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...evaluation.estimators.features import backbone_torsions
from ...evaluation.estimators.kinetics import (
    BASINS,
    TransitionEstimate,
    assign_basin,
    lagged_pairs,
    relaxation_time,
    transition_matrix,
)
from ...evaluation.metrics.kinetic_metrics import LEAST_WINDOWS
from .free_run import FreeRun
from .judge import Judge

__all__ = ["residue_kinetics"]


def residue_kinetics(run: FreeRun, judge: Judge, lag_ps: float) -> tuple[list[dict[str, Any]], str]:
    """Figures of every residue that has phi and psi, and why there are none.

    Returns
    -------
    list of dict
        ``label``, ``stay_alpha`` and ``stay_beta`` (``model``, ``reference``, ``difference`` and errors) and
        ``timescale_ps``; a figure that can't be told is None.
    str
        Empty unless the lag isn't a whole number of the reference's frames.
    """
    ratio = lag_ps / judge.frame_spacing_ps
    lag = round(ratio)
    if lag < 1 or abs(ratio - lag) > 1e-3 * lag:
        return (
            [],
            f"the lag of {lag_ps:g} ps is no whole number of the reference's {judge.frame_spacing_ps:g} ps",
        )
    series = np.concatenate([run.starts[:, None].astype(np.float32), run.frames], axis=1)
    chains = _psi(series.reshape(-1, *series.shape[2:]), judge)
    walkers = _psi(judge.frames, judge)
    ends = np.cumsum([len(walker) for walker in judge.walkers])[:-1]
    rows = []
    for label, psi in chains.items():
        model = _transitions(list(psi.reshape(series.shape[:2])), 1)
        reference = _transitions(np.split(walkers[label], ends), lag)
        row: dict[str, Any] = {"label": label}
        for index, basin in enumerate(BASINS):
            row[f"stay_{basin}"] = _beside(_stay(model, index, 1), _stay(reference, index, lag))
        row["timescale_ps"] = {"model": _timescale(model, lag_ps), "reference": _timescale(reference, lag_ps)}
        rows.append(row)
    return rows, ""


def _psi(positions: NDArray[np.floating], judge: Judge) -> dict[str, NDArray[np.float64]]:
    return {one.label: one.psi for one in backbone_torsions(positions, judge.topology)}


def _transitions(series: Sequence[NDArray[np.float64]], lag: int) -> TransitionEstimate:
    pairs = [lagged_pairs(assign_basin(psi), lag) for psi in series if len(psi) > lag]
    starts, ends = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    return transition_matrix(starts, ends, overlap=lag)


def _stay(estimate: TransitionEstimate, index: int, overlap: int) -> tuple[float, float] | None:
    if estimate.counts[index].sum() < LEAST_WINDOWS * overlap:
        return None
    return float(estimate.probability[index, index]), float(estimate.standard_error[index, index])


def _beside(
    model: tuple[float, float] | None, reference: tuple[float, float] | None
) -> dict[str, float] | None:
    if model is None or reference is None:
        return None
    return {
        "model": model[0],
        "model_error": model[1],
        "reference": reference[0],
        "reference_error": reference[1],
        "difference": model[0] - reference[0],
    }


def _timescale(estimate: TransitionEstimate, lag_ps: float) -> float | None:
    time = relaxation_time(float(np.trace(estimate.probability)) - 1.0, lag_ps)
    return time if np.isfinite(time) else None
