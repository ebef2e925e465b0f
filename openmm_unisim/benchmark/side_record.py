"""What is kept of one run of one side: speeds, effective samples, populations and histograms, but no frames."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from ..evaluation.estimators.distributions import torsion_histogram, torsion_histogram_2d
from ..evaluation.estimators.kinetics import assign_basin, population
from .observables import measure_observables, slowest

__all__ = ["SLOWEST", "make_record"]

SLOWEST = "slowest"


def make_record(side: str, seed: int, sample: dict[str, Any]) -> dict[str, Any]:
    """The record of a run.

    Parameters
    ----------
    side : {"unisim", "md"}
    seed : int
    sample : dict
        Of `jump_tasks.sample_jumps` or `md_tasks.sample_md`.

    Returns
    -------
    dict
        ``observables``: for each, and for "slowest" (the one of fewest effective samples in *this* run), the ESS and
        its rates per second of sampling, per second of everything, and per processor second of sampling.
    """
    times = sample["times_s"]
    total = sum(times.values())
    found = measure_observables(sample["torsions"])
    rows = {item.name: item for item in found}
    if found:
        rows[SLOWEST] = slowest(found)
    observables = {}
    for name, item in rows.items():
        ess = item.effective_samples
        observables[name] = {
            **item.as_dict(),
            "ess_per_s": None if ess is None else ess / times["sampling"],
            "ess_per_s_with_setup": None if ess is None else ess / total,
            "ess_per_cpu_s": None if ess is None else ess / sample["cpu_s"],
        }
    return {
        "side": side,
        "seed": seed,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "times_s": {**times, "total": total},
        "cpu_s": sample["cpu_s"],
        "n_frames": sample["n_frames"],
        "frame_spacing_ps": sample["frame_spacing_ps"],
        "ps_per_s": sample["n_frames"] * sample["frame_spacing_ps"] / times["sampling"],
        "counts": sample.get("counts"),
        "warnings": sample.get("warnings", []),
        "observables": observables,
        "residues": [_residue(residue) for residue in sample["torsions"]],
    }


def _residue(torsions: dict[str, Any]) -> dict[str, Any]:
    """Population of alpha, and histograms as counts (60 bins, 60 bins, 30 x 30)."""
    phi, psi = np.asarray(torsions["phi"]), np.asarray(torsions["psi"])
    return {
        "label": torsions["label"],
        "alpha": population(assign_basin(psi) == 0),
        "phi": torsion_histogram(phi).astype(int).tolist(),
        "psi": torsion_histogram(psi).astype(int).tolist(),
        "phi_psi": torsion_histogram_2d(phi, psi).astype(int).ravel().tolist(),
    }
