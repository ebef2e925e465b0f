"""Potential energies and forces of both trajectories under one OpenMM System.

===================  ==========================================================  =====================
symbol               meaning                                                     name here
===================  ==========================================================  =====================
(med U - med U_MD)   shift of the median energy; per ten atoms comparable        energy_shift,
 / kT                between molecules                                           energy_shift_per_ten_atoms
IQR / IQR_MD         ratio of the interquartile ranges                           energy_iqr_ratio
d_JS                 distance of energy histograms (44 bins, the outer two       energy_js
                     open, so that nothing falls outside)
sqrt(<F^2>/<F^2>_MD) ratio of the root mean square forces                        force_rms_ratio
===================  ==========================================================  =====================

MD with constrained X-H bonds has no energy of those bonds (0.5 kT each on average): energies that include it don't
compare with those of flexible frames. Constraints are seen in the frames themselves; such a figure is then "n/a"
unless energies of flexible MD are given, and the energy *without* X-H bonds is compared instead. If one trajectory's
coordinates are rounded (XTC), the other's are, too; given energies can't be.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import openmm
from numpy.typing import ArrayLike, NDArray

from ...errors import ConfigError
from ..comparison import Comparison
from ..estimators.distributions import FloatArray, js_distance
from ..estimators.efficiency import energy_comparison
from ..estimators.frame_energies import XH_BONDS, FrameEnergies, frame_energies
from ..estimators.validity import bond_pairs
from ..metric import Better, Metric
from ..uncertainty import Array, Distance, Resampling, compared
from .coordinate_grid import rounded_alike
from .geometry_metrics import CONSTRAINED_WIDTH
from .thinning import thinned

MOST_FRAMES = 2000
BINS = 44
_LEAST_ENERGIES = 50
_LABELS = {
    "energy_shift": "Median potential energy, model - reference",
    "energy_shift_per_ten_atoms": "Median potential energy, model - reference, per ten atoms",
    "energy_iqr_ratio": "Interquartile range of the energy over that of the reference",
    "energy_js": "JS distance of potential energies",
}
_UNITS = {"energy_shift": "kT", "energy_shift_per_ten_atoms": "kT"}


@dataclass(frozen=True)
class EnergyArrays:
    """For plots: energies and forces of evenly spaced frames.

    Attributes
    ----------
    model, reference : FrameEnergies
        With NaN and infinite energies where they occur.
    reference_potential : ndarray, kJ/mol
        What total energies were compared with: given energies, or those of `reference`.
    constrained_model, constrained_reference : bool
        Whether X-H bonds have one length throughout.
    """

    model: FrameEnergies
    reference: FrameEnergies
    reference_potential: FloatArray
    constrained_model: bool
    constrained_reference: bool


@dataclass(frozen=True)
class _Setting:
    """What every figure needs beside the two arrays of energies."""

    temperature: float
    n_atoms: int
    resampling: Resampling
    notes: dict[str, Any]

    def compare(
        self,
        names: tuple[str, str],
        distance: Distance,
        model: FloatArray,
        reference: FloatArray,
        reason: str = "",
        better: Better | None = None,
        unit: str = "",
    ) -> Metric:
        """One figure of finite energies, or "n/a" for `reason`."""
        first, last = (values[np.isfinite(values)] for values in (model, reference))
        details = {
            **self.notes,
            "non_finite_frames": len(model) - len(first),
            "reference_non_finite_frames": len(reference) - len(last),
        }
        if not reason and min(len(first), len(last)) < _LEAST_ENERGIES:
            reason = f"fewer than {_LEAST_ENERGIES} finite energies"
        if reason:
            return Metric.missing(*names, reason, unit=unit, details=details)
        return compared(
            *names, distance, first, last, self.resampling, better=better, unit=unit, details=details,
        )  # fmt: skip

    def shift(self, model: Array, reference: Array) -> float:
        """Of the medians, kT."""
        return float(self._energies(model, reference)["median_shift_kt"])

    def width_ratio(self, model: Array, reference: Array) -> float:
        """Of the interquartile ranges."""
        found = self._energies(model, reference)
        return (
            float(found["iqr_kj_mol"] / found["md_iqr_kj_mol"])
            if found["md_iqr_kj_mol"] > 0.0
            else float("nan")
        )

    def _energies(self, model: Array, reference: Array) -> dict[str, Any]:
        return energy_comparison(model, reference, self.temperature, self.n_atoms)


def energy_metrics(
    comparison: Comparison,
    system: openmm.System,
    temperature_K: float,
    platform: str = "Reference",
    most_frames: int = MOST_FRAMES,
    reference_energies: ArrayLike | None = None,
) -> tuple[list[Metric], EnergyArrays]:
    """Energies and forces of the model's frames beside those of the reference's.

    Keys: ``energy_shift``, ``energy_shift_per_ten_atoms``, ``energy_iqr_ratio``, ``energy_js``, ``force_rms_ratio``,
    ``energy_shift_without_xh_bonds`` (where the System has such bonds), ``energy_shift[HarmonicAngleForce]`` and so on.

    Parameters
    ----------
    comparison : Comparison
    system : openmm.System
        Of the environment that both sampled, without constraints.
    temperature_K : float
    platform : str
        OpenMM's name.
    most_frames : int
        Evenly spaced frames of either trajectory.
    reference_energies : array, kJ/mol, optional
        Potential energies of MD with the same System, to compare total energies with instead of those of the
        reference's frames (flexible MD where the reference has constraints).

    Returns
    -------
    list of Metric, EnergyArrays
    """
    if not temperature_K > 0.0:
        raise ConfigError(f"temperature {temperature_K} K is not positive; give that of the reference in K.")
    few, grid = rounded_alike(thinned(comparison, most_frames))
    elements = [atom.element for atom in comparison.topology.atoms]
    is_hydrogen = np.array([element is not None and element.symbol == "H" for element in elements])
    model, reference = (
        frame_energies(frames, system, is_hydrogen, platform) for frames in (few.model, few.reference)
    )
    pairs = bond_pairs(comparison.topology)
    pairs = pairs[is_hydrogen[pairs].any(axis=1)]
    constrained = [has_constant_lengths(frames, pairs) for frames in (few.model, few.reference)]
    given = reference_energies is not None
    judge = np.asarray(reference_energies, dtype=np.float64).ravel() if given else reference.potential
    setting = _Setting(
        temperature_K, len(elements), few.resampling,
        {"constrained_model": constrained[0], "constrained_reference": constrained[1], "rounded_to_nm": grid},
    )  # fmt: skip
    affected = constrained[0] != constrained[1] and XH_BONDS in model.terms
    side = "reference" if constrained[1] else "model"
    reason = f"X-H bonds of the {side} are constrained and have no energy" if affected else ""
    return [
        *_total_metrics(setting, model.potential, judge, "" if given else reason),
        _force_metric(setting, model, reference, reason),
        *_term_metrics(setting, model, reference, reason),
    ], EnergyArrays(model, reference, judge, *constrained)


def has_constant_lengths(positions: NDArray[np.floating], pairs: NDArray[np.int64]) -> bool:
    """Whether bonds keep one length each: median interquartile range below `CONSTRAINED_WIDTH`; False for no bond."""
    if len(pairs) == 0:
        return False
    lengths = np.linalg.norm(positions[:, pairs[:, 0]] - positions[:, pairs[:, 1]], axis=-1)
    low, high = np.percentile(lengths, [25.0, 75.0], axis=0)
    return bool(np.median(high - low) < CONSTRAINED_WIDTH)


def _total_metrics(setting: _Setting, model: FloatArray, judge: FloatArray, reason: str) -> list[Metric]:
    names = {key: (key, label) for key, label in _LABELS.items()}
    shift = setting.compare(names["energy_shift"], setting.shift, model, judge, reason, unit="kT")
    ratio = setting.compare(names["energy_iqr_ratio"], setting.width_ratio, model, judge, reason)
    finite = judge[np.isfinite(judge)]
    if not reason and len(finite) >= _LEAST_ENERGIES:
        edges = energy_edges(finite)
        distance = setting.compare(
            names["energy_js"], partial(_histogram_distance, edges), model, judge, better="lower"
        )
    else:
        distance = setting.compare(names["energy_js"], setting.shift, model, judge, reason)
    return [shift, _per_ten_atoms(shift, setting.n_atoms), ratio, distance]


def _per_ten_atoms(shift: Metric, n_atoms: int) -> Metric:
    def scaled(number: float | None) -> float | None:
        return None if number is None else number * 10.0 / n_atoms

    key = "energy_shift_per_ten_atoms"
    return replace(
        shift.renamed(key, _LABELS[key]), value=scaled(shift.value), standard_error=scaled(shift.standard_error),
        floor=scaled(shift.floor), floor_std=scaled(shift.floor_std),
        details={**shift.details, "repeats": shift.key},
    )  # fmt: skip


def energy_edges(reference: FloatArray, bins: int = BINS) -> FloatArray:
    """Edges of `bins` bins over 99.8 % of the reference's energies; the outer two are open, shape (bins + 1,)."""
    low, high = np.percentile(reference, [0.1, 99.9])
    inner = np.linspace(low, high if high > low else low + 1.0, bins - 1)
    return np.concatenate([[-np.inf], inner, [np.inf]])


def _histogram_distance(edges: FloatArray, model: Array, reference: Array) -> float:
    return js_distance(np.histogram(model, edges)[0], np.histogram(reference, edges)[0])


def _force_metric(setting: _Setting, model: FrameEnergies, reference: FrameEnergies, reason: str) -> Metric:
    return setting.compare(
        ("force_rms_ratio", "Root mean square force over that of the reference"), _rms_ratio,
        model.force_rms, reference.force_rms, reason.replace("energy", "force along them"),
    )  # fmt: skip


def _rms_ratio(model: Array, reference: Array) -> float:
    return float(np.sqrt(np.mean(model**2) / np.mean(reference**2)))


def _term_metrics(
    setting: _Setting, model: FrameEnergies, reference: FrameEnergies, reason: str
) -> list[Metric]:
    """Median shift of each term that isn't zero throughout, and of all without X-H bonds."""
    metrics = []
    if XH_BONDS in model.terms:
        rest = [one.potential - one.terms[XH_BONDS] for one in (model, reference)]
        names = ("energy_shift_without_xh_bonds", "Median energy without X-H bonds, model - reference")
        metrics.append(setting.compare(names, setting.shift, rest[0], rest[1], unit="kT"))
    for term, values in model.terms.items():
        if not (values.any() or reference.terms[term].any()):
            continue
        names = (f"energy_shift[{term}]", f"Median energy of {term}, model - reference")
        why = reason if term == XH_BONDS else ""
        metrics.append(setting.compare(names, setting.shift, values, reference.terms[term], why, unit="kT"))
    return metrics
