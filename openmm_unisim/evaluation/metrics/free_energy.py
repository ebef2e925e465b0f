"""Free energy of each basin in kT, and the model's error of it.

===============  ==========================================================  =====================
symbol           meaning                                                     name here
===============  ==========================================================  =====================
p_i              fraction of finite frames in basin i                        population
p_c              fraction in any basin that isn't uncertain; 1 without one   basin_free_energy
F_i              -ln(p_i/p_c), kT                                            basin_free_energy
dF_i             F_i of the model - F_i of the reference                     free_energy_error
===============  ==========================================================  =====================

Relative to the certain basins together, since a stay in an uncertain one, which says nothing against a model, would
raise the free energy of all others.

A basin that a trajectory never visits has no free energy ("n/a"). Where only a *resampled* trajectory misses it, half
a frame stands for it, so that the error bar stays finite and errs wide.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..comparison import Comparison
from ..estimators.agreement import agreement_z
from ..metric import Metric
from ..uncertainty import Array, Resampling, compared, estimated
from .basins import BasinSet, StateSeries, state_series
from .torsion_metrics import NO_TORSIONS


@dataclass(frozen=True)
class Place:
    """A basin in the columns of states.

    Attributes
    ----------
    column : int
        Basin set, or residue.
    index : int
        Of the basin.
    certain : tuple of int
        The set's basins that aren't uncertain.
    """

    column: int
    index: int
    certain: tuple[int, ...]

    def inside(self, states: Array) -> Array:
        """Whether each frame is in the basin, shape (n_frames,)."""
        return states[:, self.column] == self.index


_SUMMARIES = {
    "free_energy_error_mean": "Mean |error| of basin free energies",
    "free_energy_error_max": "Largest |error| of a basin free energy",
}


def basin_free_energy(place: Place, states: Array) -> float:
    """-ln(p of the basin / p of all certain ones), kT; half a frame stands for none.

    Parameters
    ----------
    place : Place
    states : ndarray of int, shape (n_frames, n_columns)
    """
    count = float(np.count_nonzero(place.inside(states)))
    certain = float(np.count_nonzero(np.isin(states[:, place.column], place.certain)))
    return float(np.log(max(certain, 0.5) / max(count, 0.5)))


def free_energy_metrics(comparison: Comparison, basins: BasinSet | None) -> list[Metric]:
    """Mean and largest |error| over the certain basins, then free energy and error of each basin.

    Keys: ``free_energy_error_mean``, ``free_energy_error_max``, ``free_energy[alphaR]``,
    ``free_energy_error[alphaR]``; a residue follows the basin's name where there is no basin file. An uncertain basin
    has ``details["uncertain"]`` True and is in neither summary.

    Parameters
    ----------
    comparison : Comparison
    basins : BasinSet or None
        None: alpha and beta of each residue.
    """
    series = state_series(comparison, basins, finite=True)
    if not series:
        return [_missing(key, label, NO_TORSIONS) for key, label in _SUMMARIES.items()]
    model = _known(np.stack([one.model for one in series], axis=1))
    reference = _known(np.stack([one.reference for one in series], axis=1))
    places: list[Place] = []
    lacking: list[str] = []
    metrics: list[Metric] = []
    for column, one in enumerate(series):
        certain = tuple(index for index, uncertain in enumerate(one.uncertain) if not uncertain)
        for index in range(len(one.names)):
            place = Place(column, index, certain)
            reason = _why_none(place, one, model, reference)
            metrics += _of_basin(place, one, model, reference, comparison.resampling, reason)
            if index in certain:
                places.append(place)
                lacking += [reason] if reason else []
    return [*_summaries(places, lacking, model, reference, comparison.resampling), *metrics]


def _known(states: Array) -> Array:
    """Without frames that have no torsion (atoms on a line)."""
    return states[(states >= 0).all(axis=1)]


def _why_none(place: Place, series: StateSeries, model: Array, reference: Array) -> str:
    absent = [
        name
        for name, states in (("model", model), ("reference", reference))
        if not place.inside(states).any()
    ]
    return (
        f"basin {series.state_name(place.index)} is never visited by the {' and the '.join(absent)}"
        if absent
        else ""
    )


def _of_basin(
    place: Place, series: StateSeries, model: Array, reference: Array, resampling: Resampling, reason: str
) -> list[Metric]:
    name, uncertain = series.state_name(place.index), series.uncertain[place.index]
    label = f"{name} (uncertain)" if uncertain else name
    populations = [float(np.mean(place.inside(states))) for states in (model, reference)]
    details = {"uncertain": uncertain, "population": populations[0], "reference_population": populations[1]}
    keys = {
        f"free_energy[{name}]": f"Free energy of {label}",
        f"free_energy_error[{name}]": f"Free energy of {label}, model - reference",
    }
    (own_key, own_label), (error_key, error_label) = keys.items()
    free_energy = partial(basin_free_energy, place)
    if populations[0] > 0.0:
        own = estimated(
            own_key, own_label, free_energy, model, reference, resampling, unit="kT", details=details
        )
    else:
        own = _missing(own_key, own_label, reason, details=details)
    if populations[1] == 0.0:  # half a frame isn't a free energy
        own = replace(own, reference=None, reference_error=None)
    if reason:
        return [own, _missing(error_key, error_label, reason, details=details)]
    error = compared(
        error_key, error_label, lambda first, last: free_energy(first) - free_energy(last), model, reference,
        resampling, better=None, unit="kT", details=details,
    )  # fmt: skip
    z = agreement_z(error.value, error.standard_error, 0.0, 0.0)
    return [own, replace(error, details={**details, "z": z})]


def _summaries(
    places: list[Place], lacking: list[str], model: Array, reference: Array, resampling: Resampling
) -> list[Metric]:
    reason = "; ".join(lacking) if len(places) > 1 else "fewer than two basins that aren't uncertain"
    if reason:
        return [_missing(key, label, reason) for key, label in _SUMMARIES.items()]

    def errors(first: Array, last: Array) -> list[float]:
        return [abs(basin_free_energy(place, first) - basin_free_energy(place, last)) for place in places]

    summaries = (
        lambda first, last: float(np.mean(errors(first, last))),
        lambda first, last: max(errors(first, last)),
    )
    details = {"basins": len(places)}
    return [
        compared(key, label, summary, model, reference, resampling, unit="kT", details=details)
        for (key, label), summary in zip(_SUMMARIES.items(), summaries)
    ]


def _missing(key: str, label: str, reason: str, **fields: object) -> Metric:
    return Metric.missing(key, label, reason, unit="kT", **fields)
