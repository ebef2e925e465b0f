"""The few figures of a molecule that decide, the goal, and means over splits.

Goal of `peptide` on `test`: mean 1-D JS distance of phi and psi at most twice the same-size floor plus 0.05, at least
0.98 of the raw frames valid, no stereocentre flipped.
"""

from typing import Any

import numpy as np

__all__ = ["LEAST_VALID", "goal_of", "summarise_molecule", "summarise_split"]

LEAST_VALID = 0.98
_FACTOR, _MARGIN = 2.0, 0.05


def goal_of(floor: float) -> float:
    """Largest 1-D JS distance that meets the goal."""
    return _FACTOR * floor + _MARGIN


def summarise_molecule(scores: dict[str, Any]) -> dict[str, Any]:
    """The deciding figures of `score_run`; None where there is none.

    Returns
    -------
    dict
        ``js_1d``, ``floor_1d``, ``goal_1d`` (of phi and psi, or of a small molecule's torsions), ``js_2d``,
        ``floor_2d``, ``stay_error`` (root mean square over residues and basins), ``timescale_ratio`` (model over MD,
        geometric mean over residues), ``valid``, ``explosions``, ``flips``, ``energy_shift_kT``, ``meets_goal``.
    """
    checked = scores["validity"]["model"]
    distances, floors = _one_dimensional(scores)
    joint = scores.get("backbone", {}).get("js_phi_psi_mean", {})
    summary: dict[str, Any] = {
        "js_1d": distances,
        "floor_1d": floors,
        "goal_1d": None if floors is None else goal_of(floors),
        "js_2d": joint.get("value"),
        "floor_2d": joint.get("floor"),
        "stay_error": _stay_error(scores.get("kinetics", [])),
        "timescale_ratio": _timescale_ratio(scores.get("kinetics", [])),
        "valid": checked["valid"],
        "explosions": checked["explosions"],
        "flips": checked["flips"],
        "energy_shift_kT": _energy_shift(scores.get("energy", {})),
    }
    return summary | {"meets_goal": _meets(summary)}


def _one_dimensional(scores: dict[str, Any]) -> tuple[float | None, float | None]:
    backbone = [scores.get("backbone", {}).get(f"js_{angle}_mean", {}) for angle in ("phi", "psi")]
    found = [figure for figure in backbone if "value" in figure]
    if not found:
        found = [scores.get("torsions", {}).get("js_torsion_mean", {})]
    if not all("value" in figure for figure in found):
        return None, None
    return float(np.mean([f["value"] for f in found])), float(np.mean([f["floor"] for f in found]))


def _stay_error(rows: list[dict[str, Any]]) -> float | None:
    differences = [
        row[key]["difference"] for row in rows for key in ("stay_alpha", "stay_beta") if row[key] is not None
    ]
    return float(np.sqrt(np.mean(np.square(differences)))) if differences else None


def _timescale_ratio(rows: list[dict[str, Any]]) -> float | None:
    times = [row["timescale_ps"] for row in rows]
    ratios = [one["model"] / one["reference"] for one in times if one["model"] and one["reference"]]
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else None


def _energy_shift(energy: dict[str, Any]) -> float | None:
    for key in ("energy_shift", "energy_shift_without_xh_bonds"):
        if "value" in energy.get(key, {}):
            return float(energy[key]["value"])
    return None


def _meets(summary: dict[str, Any]) -> bool | None:
    """Whether the goal is met; None without a torsion to judge by."""
    if summary["js_1d"] is None and summary["valid"] >= LEAST_VALID:
        return None
    close = summary["js_1d"] is not None and summary["js_1d"] <= summary["goal_1d"]
    return bool(close and summary["valid"] >= LEAST_VALID and summary["flips"] == 0)


def summarise_split(molecules: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over molecules (records with ``summary``); sums of flips and explosions."""
    summaries = [one["summary"] for one in molecules]

    def mean(key: str) -> float | None:
        values = [summary[key] for summary in summaries if summary[key] is not None]
        return float(np.mean(values)) if values else None

    result = {key: mean(key) for key in ("js_1d", "floor_1d", "js_2d", "floor_2d", "stay_error", "valid")}
    result["goal_1d"] = None if result["floor_1d"] is None else goal_of(result["floor_1d"])
    totals = {key: sum(summary[key] for summary in summaries) for key in ("flips", "explosions")}
    combined = {**result, **totals, "molecules": len(molecules)}
    return combined | {"meets_goal": _meets(combined) if molecules else None}
