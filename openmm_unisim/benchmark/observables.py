"""The fixed list of observables of every efficiency figure, and their effective samples.

==================  ================================================================  ====================
symbol              meaning                                                           name here
==================  ================================================================  ====================
a(x)                1 if psi is in [-120, 50) degrees, else 0 (`kinetics`)             alpha
cos, sin            of phi and of psi                                                 cos_phi, sin_phi, ...
n                   frames of one trajectory (a rejected jump repeats its frame)      n_frames
g                   1 + 2 sum_k rho_k, Geyer's initial positive sequence               inefficiency
ESS                 n / g                                                             effective_samples
==================  ================================================================  ====================

g is `kinetics.statistical_inefficiency`: never below 1, so neither side gains by anticorrelation. A series too short to
know g has no ESS, not a large one: see `LEAST_TRANSITIONS` and `LEAST_EFFECTIVE_SAMPLES`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation.estimators.kinetics import assign_basin, statistical_inefficiency

__all__ = [
    "ESTIMATOR",
    "LEAST_EFFECTIVE_SAMPLES",
    "LEAST_TRANSITIONS",
    "ObservableSamples",
    "alpha_name",
    "measure_observables",
    "slowest",
]

ESTIMATOR = (
    "ESS = n / g per run, g = 1 + 2 sum of autocorrelations up to the first non-positive pair (Geyer 1992), "
    "at least 1"
)
LEAST_TRANSITIONS = 10  # of a basin indicator; fewer can't tell its correlation time
LEAST_EFFECTIVE_SAMPLES = 10.0  # a run of fewer correlation times can't either

Torsions = Sequence[dict[str, Any]]  # label, phi, psi of each residue, degrees


@dataclass(frozen=True)
class ObservableSamples:
    """How much one trajectory knows about one observable.

    Attributes
    ----------
    name : str
        E.g. ``alpha[ALA 2]``.
    n_frames : int
    inefficiency, effective_samples : float or None
        None where the trajectory is too short to tell (`reason`).
    transitions : int or None
        Changes of basin from frame to frame; None for a continuous observable.
    reason : str
    """

    name: str
    n_frames: int
    inefficiency: float | None
    effective_samples: float | None
    transitions: int | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def alpha_name(label: str) -> str:
    """Name of the basin indicator of the residue `label`."""
    return f"alpha[{label}]"


def measure_observables(torsions: Torsions) -> list[ObservableSamples]:
    """Effective samples of every observable of one trajectory.

    Parameters
    ----------
    torsions : sequence of dict
        ``label``, ``phi``, ``psi`` (degrees, shape (n_frames,)) of each residue.
    """
    found = []
    for residue in torsions:
        label = residue["label"]
        psi = np.asarray(residue["psi"], dtype=np.float64)
        found.append(_of_indicator(alpha_name(label), assign_basin(psi) == 0))
        for angle in ("phi", "psi"):
            radians = np.radians(np.asarray(residue[angle], dtype=np.float64))
            found.append(_of_series(f"cos_{angle}[{label}]", np.cos(radians)))
            found.append(_of_series(f"sin_{angle}[{label}]", np.sin(radians)))
    return found


def _of_indicator(name: str, indicator: NDArray[np.bool_]) -> ObservableSamples:
    transitions = int(np.count_nonzero(indicator[1:] != indicator[:-1]))
    if transitions < LEAST_TRANSITIONS:
        reason = f"{transitions} changes of basin and {LEAST_TRANSITIONS} are needed; run longer"
        return ObservableSamples(name, len(indicator), None, None, transitions, reason)
    return _of_series(name, indicator.astype(np.float64), transitions)


def _of_series(name: str, series: NDArray[np.float64], transitions: int | None = None) -> ObservableSamples:
    inefficiency = statistical_inefficiency(series)
    effective = len(series) / inefficiency
    if effective < LEAST_EFFECTIVE_SAMPLES:
        reason = f"about {effective:.0f} effective samples and {LEAST_EFFECTIVE_SAMPLES:.0f} are needed; run longer"
        return ObservableSamples(name, len(series), None, None, transitions, reason)
    return ObservableSamples(name, len(series), inefficiency, effective, transitions)


def slowest(samples: Sequence[ObservableSamples]) -> ObservableSamples:
    """The observable of fewest effective samples; one that can't be told is slower than all that can."""
    missing = [sample for sample in samples if sample.effective_samples is None]
    if missing:
        return missing[0]
    return min(samples, key=lambda sample: sample.effective_samples or 0.0)
