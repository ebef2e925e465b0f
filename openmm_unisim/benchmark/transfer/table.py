"""Markdown tables of a transfer benchmark, one a question."""

from collections.abc import Callable
from typing import Any

from ...errors import DataError
from ...evaluation.page.markdown import markdown_table
from ...evaluation.page.metric_text import significant, with_error
from .summary import LEAST_VALID

__all__ = ["SECTIONS", "transfer_tables"]

MANY = 1e4  # from here on powers of ten: energies of overlapping atoms
_ORDER = {"valid": 0, "test": 1}
_PAPER = ("pwd", "rg", "tic", "tic_2d", "val_ca", "contact", "ram")
Record = dict[str, Any]


def transfer_tables(record: Record, section: str | None = None) -> str:
    """One section, or all of them.

    Raises
    ------
    DataError
        If there is no such section.
    """
    if section is not None and section not in SECTIONS:
        raise DataError(f"a transfer file has no section '{section}'; choose one of {list(SECTIONS)}.")
    tables = [make(record) for name, make in SECTIONS.items() if section in (None, name)]
    return "\n\n".join(table for table in tables if table)


def _done(record: Record, kind: str | None = None) -> list[Record]:
    """Scored molecules, `valid` first, then by size."""
    found = [
        one
        for one in record["molecules"].values()
        if one["status"] == "done"
        and (kind is None or (one["kind"] == "small-molecule") == (kind == "small"))
    ]
    return sorted(found, key=lambda one: (_ORDER.get(one["split"], 2), one["atoms"]))


def _number(value: float | None, digits: int = 3) -> str:
    if value is None:
        return "n/a"
    return f"{value:.{digits}f}" if abs(value) < MANY else f"{value:.1e}"


def _signed(value: float) -> str:
    return f"{value:+.1f}" if abs(value) < MANY else f"{value:+.1e}"


def _against(value: float | None, floor: float | None) -> str:
    return "n/a" if value is None else f"{_number(value)} ({_number(floor)})"


def _summary(record: Record) -> str:
    """Every molecule, and means of each split, with the goal."""
    rows = [
        _summary_row(f"{one['molecule']}", f"{one['split']}, {one['atoms']}", one["summary"])
        for one in _done(record)
    ]
    rows += [
        _summary_row(f"**{name}**", f"mean of {split['molecules']}", split)
        for name, split in record.get("splits", {}).items()
    ]
    refused = [
        f"{one['molecule']}: {one['reason']}"
        for one in record["molecules"].values()
        if one["status"] == "refused"
    ]
    columns = (
        "molecule", "split, atoms", "JS 1-D (floor)", "goal", "JS 2-D (floor)", "P(stay) error", "timescale / MD",
        "valid", "explosions", "flips", "median U − MD (kT)", "meets the goal",
    )  # fmt: skip
    goal = (
        f"Goal: 1-D JS distance at most 2 × floor + 0.05, at least {LEAST_VALID} of the raw frames valid, no flip. "
        "1-D: mean over φ and ψ of all residues; of small molecules over torsions about rotatable bonds."
    )
    return "\n\n".join(
        [markdown_table(columns, rows), goal, *([f"Refused: {'; '.join(refused)}"] if refused else [])]
    )


def _summary_row(name: str, about: str, summary: Record) -> list[str]:
    meets = {True: "yes", False: "no", None: "n/a"}[summary["meets_goal"]]
    return [
        name, about, _against(summary["js_1d"], summary["floor_1d"]), _number(summary["goal_1d"]),
        _against(summary["js_2d"], summary["floor_2d"]), _number(summary["stay_error"]),
        _number(summary.get("timescale_ratio"), 2), _number(summary["valid"], 4), str(summary["explosions"]),
        str(summary["flips"]), _number(summary.get("energy_shift_kT"), 2), meets,
    ]  # fmt: skip


def _residues(record: Record) -> str:
    """phi, psi and kinetics of every residue."""
    rows = []
    for one in _done(record, "peptide"):
        stays = {row["label"]: row for row in one.get("kinetics", [])}
        labels = [key[len("js_phi[") : -1] for key in one.get("backbone", {}) if key.startswith("js_phi[")]
        for label in labels:
            backbone = one["backbone"]
            distances = [
                _against(backbone[f"js_{angle}[{label}]"]["value"], backbone[f"js_{angle}[{label}]"]["floor"])
                for angle in ("phi", "psi", "phi_psi")
            ]
            row = stays.get(label, {})
            cells = [_beside(row.get(f"stay_{basin}")) for basin in ("alpha", "beta")]
            times = row.get("timescale_ps", {})
            cells.append(f"{_time(times.get('model'))} / {_time(times.get('reference'))}")
            rows.append([one["molecule"], label, *distances, *cells])
    columns = (
        "molecule", "residue", "JS φ (floor)", "JS ψ (floor)", "JS φ/ψ (floor)", "P(stay α), MD", "P(stay β), MD",
        "timescale, ps, model / MD",
    )  # fmt: skip
    return markdown_table(columns, rows) if rows else ""


def _beside(figure: Record | None) -> str:
    if figure is None:
        return "n/a"
    model = with_error(figure["model"], figure["model_error"])
    return f"{model}, {with_error(figure['reference'], figure['reference_error'])}"


def _time(value: float | None) -> str:
    return "n/a" if value is None else significant(value, 3)


def _energies(record: Record) -> str:
    """Quantiles of the energy of model and MD, relative to MD's median."""
    rows = []
    for one in _done(record):
        quantiles = one.get("energy", {}).get("quantiles")
        if quantiles is None:
            continue
        cells = [" / ".join(_signed(value) for value in quantiles[side]) for side in ("model", "reference")]
        rows.append([one["molecule"], quantiles["of"], *cells])
    columns = ("molecule", "energy", "model: 5, 25, 50, 75, 95 %, kT", "MD")
    return markdown_table(columns, rows) if rows else ""


def _torsions(record: Record) -> str:
    """Torsions about rotatable bonds, of small molecules one by one and of side chains as means."""
    rows = []
    for one in _done(record):
        for key, figure in one.get("torsions", {}).items():
            if (key == "js_torsion_mean") == (one["kind"] == "small-molecule") and "value" in figure:
                continue
            name = "mean of side chains" if key == "js_torsion_mean" else key[len("js_torsion[") : -1]
            text = (
                _against(figure.get("value"), figure.get("floor")) if "value" in figure else figure["reason"]
            )
            if one["kind"] == "small-molecule" or key == "js_torsion_mean":
                rows.append([one["molecule"], name, text])
    return markdown_table(("molecule", "torsion", "JS (floor)"), rows) if rows else ""


def _paper(record: Record) -> str:
    """The paper's metrics of peptides of five residues and up."""
    rows = [
        [one["molecule"], *(_paper_cell(one["paper"][key]) for key in _PAPER)]
        for one in _done(record)
        if "paper" in one
    ]
    columns = ("molecule", "PWD", "RG", "TIC", "TIC-2D", "VAL-CA", "CONTACT", "RAM")
    return markdown_table(columns, rows) if rows else ""


def _paper_cell(figure: Record) -> str:
    if "value" not in figure:
        return f"n/a ({figure['reason']})"
    beside = figure.get("floor", figure.get("reference"))
    return _against(figure["value"], beside)


SECTIONS: dict[str, Callable[[Record], str]] = {
    "summary": _summary,
    "residues": _residues,
    "torsions": _torsions,
    "energies": _energies,
    "paper": _paper,
}
