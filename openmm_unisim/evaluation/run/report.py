"""report.json and report.html of a run: the figures of docs/report.md, beside MD where there is any."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...errors import DataError, OutputError
from ...provenance import provenance, sha256_of_file
from ...units import BOLTZMANN
from ..estimators.efficiency import energy_histograms
from ..estimators.features import ResidueTorsions, backbone_torsions
from ..page import plots
from ..page.html import render
from ..page.jsonable import jsonable
from ..page.view3d import viewer_data
from ..reference import TorsionReference, shipped_reference, trajectory_reference
from .run_folder import RunData, read_run
from .summary import environment_of, md_energies, summarise, temperature_of

MAXIMUM_DRAWN_RESIDUES = 6
_ASSUMED_TEMPERATURE = 300.0  # K, for the free-energy scale of a run that doesn't state its temperature


def write_report(
    run_dir: str | Path, reference: str | Path | Literal["auto"] | None = "auto", seed: int = 0
) -> dict[str, Any]:
    """Write report.json and report.html into a run folder.

    Parameters
    ----------
    run_dir : str or Path
        Folder written by `openmm-unisim simulate`.
    reference : str, Path, "auto" or None
        MD trajectory of the same atoms to compare with; "auto" takes the shipped one where molecule and
        environment have one; None compares with nothing.
    seed : int
        Of the resampling behind the MD floors.

    Returns
    -------
    dict
        What report.json holds.

    Raises
    ------
    DataError
        If the folder or the reference can't be read.
    OutputError
        If the report can't be written.
    """
    folder = Path(run_dir)
    run = read_run(folder)
    torsions = backbone_torsions(run.positions, run.topology)
    judge = _find_reference(run, torsions, reference)
    report = summarise(run, torsions, judge, np.random.default_rng(seed))
    report["provenance"] = {
        "run": run.record.get("provenance"),
        "report": provenance(seed=seed, trajectory_sha256=sha256_of_file(folder / "trajectory.xtc")),
    }
    report = jsonable(report)
    times_ps = run.frame_spacing_ps * np.arange(1, len(run.positions) + 1)
    page = render(report, _figures(run, torsions, judge), viewer_data(run.positions, run.topology, times_ps))
    _write(folder / "report.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    _write(folder / "report.html", page)
    return report


def _find_reference(
    run: RunData, torsions: list[ResidueTorsions], reference: str | Path | None
) -> TorsionReference | None:
    if reference is None:
        return None
    if reference == "auto":
        return shipped_reference(run.sequence, environment_of(run))
    found = trajectory_reference(reference, run.topology)
    if [residue.label for residue in found.torsions] != [residue.label for residue in torsions]:
        raise DataError(
            f"reference '{reference}' has other residues than the run; give MD of the same molecule."
        )
    return found


def _figures(
    run: RunData, torsions: list[ResidueTorsions], reference: TorsionReference | None
) -> dict[str, list[dict[str, Any]]]:
    """Figures by section; of the first six residues only."""
    names = ("this run", "MD" if reference is None else reference.name)
    kt = BOLTZMANN * (temperature_of(run) or _ASSUMED_TEMPERATURE)
    times_ns = run.frame_spacing_ps * np.arange(1, len(run.positions) + 1) / 1000.0
    figures: dict[str, list[dict[str, Any]]] = {"surfaces": [], "marginals": [], "energy": [], "traces": []}
    for index, residue in enumerate(torsions[:MAXIMUM_DRAWN_RESIDUES]):
        other = None if reference is None else reference.torsions[index]
        figures["surfaces"] += plots.surface_figures(index, residue, other, kt, names)
        figures["marginals"] += plots.marginal_figures(index, residue, other, names)
        figures["traces"].append(plots.torsion_trace(index, residue, times_ns))
    energies = run.jumps["potential_energy_kj_mol"]
    md, _ = md_energies(run, reference)
    histograms = energy_histograms(energies, md if len(md) else None)
    if histograms is not None:
        figures["energy"].append(plots.energy_figure(histograms, ("this run", "MD")))
        figures["traces"].append(plots.energy_trace(energies, run.jumps["time_ps"] / 1000.0))
    return figures


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"'{path}' can't be written ({error.strerror}); choose a writable folder."
        ) from error
