"""The handful of figures that decide, each with the limit it is judged by.

==============================  =====================================  =============================
figure                          good                                   fair
==============================  =====================================  =============================
JS distance of phi/psi          at most the MD floor + 2 std           at most 1.5 times the floor
largest P(stay) difference      at most 0.05 with its error bar        at most 0.10 with it
explosions (before rejection)   none                                   below 1 in 1,000 jumps
chirality flips                 none                                   (none)
median potential energy         within 1 kT per ten atoms of MD's      within 2 kT per ten atoms
==============================  =====================================  =============================
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from ..estimators.kinetics import BASINS

Grade = Literal["good", "fair", "bad", "none"]


@dataclass(frozen=True)
class Verdict:
    """One tile: what, its value in words, what to compare it with, and the grade."""

    label: str
    value: str
    detail: str
    grade: Grade


def number(value: float | None, digits: int = 3) -> str:
    """A number in few significant digits, with thousands separated; ``n/a`` for None."""
    if value is None:
        return "n/a"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 1e-3:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{digits}g}"


def _grade(value: float, good: float, fair: float) -> Grade:
    return "good" if value <= good else "fair" if value <= fair else "bad"


def verdicts(report: dict[str, Any]) -> list[Verdict]:
    """The tiles of a report, in the order they are shown."""
    scored = [residue for residue in report["torsions"] if residue.get("js") is not None]
    return [
        _distribution(scored),
        _kinetics(scored),
        _explosions(report["jumps"]),
        _chirality(report["jumps"]),
        _energy(report["energy"]),
        _speed(report["speed"]),
    ]


def _distribution(scored: list[dict[str, Any]]) -> Verdict:
    label = "φ/ψ distribution (JS distance)"
    if not scored:
        return Verdict(label, "n/a", "no reference, or no φ/ψ in this molecule", "none")
    worst = max(scored, key=lambda residue: residue["js"]["phi_psi"] - residue["js_floor"]["phi_psi"]["mean"])
    distance, floor = worst["js"]["phi_psi"], worst["js_floor"]["phi_psi"]
    detail = f"MD of the same length scores {floor['mean']:.3f} ± {floor['std']:.3f}"
    if len(scored) > 1:
        detail += f"; worst residue, {worst['label']}"
    return Verdict(
        label,
        f"{distance:.3f}",
        detail,
        _grade(distance, floor["mean"] + 2 * floor["std"], 1.5 * floor["mean"]),
    )


def _kinetics(scored: list[dict[str, Any]]) -> Verdict:
    label = "largest P(stay) difference"
    differences = [
        (
            abs(residue["stay_difference"][basin]),
            _stay_error(residue, basin),
            f"basin {basin} of {residue['label']}",
        )
        for residue in scored
        for basin in BASINS
        if residue["stay_difference"][basin] is not None
    ]
    if not differences:
        return Verdict(label, "n/a", "no reference at this lag, or too few frames", "none")
    value, error, where = max(differences)
    # "good" claims that the limit is met, so the error bar must leave room for it
    return Verdict(
        label, f"{value:.3f} ± {error:.3f}", f"from MD's; {where}", _grade(value + error, 0.05, 0.10)
    )


def _stay_error(residue: dict[str, Any], basin: str) -> float:
    """Standard error of the difference of P(stay) between run and reference."""
    errors = [residue[side][f"stay_{basin}"]["standard_error"] for side in ("model", "reference")]
    return math.hypot(*errors)


def _explosions(jumps: dict[str, Any]) -> Verdict:
    rate = jumps["explosions"]
    grade = "none" if rate["fraction"] is None else _grade(rate["fraction"], 0.0, 1e-3)
    return Verdict("explosions", *_count_text(rate), grade)


def _chirality(jumps: dict[str, Any]) -> Verdict:
    rate = jumps["chirality_flips"]
    grade = "none" if rate["fraction"] is None else _grade(rate["fraction"], 0.0, 0.0)
    return Verdict("chirality flips", *_count_text(rate), grade)


def _count_text(rate: dict[str, Any]) -> tuple[str, str]:
    detail = (
        f"of {rate['total']:,} jumps, before rejection; true rate below {number(rate['upper_95'], 2)} (95 %)"
    )
    return f"{rate['count']:,}", detail


def _energy(energy: dict[str, Any]) -> Verdict:
    label = "median potential energy"
    shift = energy["median_shift_kt_per_ten_atoms"]
    if shift is None:
        return Verdict(
            label, f"{number(energy['median_kj_mol'])} kJ/mol", "no MD energies to compare with", "none"
        )
    detail = f"per ten atoms, from MD's ({energy['md_source']})"
    return Verdict(label, f"{shift:+.2f} kT", detail, _grade(abs(shift), 1.0, 2.0))


def _speed(speed: dict[str, Any]) -> Verdict:
    value = f"{number(speed['nominal_ns_per_day'])} ns/day"
    ratio = speed["nominal_ratio_to_md"]
    detail = "MD was not timed in this run" if ratio is None else f"{number(ratio)} times MD in the same run"
    return Verdict("speed (nominal)", value, detail, "none")
