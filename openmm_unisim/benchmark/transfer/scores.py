"""Every figure of one molecule's free-running jumps beside its reference MD, as plain values.

Definitions are those of `openmm_unisim.evaluation`; what is added here is which of them stand in the record, validity
by the counters of `simulation.quality` (all stereocentres, any molecule), and two looks at MD itself: what one walker
scores against the others, and how far the chains drift from their starts (first half against second).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...evaluation.comparison import Comparison, compare
from ...evaluation.estimators.distributions import js_distance, torsion_histogram
from ...evaluation.estimators.features import backbone_torsions
from ...evaluation.estimators.frame_energies import XH_BONDS
from ...evaluation.estimators.rotatable import rotatable_torsions, torsion_angles
from ...evaluation.metric import Metric
from ...evaluation.metrics.energy_metrics import EnergyArrays, energy_metrics
from ...evaluation.metrics.geometry_metrics import geometry_metrics
from ...evaluation.metrics.rotatable_metrics import rotatable_metrics
from ...evaluation.metrics.structure_metrics import structure_metrics
from ...evaluation.metrics.torsion_metrics import torsion_metrics
from ...evaluation.trajectories import LoadedTrajectory
from ...simulation.quality import QualityCounts, QualityMonitor
from ...system import create_system
from ...units import BOLTZMANN
from .free_run import FreeRun
from .judge import Judge
from .kinetics import residue_kinetics

__all__ = ["score_run", "validity"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
ENERGY_FRAMES = 1000  # of either side
LEAST_RESIDUES = 5  # for the paper's metrics of alpha carbons: PWD and CONTACT need pairs i, i + 4
_SMALL = 50  # atoms; below it the Reference platform beats CPU
_GEOMETRY = (
    "bond_shift[heavy]", "bond_width_ratio[heavy]", "angle_shift[heavy]", "angle_width_ratio[heavy]", "fraction_cis",
)  # fmt: skip
_PAPER = ("pwd", "rg", "tic", "tic_2d", "val_ca", "contact", "ram")
_BLOCK_PS = 1000.0
_KEPT = ("value", "standard_error", "reference", "reference_error", "floor", "floor_std", "unit", "reason")


def score_run(run: FreeRun, judge: Judge, lag_ps: float, seed: int = 0) -> dict[str, Any]:
    """Score chains of jumps.

    Parameters
    ----------
    run : FreeRun
    judge : Judge
    lag_ps : float
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        ``validity``, ``backbone``, ``kinetics``, ``torsions``, ``energy``, ``geometry``, ``paper`` (five residues and
        up), ``halves``, ``between_walkers``; figures by key, each with value, error, floor or reason.
    """
    checked = {"model": validity(run.flat, judge), "reference": validity(judge.frames, judge)}
    finite = np.isfinite(run.flat).all(axis=(1, 2)).sum()
    if finite < len(run.flat) // 2 or finite < 100:
        return {
            "validity": checked,
            "reason": f"{len(run.flat) - finite} of {len(run.flat)} frames aren't finite",
        }
    topology = judge.topology
    comparison = compare(
        LoadedTrajectory(judge.frames, topology, judge.frame_spacing_ps),
        LoadedTrajectory(run.flat, topology, lag_ps),
        topology, judge.molecule.positions.astype(np.float32), block_ps=_BLOCK_PS, seed=seed,
    )  # fmt: skip
    rows, reason = residue_kinetics(run, judge, lag_ps)
    record = {
        "validity": checked,
        "backbone": figures(torsion_metrics(comparison)),
        "kinetics": rows,
        "kinetics_reason": reason,
        "torsions": figures(rotatable_metrics(comparison)),
        "energy": _energies(comparison, judge),
        "geometry": {
            key: figure for key, figure in figures(geometry_metrics(comparison)).items() if key in _GEOMETRY
        },
        "halves": _halves(run, judge),
        "between_walkers": _between_walkers(judge),
    }
    if len(rows) >= LEAST_RESIDUES or len(backbone_torsions(judge.frames[:1], topology)) >= LEAST_RESIDUES:
        found = figures(structure_metrics(comparison, "paper")[0])
        record["paper"] = {key: found[key] for key in _PAPER}
    return record


def figures(metrics: Sequence[Metric]) -> dict[str, dict[str, Any]]:
    """Metrics by key, without what is empty."""
    return {
        metric.key: {
            name: value
            for name, value in metric.as_dict().items()
            if name in _KEPT and value not in (None, "")
        }
        for metric in metrics
    }


def validity(frames: NDArray[np.floating], judge: Judge) -> dict[str, Any]:
    """Broken frames, by `simulation.quality`: NaN, a bond off by 0.05 nm, a clash; flipped stereocentres apart.

    Returns
    -------
    dict
        ``frames``, ``nan``, ``bond``, ``clash``, ``flips`` (frames each), ``explosions`` (nan or bond), ``valid`` (the
        fraction without NaN, broken bond or clash), ``stereocentres``, ``largest_bond_deviation_nm``.
    """
    system = create_system(judge.molecule, judge.environment)
    monitor = QualityMonitor(judge.molecule.topology, system, judge.molecule.positions)
    counts, broken, explosions = QualityCounts(), 0, 0
    for frame in frames:
        quality = monitor.assess(frame.astype(np.float64))
        counts.add(quality)
        exploded = quality.nan or quality.bond_broken
        explosions += exploded
        broken += exploded or quality.clashes > 0
    return {
        "frames": len(frames),
        "nan": counts.nan,
        "bond": counts.bond,
        "clash": counts.clash,
        "flips": counts.chirality,
        "explosions": explosions,
        "valid": 1.0 - broken / len(frames),
        "stereocentres": monitor.n_stereocentres,
        "largest_bond_deviation_nm": counts.largest_bond_deviation,
    }


def _energies(comparison: Comparison, judge: Judge) -> dict[str, Any]:
    """Shifts, widths and distances of energies, and quantiles of both sides relative to MD's median, kT."""
    system = create_system(judge.molecule, judge.environment)
    platform = "Reference" if system.getNumParticles() < _SMALL else "CPU"
    metrics, arrays = energy_metrics(comparison, system, judge.temperature_K, platform, ENERGY_FRAMES)
    return figures(metrics) | {"quantiles": _quantiles(arrays, judge.temperature_K)}


def _quantiles(arrays: EnergyArrays, temperature: float) -> dict[str, Any]:
    apart = arrays.constrained_model != arrays.constrained_reference and XH_BONDS in arrays.model.terms
    sides = {}
    for name, side in (("model", arrays.model), ("reference", arrays.reference)):
        values = side.potential - side.terms[XH_BONDS] if apart else side.potential
        sides[name] = values[np.isfinite(values)] / (BOLTZMANN * temperature)
    zero = float(np.median(sides["reference"]))
    return {
        "of": "energy without X-H bonds" if apart else "potential energy",
        "unit": "kT above the reference's median",
        "levels": list(QUANTILES),
        **{name: (np.quantile(values, QUANTILES) - zero).tolist() for name, values in sides.items()},
    }


def _angles(frames: NDArray[np.floating], judge: Judge) -> NDArray[np.float64]:
    """phi and psi of each residue, else torsions about rotatable bonds, degrees, (n_frames, n_angles)."""
    residues = backbone_torsions(frames, judge.topology)
    if residues:
        return np.stack([angle for one in residues for angle in (one.phi, one.psi)], axis=1)
    return torsion_angles(frames, judge.topology, rotatable_torsions(judge.topology))


def _mean_js(first: NDArray[np.float64], last: NDArray[np.float64]) -> float | None:
    """Mean 1-D JS distance over the columns; rows with NaN are left out."""
    kept = [values[np.isfinite(values).all(axis=1)] for values in (first, last)]
    if first.shape[1] == 0 or not all(len(values) for values in kept):
        return None
    return float(
        np.mean(
            [js_distance(torsion_histogram(a), torsion_histogram(b)) for a, b in zip(kept[0].T, kept[1].T)]
        )
    )


def _halves(run: FreeRun, judge: Judge) -> dict[str, float | None]:
    """Mean 1-D JS distance to MD of each half of the chains: they start at equilibrium and may drift from it."""
    reference = _angles(judge.frames, judge)
    middle = run.frames.shape[1] // 2
    halves = (run.frames[:, :middle], run.frames[:, middle:])
    first, last = (_mean_js(_angles(half.reshape(-1, *half.shape[2:]), judge), reference) for half in halves)
    return {"first": first, "second": last}


def _between_walkers(judge: Judge) -> dict[str, Any]:
    """Mean 1-D JS distance of each walker to all others: what MD of one walker's length scores."""
    angles = [_angles(walker, judge) for walker in judge.walkers]
    if len(angles) < 2:
        return {"reason": "one walker"}
    scores = [_mean_js(angles[k], np.concatenate(angles[:k] + angles[k + 1 :])) for k in range(len(angles))]
    known = [score for score in scores if score is not None]
    nanoseconds = len(judge.walkers[0]) * judge.frame_spacing_ps / 1000.0
    return {"mean": float(np.mean(known)) if known else None, "each": scores, "nanoseconds": nanoseconds}
