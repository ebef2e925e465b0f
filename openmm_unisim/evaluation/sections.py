"""The sections of an evaluation: which metrics stand in each, and the arrays that its figures are drawn from.

Only the paper's section depends on the mode. A section that can't be computed says why ("n/a"), never zero.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import openmm

from ..errors import StructureError
from ..system import Molecule, create_system
from .comparison import Comparison
from .estimators.frame_energies import frame_energies
from .estimators.validity import bond_pairs
from .metric import Metric
from .metrics.basins import BasinSet
from .metrics.coordinate_grid import is_rounded
from .metrics.drift import drift_metrics
from .metrics.energy_metrics import MOST_FRAMES, EnergyArrays, energy_metrics, has_constant_lengths
from .metrics.ensemble_check import KEY as ENSEMBLE_KEY
from .metrics.ensemble_check import LABEL as ENSEMBLE_LABEL
from .metrics.ensemble_check import ensemble_check
from .metrics.free_energy import free_energy_metrics
from .metrics.geometry_metrics import geometry_metrics
from .metrics.kinetic_metrics import kinetic_metrics, lag_problem
from .metrics.structure_metrics import StructureArrays, structure_metrics
from .metrics.thinning import thinned
from .metrics.torsion_metrics import torsion_metrics
from .reference import shipped_reference
from .settings import NO_ENVIRONMENT, EvaluationSettings
from .trajectories import load_trajectory

NOTES = {
    "torsions": "Histograms of the whole torus, in both modes: nothing falls outside.",
    "kinetics": "Both trajectories at one lag time; z is the difference over both errors. Masses and friction shape "
    "these figures: the reference must have those of the model's training MD.",
    "free_energy": "Basins marked uncertain have a population that no reference knows and are in no summary.",
    "geometry": "Fractions count every frame and stand with their 95 % interval; bonds and angles are of evenly spaced "
    "frames.",
    "drift": "The run in consecutive windows: a slope within two errors of 0 is no drift.",
    "ensemble": "Energies of the model at two temperatures must shift as Boltzmann's law says; no reference is needed.",
}
STRUCTURE_NOTES = {
    "strict": "Strict: bins go on beyond the reference's range so that no sample is dropped, no pseudo-count, TICA "
    "fitted to the first half of the reference and judged by its second.",
    "paper": "Paper: 49 bins on the range of the reference, a pseudo-count of 1e-6 on the density, model samples "
    "outside dropped (their share is in the last column); known bugs of the released scripts are corrected.",
}
_ENERGY_LABEL = "Potential energies"
_BROKEN = 0.9  # of all frames: not a model's failure any more
_LARGE_SHARE = 0.25  # of the reference in the model's time: floors drawn from it err low (docs/metrics.md)
_PROBED_FRAMES = 500  # to see whether bonds are constrained

Outcome = tuple[list["Section"], "SectionArrays", list[str]]
Stage = Callable[[str], None]


@dataclass
class SectionArrays:
    """What figures need beside the metrics; None where it couldn't be computed."""

    structure: StructureArrays | None = None
    energies: EnergyArrays | None = None


@dataclass(frozen=True)
class Section:
    """A group of metrics.

    Attributes
    ----------
    key, title : str
    note : str
        What to know when reading it.
    metrics : list of Metric
    depends_on_mode : bool
        Whether paper and strict mode define it differently.
    """

    key: str
    title: str
    note: str
    metrics: list[Metric]
    depends_on_mode: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "key": self.key,
            "title": self.title,
            "note": self.note,
            "depends_on_mode": self.depends_on_mode,
            "metrics": [metric.as_dict() for metric in self.metrics],
        }


def make_sections(
    comparison: Comparison, settings: EvaluationSettings, basins: BasinSet | None, stage: Stage | None = None
) -> Outcome:
    """All sections, arrays for figures, and warnings.

    Parameters
    ----------
    comparison : Comparison
    settings : EvaluationSettings
    basins : BasinSet or None
    stage : callable, optional
        Told the name of each section before it is computed.
    """
    arrays, warnings = SectionArrays(), _warnings(comparison, settings)
    sections: list[Section] = []

    def add(key: str, title: str, compute: Callable[[], list[Metric]]) -> None:
        if stage is not None:
            stage(title)
        sections.append(Section(key, title, NOTES[key], compute()))

    if stage is not None:
        stage("Metrics of the paper")
    structure, arrays.structure = structure_metrics(
        comparison, settings.mode, tica_lag=settings.tica_lag,
        wall_seconds=(settings.model_wall_seconds, settings.reference_wall_seconds),
    )  # fmt: skip
    sections.append(
        Section(
            "structure",
            "Metrics of the paper",
            STRUCTURE_NOTES[settings.mode],
            structure,
            depends_on_mode=True,
        )
    )
    add("torsions", "Backbone torsions", lambda: torsion_metrics(comparison))
    add("kinetics", "Kinetics", lambda: kinetic_metrics(comparison, basins, settings.lag_ps))
    add("free_energy", "Free energy of basins", lambda: free_energy_metrics(comparison, basins))
    add("geometry", "Geometry", lambda: geometry_metrics(comparison))
    if stage is not None:
        stage("Energies and forces")
    system, reason = _system(comparison, settings)
    energies, arrays.energies = _energy_section(comparison, settings, system, reason)
    sections.append(energies)
    add("drift", "Drift", lambda: drift_metrics(comparison, settings.windows))
    if settings.second_model is not None:
        add(
            "ensemble",
            "Two temperatures",
            lambda: _ensemble(comparison, settings, system, reason, arrays.energies),
        )
    warnings += _exploded(comparison, sections)
    return sections, arrays, warnings


def _exploded(comparison: Comparison, sections: list[Section]) -> list[str]:
    """Nearly all frames broken: another unit or order of atoms rather than a bad model."""
    fractions = {metric.key: metric for section in sections for metric in section.metrics}
    explosions = fractions["fraction_explosion"]
    return [
        f"{100 * fraction:.3g} % of the {side}'s frames have broken bonds: are its coordinates in nm (mdtraj's "
        "containers convert; a .npz doesn't) and its atoms in the order of the topology?"
        for side, fraction in (("model", explosions.value), ("reference", explosions.reference))
        if fraction is not None and fraction > _BROKEN
    ]


def _warnings(comparison: Comparison, settings: EvaluationSettings) -> list[str]:
    found = []
    if comparison.nan_frames:
        found.append(
            f"{comparison.nan_frames} frames of the model have NaN or infinite coordinates: left out of distributions, "
            "counted as exploded."
        )
    missing = [
        name
        for name, spacing in (
            ("model", comparison.model_spacing_ps),
            ("reference", comparison.reference_spacing_ps),
        )
        if spacing is None
    ]
    if missing:
        found.append(
            f"The time between frames of the {' and the '.join(missing)} is unknown: kinetics are n/a; give it with "
            f"{' and '.join(f'--{name}-spacing' for name in missing)}."
        )
    elif comparison.lag_frames is None:
        found.append(
            f"The model's frame spacing of {comparison.model_spacing_ps:g} ps isn't a whole number of the reference's "
            f"{comparison.reference_spacing_ps:g} ps: floors are of the nearest spacing."
        )
    unusable = lag_problem(comparison, settings.lag_ps)
    if settings.lag_ps is not None and unusable and not missing:
        found.append(f"Kinetics are n/a: {unusable}; give another --lag.")
    share = len(comparison.model) * comparison.resampling.stride / len(comparison.reference)
    if share > _LARGE_SHARE:
        found.append(
            f"The model's frames span {share:.2g} times the reference's time: MD of as much time can't be drawn from "
            "it anew, so floors err low and figures just beyond them may be MD's own noise; a longer reference helps."
        )
    return found


# --- energies ------------------------------------------------------------------------------------------------------


def _system(comparison: Comparison, settings: EvaluationSettings) -> tuple[openmm.System | None, str]:
    """The System of the energies, or why there is none."""
    if settings.environment == NO_ENVIRONMENT:
        return None, "no environment was given"
    topology = comparison.topology.to_openmm()
    name = "-".join(residue.name for residue in comparison.topology.residues)
    molecule = Molecule(name, topology, comparison.structure.astype(np.float64))
    try:
        return create_system(molecule, settings.environment), ""
    except StructureError as error:
        return None, " ".join(str(error).split()).split(";")[0]  # the cure is of another command


def _energy_section(
    comparison: Comparison, settings: EvaluationSettings, system: openmm.System | None, reason: str
) -> tuple[Section, EnergyArrays | None]:
    title = "Energies and forces"
    if system is None:
        missing = Metric.missing("energy", _ENERGY_LABEL, reason)
        return Section("energy", title, "", [missing]), None
    note = (
        f"Under ff14SB in environment {settings.environment}, at {settings.temperature_K:g} K, of at most "
        f"{MOST_FRAMES:,} evenly spaced frames."
    )
    flexible = _flexible_energies(comparison, settings)
    if flexible is not None:
        note += (
            " The reference has constrained bonds to hydrogen, so total energies are compared with those of flexible "
            "MD that come with the package."
        )
    if flexible is not None and is_rounded(comparison.model):
        note += (
            " The model's coordinates are rounded (XTC), which those of that MD aren't: the shift holds up to half a "
            "kT of rounding."
        )
    metrics, arrays = energy_metrics(
        comparison,
        system,
        settings.temperature_K,
        settings.platform,
        MOST_FRAMES,
        reference_energies=flexible,
    )
    return Section("energy", title, note, metrics), arrays


def _flexible_energies(comparison: Comparison, settings: EvaluationSettings) -> np.ndarray | None:
    """Shipped energies of flexible MD, where the reference is constrained, the model isn't, and all else agrees."""
    few = thinned(comparison, _PROBED_FRAMES)
    atoms = list(comparison.topology.atoms)
    pairs = bond_pairs(comparison.topology)
    hydrogen = np.array([atom.element.symbol == "H" for atom in atoms])
    pairs = pairs[hydrogen[pairs].any(axis=1)]
    if has_constant_lengths(few.model, pairs) or not has_constant_lengths(few.reference, pairs):
        return None
    sequence = "-".join(residue.name for residue in comparison.topology.residues)
    shipped = shipped_reference(sequence, settings.environment)
    if shipped is None or shipped.potential_energy is None:
        return None
    protocol = shipped.details.get("energy", {})
    wanted = {
        "environment": settings.environment, "temperature_K": settings.temperature_K, "constraints": "none",
    }  # fmt: skip
    agrees = all(protocol.get(key) == value for key, value in wanted.items())
    return np.asarray(shipped.potential_energy, dtype=np.float64) if agrees else None


def _ensemble(
    comparison: Comparison,
    settings: EvaluationSettings,
    system: openmm.System | None,
    reason: str,
    energies: EnergyArrays | None,
) -> list[Metric]:
    """The two-temperature check on the energies of the model's frames and of the second trajectory's."""
    if system is None or energies is None:
        return [Metric.missing(ENSEMBLE_KEY, ENSEMBLE_LABEL, reason)]
    assert (
        settings.second_model is not None and settings.second_temperature_K is not None
    )  # settings refuse one alone
    frames = load_trajectory(settings.second_model, comparison.topology).positions
    frames = frames[:: -(-len(frames) // MOST_FRAMES)]
    hydrogen = np.array([atom.element.symbol == "H" for atom in comparison.topology.atoms])
    second = frame_energies(frames, system, hydrogen, settings.platform).potential
    resampling = thinned(comparison, MOST_FRAMES).resampling
    return [
        ensemble_check(
            energies.model.potential,
            settings.temperature_K,
            second,
            settings.second_temperature_K,
            resampling,
        )
    ]
