"""All figures of a report, as one record; docs/report.md lists the keys. None means "can't be computed"."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...units import BOLTZMANN
from ..estimators.counters import jump_counters
from ..estimators.efficiency import energy_comparison, nominal_ns_per_day
from ..estimators.features import ResidueTorsions
from ..estimators.kinetics import assign_basin, statistical_inefficiency
from ..estimators.validity import check_trajectory, force_field_bond_lengths
from ..reference import TorsionReference
from .run_folder import RunData
from .score import score_torsions

FORMAT_VERSION = 1
_LEAST_SWITCHES = 10  # changes of basin below which no correlation time is claimed
_AMBER_SUFFIXES = (".prmtop", ".parm7", ".top")


def summarise(
    run: RunData,
    torsions: list[ResidueTorsions],
    reference: TorsionReference | None,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Everything but pictures and provenance.

    Parameters
    ----------
    run : RunData
    torsions : list of ResidueTorsions
        Of the run's trajectory.
    reference : TorsionReference or None
    generator : numpy.random.Generator
        Source of randomness of the floors.
    """
    return {
        "format_version": FORMAT_VERSION,
        "molecule": {
            "sequence": run.sequence,
            "name": run.setting("molecule", "name"),
            "n_atoms": run.topology.n_atoms,
            "residues_with_torsions": [residue.label for residue in torsions],
        },
        "run": _run_record(run),
        "reference": _reference_record(reference),
        "torsions": _torsion_scores(run, torsions, reference, generator),
        "energy": energy_record(run, reference),
        "jumps": jump_counters(run.jumps),
        "trajectory": check_trajectory(
            run.positions, run.topology, run.start_positions, force_field_bond_lengths(run.topology)
        ).as_dict(),
        "speed": _speed(run, torsions, reference),
        "warnings": run.warnings,
    }


def temperature_of(run: RunData) -> float | None:
    """Temperature of the run, K; None if run.json doesn't say."""
    value = run.setting("settings", "temperature_K")
    if value is None:
        value = run.setting("model", "metadata", "training_temperature_K")
    return None if value is None else float(value)


def environment_of(run: RunData) -> str:
    """Environment of the run, or of its model where run.json names none; empty if neither."""
    chosen = run.setting("settings", "environment") or run.setting("model", "metadata", "environment")
    return str(chosen or "")


def _run_record(run: RunData) -> dict[str, Any]:
    settings = ("seed", "substeps", "platform", "policy")
    model = ("name", "sha256")
    return {
        "status": run.setting("status"),
        "jumps": len(run.jumps["jump"]),
        "frames": len(run.positions),
        "lag_time_ps": run.lag_time_ps,
        "frame_spacing_ps": run.frame_spacing_ps,
        "simulated_ns": len(run.jumps["jump"]) * run.lag_time_ps / 1000.0,
        "temperature_K": temperature_of(run),
        "environment": environment_of(run) or None,
        **{name: run.setting("settings", name) for name in settings},
        **{f"model_{name}": run.setting("model", name) for name in model},
        "model_metadata": run.setting("model", "metadata", default={}),
    }


def _reference_record(reference: TorsionReference | None) -> dict[str, Any] | None:
    if reference is None:
        return None
    return {
        "name": reference.name,
        "frames": len(reference.torsions[0].phi) if reference.torsions else None,
        "frame_spacing_ps": reference.frame_spacing_ps,
        "details": reference.details,
    }


def _torsion_scores(
    run: RunData,
    torsions: list[ResidueTorsions],
    reference: TorsionReference | None,
    generator: np.random.Generator,
) -> list[dict[str, Any]]:
    """Scores of each residue at the lag of one frame."""
    lag = None if reference is None else reference.lag_frames(run.frame_spacing_ps)
    scores = []
    for index, residue in enumerate(torsions):
        other = None if reference is None else reference.torsions[index]
        if not (np.isfinite(residue.phi) & np.isfinite(residue.psi)).any():
            scores.append(
                {"label": residue.label, "n_frames": len(residue.phi), "nan_frames": len(residue.phi)}
            )
            continue
        score = score_torsions(
            residue.phi,
            residue.psi,
            None if other is None else other.phi,
            None if other is None else other.psi,
            lag_frames_reference=lag,
            lag_time_ps=run.frame_spacing_ps,
            generator=generator,
        )
        scores.append({"label": residue.label, "lag_time_ps": run.frame_spacing_ps, **score})
    return scores


def md_energies(run: RunData, reference: TorsionReference | None) -> tuple[NDArray[np.float64], str | None]:
    """Potential energies of MD with the run's Hamiltonian (kJ/mol), and where they come from.

    The reference's where its energy protocol is that of the run's System (environment, constraints,
    temperature; parameters not read from an Amber file), since it is the longer; else those that the run
    recorded during its own thermalisation; else none.
    """
    if reference is not None and reference.potential_energy is not None:
        protocol = reference.details.get("energy", {})
        wanted = {
            "environment": environment_of(run),
            "temperature_K": temperature_of(run),
            "constraints": run.setting("md", "thermalisation", "constraints")
            or run.setting("model", "metadata", "constraints"),
        }
        own_parameters = str(run.setting("settings", "input", default="")).lower().endswith(_AMBER_SUFFIXES)
        if not own_parameters and all(protocol.get(key) == value for key, value in wanted.items()):
            return np.asarray(reference.potential_energy, dtype=np.float64), "reference"
    own = run.setting("md", "thermalisation", "potential_energy_kj_mol", default=[])
    return np.asarray(own, dtype=np.float64), "thermalisation MD of this run" if len(own) else None


def energy_record(run: RunData, reference: TorsionReference | None) -> dict[str, Any]:
    """Potential energies of the frames beside MD's, with kT."""
    energies, source = md_energies(run, reference)
    temperature = temperature_of(run)
    record = energy_comparison(
        run.jumps["potential_energy_kj_mol"], energies, temperature or float("nan"), run.topology.n_atoms
    )
    return {
        **record,
        "kt_kj_mol": None if temperature is None else BOLTZMANN * temperature,
        "md_source": source,
    }


def _speed(
    run: RunData, torsions: list[ResidueTorsions], reference: TorsionReference | None
) -> dict[str, Any]:
    """Jumps per second, nominal ns/day, MD timed in the same run, independent samples per second of both."""
    seconds = float(run.setting("jumps", "wall_s") or np.nansum(run.jumps["wall_s"]))
    per_second = len(run.jumps["jump"]) / seconds if seconds > 0 else None
    nominal = None if per_second is None else nominal_ns_per_day(per_second, run.lag_time_ps)
    md = run.setting("md", "run_well", default={})
    md_speed = md.get("ns_per_day")
    speed: dict[str, Any] = {
        "wall_s": seconds,
        "jumps_per_s": per_second,
        "nominal_ns_per_day": nominal,
        "md_ns_per_day": md_speed,
        "md_protocol": {key: value for key, value in md.items() if key != "ns_per_day"} or None,
        "nominal_ratio_to_md": nominal / md_speed if nominal and md_speed else None,
        "independent_samples_per_s": None,
        "md_independent_samples_per_s": None,
        "independent_samples_ratio": None,
    }
    if per_second is not None and run.lag_time_ps == run.frame_spacing_ps:
        speed |= _independent_samples(run, torsions, reference, per_second, md_speed)
    return speed


def _independent_samples(
    run: RunData,
    torsions: list[ResidueTorsions],
    reference: TorsionReference | None,
    jumps_per_s: float,
    md_ns_per_day: float | None,
) -> dict[str, Any]:
    """Independent samples of the slowest basin indicator a second, of the run and of MD.

    Of the residues that change basin in the reference, or, without one, of all. A run in which any of them
    changes fewer than ten times is too short to tell, or stuck: nothing is returned.
    """
    compared = list(range(len(torsions)))
    if reference is not None:
        compared = [index for index in compared if _switches(reference.torsions[index]) >= _LEAST_SWITCHES]
    if not compared or any(_switches(torsions[index]) < _LEAST_SWITCHES for index in compared):
        return {}
    own = jumps_per_s / max(_inefficiency(torsions[index]) for index in compared)
    if reference is None or reference.frame_spacing_ps is None or not md_ns_per_day:
        return {"independent_samples_per_s": own}
    frames = max(_inefficiency(reference.torsions[index]) for index in compared)
    other = md_ns_per_day * 1000.0 / 86400.0 / (reference.frame_spacing_ps * frames)
    return {
        "independent_samples_per_s": own,
        "md_independent_samples_per_s": other,
        "independent_samples_ratio": own / other,
    }


def _switches(residue: ResidueTorsions) -> int:
    """How often a residue changes basin from one frame to the next."""
    basins = assign_basin(residue.psi)
    return int(np.count_nonzero((basins[1:] != basins[:-1]) & (basins[1:] >= 0) & (basins[:-1] >= 0)))


def _inefficiency(residue: ResidueTorsions) -> float:
    """Statistical inefficiency, in frames, of a residue's basin series."""
    return statistical_inefficiency(assign_basin(residue.psi) == 0)
