"""Are the samples right? Torsion distances of both sides, pooled over seeds, and the bias of the alpha population.

A fast sampler of a wrong distribution is worth nothing, so these figures stand beside every speed. The judge is a
reference trajectory where there is one, else the MD of the same benchmark, which has no floor.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..evaluation.estimators.distributions import (
    js_distance,
    same_size_floor,
    torsion_histogram,
    torsion_histogram_2d,
)
from ..evaluation.estimators.kinetics import assign_basin, population
from ..evaluation.reference import TorsionReference
from .crossover import crossover, variance_seconds
from .intervals import geometric_mean
from .observables import alpha_name

__all__ = ["PooledSide", "bias_figures", "distance_figures"]

KINDS = ("phi", "psi", "phi_psi")
_BLOCK_PS = 1000.0  # of the floor's bootstrap: outlasts the slowest relaxation


@dataclass(frozen=True)
class PooledSide:
    """All runs of one side (`side_record.make_record`)."""

    runs: list[dict[str, Any]]

    def histogram(self, residue: int, kind: str) -> NDArray[np.float64]:
        """Counts of all seeds together."""
        return np.sum([run["residues"][residue][kind] for run in self.runs], axis=0, dtype=np.float64)

    @property
    def n_frames(self) -> int:
        """Of all seeds together."""
        return sum(run["n_frames"] for run in self.runs)

    def alpha(self, residue: int) -> tuple[float, float]:
        """Population of alpha and its standard error.

        The larger of the scatter over seeds and the error that the runs themselves claim, since few seeds may agree by
        chance.
        """
        entries = [run["residues"][residue]["alpha"] for run in self.runs]
        weights = np.array([run["n_frames"] for run in self.runs], dtype=np.float64)
        weights /= weights.sum()
        values = np.array([entry["value"] for entry in entries])
        errors = np.array([entry["standard_error"] for entry in entries])
        claimed = float(np.sqrt(np.sum((weights * errors) ** 2)))
        scatter = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
        return float(weights @ values), max(claimed, scatter)

    def variance_seconds(self, residue: int) -> float | None:
        """A of `crossover`, s; None where a seed couldn't tell the indicator's effective samples."""
        name = alpha_name(self.runs[0]["residues"][residue]["label"])
        rates = [run["observables"][name]["ess_per_s"] for run in self.runs]
        if any(rate is None for rate in rates):
            return None
        return variance_seconds(self.alpha(residue)[0], geometric_mean(rates).value)


def distance_figures(
    unisim: PooledSide, md: PooledSide, reference: TorsionReference | None, seed: int
) -> list[dict[str, Any]]:
    """JS distances of each residue: UniSim's, that of the MD of equal time, and the same-size MD floor.

    Parameters
    ----------
    unisim, md : PooledSide
    reference : TorsionReference or None
        None: the MD of this benchmark judges.
    seed : int
        Of the floor's bootstrap.
    """
    figures = []
    for index, residue in enumerate(unisim.runs[0]["residues"]):
        judge = _reference_histograms(reference, index) or {kind: md.histogram(index, kind) for kind in KINDS}
        row: dict[str, Any] = {"label": residue["label"]}
        for kind in KINDS:
            row[kind] = {"unisim": js_distance(unisim.histogram(index, kind), judge[kind])}
            row[kind]["unisim_by_seed"] = [
                js_distance(run["residues"][index][kind], judge[kind]) for run in unisim.runs
            ]
            if reference is not None:
                row[kind]["md"] = js_distance(md.histogram(index, kind), judge[kind])
        if reference is not None:
            for kind, floor in _floor(reference, index, unisim, seed).items():
                row[kind] |= {"floor": floor["mean"], "floor_std": floor["std"]}
        figures.append(row)
    return figures


def _reference_histograms(
    reference: TorsionReference | None, index: int
) -> dict[str, NDArray[np.float64]] | None:
    if reference is None:
        return None
    torsions = reference.torsions[index]
    return {
        "phi": torsion_histogram(torsions.phi),
        "psi": torsion_histogram(torsions.psi),
        "phi_psi": torsion_histogram_2d(torsions.phi, torsions.psi).ravel(),
    }


def _floor(
    reference: TorsionReference, index: int, side: PooledSide, seed: int
) -> dict[str, dict[str, float]]:
    """What MD of as many frames as the side has scores against the reference."""
    spacing = side.runs[0]["frame_spacing_ps"]
    torsions = reference.torsions[index]
    floors = same_size_floor(
        torsions.phi,
        torsions.psi,
        side.n_frames,
        np.random.default_rng(seed),
        stride=reference.lag_frames(spacing) or 1,
        block_frames=max(1, round(_BLOCK_PS / spacing)),
    )
    return {kind: {"mean": floor.mean, "std": floor.std} for kind, floor in floors.items()}


def bias_figures(
    unisim: PooledSide,
    md: PooledSide,
    reference: TorsionReference | None,
    long_run: TorsionReference | None = None,
) -> list[dict[str, Any]]:
    """Alpha population of each residue on both sides and in the judge, and the crossover (`crossover`).

    Parameters
    ----------
    unisim, md : PooledSide
    reference : TorsionReference or None
        None: the MD of this benchmark judges.
    long_run : TorsionReference, optional
        Long UniSim trajectory that knows UniSim's population better than the runs of the benchmark do.
    """
    figures = []
    for index, residue in enumerate(unisim.runs[0]["residues"]):
        expected = md.alpha(index) if reference is None else _alpha(reference, index)
        value, error = unisim.alpha(index) if long_run is None else _alpha(long_run, index)
        row: dict[str, Any] = {
            "label": residue["label"],
            "unisim": value,
            "unisim_error": error,
            "unisim_source": "runs of this benchmark" if long_run is None else long_run.name,
            "md": md.alpha(index)[0],
            "md_error": md.alpha(index)[1],
            "reference": expected[0],
            "reference_error": expected[1],
        }
        fast, slow = unisim.variance_seconds(index), md.variance_seconds(index)
        if fast is None or slow is None:
            row["reason"] = (
                "a run was too short to tell the effective samples of the basin indicator; run longer"
            )
        else:
            row["crossover"] = crossover(
                value - expected[0], float(np.hypot(error, expected[1])), fast, slow
            ).as_dict()
        figures.append(row)
    return figures


def _alpha(trajectory: TorsionReference, index: int) -> tuple[float, float]:
    """Population of alpha and its standard error; no residue lacks finite frames (`trajectory_reference`)."""
    found = population(assign_basin(trajectory.torsions[index].psi) == 0)
    if found is None:
        raise DataError(f"'{trajectory.name}' holds no frames; give a longer trajectory.")
    return found["value"], found["standard_error"]
