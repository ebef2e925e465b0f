"""A figure in words: value and error to the digits they carry, the verdict, and the row of a table.

A verdict exists only where it is known what MD itself would score, by a floor or by MD's own figure and both errors:

===========  ===================================================================================
verdict      meaning
===========  ===================================================================================
within       no worse than floor + 2 std, or z at most 2: MD of as many frames scores the same
beyond       worse than that
none         neither floor nor z, no value, or a basin that no reference knows
===========  ===================================================================================

Where neither lower nor higher is better, "worse" is the distance from the floor, and the model's own error bar counts
instead of the floor's std where it is larger (the floor of ESS, say, is an average over the whole reference).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

from .metric_notes import meaning

Verdict = Literal["within", "beyond", "none"]
WIDTHS = 2.0  # standard deviations of the floor, or of the difference, that still count as MD
_ROUNDING = 1e-9
_MOST_DECIMALS = 6


@dataclass(frozen=True)
class MetricRow:
    """What a table shows of one figure; empty text where there is nothing to show.

    Attributes
    ----------
    key, label, meaning : str
    value : str
        With its error and unit, or ``n/a (reason)``.
    floor : str
        Mean and standard deviation of what MD of as many frames scores.
    reference : str
        The same figure of the reference, with its error.
    z : str
        Difference from the reference over both errors, where there is no floor.
    outside : str
        Share of the model's samples outside the histogram's range.
    verdict : {"within", "beyond", "none"}
    """

    key: str
    label: str
    meaning: str
    value: str
    floor: str
    reference: str
    z: str
    outside: str
    verdict: Verdict


def metric_row(metric: dict[str, Any]) -> MetricRow:
    """The row of a `Metric.as_dict`."""
    unit = metric["unit"]
    details = metric["details"]
    if metric["value"] is None:
        value = f"n/a ({metric['reason']})"
    else:
        value = _side(metric["value"], metric["standard_error"], details.get("interval_95"), unit)
    reference = metric["reference"]
    z = details.get("z") if metric["floor"] is None else None
    label = metric["label"]
    if details.get("uncertain") and "uncertain" not in label:
        label += " (uncertain)"
    return MetricRow(
        metric["key"],
        label,
        meaning(metric["key"]),
        value,
        "" if metric["floor"] is None else with_error(metric["floor"], metric["floor_std"], unit),
        ""
        if reference is None
        else _side(reference, metric["reference_error"], details.get("reference_interval_95"), unit),
        "" if z is None else f"{z:+.1f}",
        "" if metric["outside"] is None else f"{100 * metric['outside']:.2g} %",
        verdict(metric),
    )


def _side(value: float, error: float | None, interval: list[float] | None, unit: str) -> str:
    """A value with its standard error or, where it has none, its 95 % interval."""
    if error is None and interval is not None:
        low, high = (significant(limit, 2) for limit in interval)
        return f"{significant(value, 3)} ({low} to {high}){' ' if unit else ''}{unit}"
    return with_error(value, error, unit)


def filled_columns(rows: Sequence[MetricRow]) -> dict[str, str]:
    """Attribute and heading of each column beside the value that holds anything."""
    headings = {"floor": "MD floor", "reference": "reference", "z": "z", "outside": "outside"}
    return {name: text for name, text in headings.items() if any(getattr(row, name) for row in rows)}


def verdict(metric: dict[str, Any]) -> Verdict:
    """Whether MD of as many frames would score as well."""
    found = excess(metric)
    if found is None:
        return "none"
    return "within" if found <= WIDTHS + _ROUNDING else "beyond"


def excess(metric: dict[str, Any]) -> float | None:
    """How much worse than MD, in standard deviations; None where that isn't known.

    Of the floor where there is one (infinite where it has no spread and the value is worse), else of the difference
    from the reference; a p-value (of a slope over few windows) counts as the normal deviation of that probability.
    """
    value, floor, spread = metric["value"], metric["floor"], metric["floor_std"]
    details = metric["details"]
    if value is None or details.get("uncertain"):
        return None
    if floor is None:
        if details.get("p_value") is not None:
            return NormalDist().inv_cdf(1.0 - max(details["p_value"], 1e-15) / 2.0)
        return None if details.get("z") is None else abs(details["z"])
    worse = {"lower": value - floor, "higher": floor - value}.get(metric["better"], abs(value - floor))
    if metric["better"] is None:
        spread = max(spread or 0.0, metric["standard_error"] or 0.0)
    if abs(worse) <= _ROUNDING * max(1.0, abs(floor)):
        return 0.0
    return worse / spread if spread else math.copysign(math.inf, worse)


def with_error(value: float, error: float | None, unit: str = "") -> str:
    """Value ± error to the error's second digit; without an error to four digits."""
    tail = f" {unit}" if unit else ""
    if error is None or not math.isfinite(error) or error <= 0.0:
        plain = significant(value, 4)
        return f"{plain}{tail}" if error is None else f"{plain} ± 0{tail}"
    largest = max(abs(value), error)
    if largest >= 1e6 or largest < 10.0 ** (1 - _MOST_DECIMALS):
        return f"{value:.3e} ± {error:.1e}{tail}"
    decimals = min(_MOST_DECIMALS, max(0, 1 - math.floor(math.log10(error))))
    return f"{value:,.{decimals}f} ± {error:,.{decimals}f}{tail}"


def significant(value: float, digits: int) -> str:
    """A number in so many significant digits, with thousands separated."""
    if value == 0.0:
        return "0"
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True)
class SectionSummary:
    """How many figures of a section MD's own noise explains, and the one that is furthest beyond.

    A figure that says again what another of the section says (``details["repeats"]``) isn't counted.

    Attributes
    ----------
    title : str
    within, graded : int
        Figures with a verdict: those within MD's noise, and all.
    worst : MetricRow or None
        Of those beyond; None if there is none.
    """

    title: str
    within: int
    graded: int
    worst: MetricRow | None

    @property
    def verdict(self) -> Verdict:
        """Within if every graded figure is."""
        if self.graded == 0:
            return "none"
        return "within" if self.within == self.graded else "beyond"


def summarise_section(section: dict[str, Any]) -> SectionSummary:
    """Count the verdicts of a section of an evaluation."""
    graded = [(excess(metric), metric) for metric in section["metrics"] if "repeats" not in metric["details"]]
    known = [(found, metric) for found, metric in graded if found is not None]
    beyond = [pair for pair in known if verdict(pair[1]) == "beyond"]
    worst = max(beyond, key=lambda pair: pair[0], default=None)
    return SectionSummary(
        section["title"],
        len(known) - len(beyond),
        len(known),
        None if worst is None else metric_row(worst[1]),
    )
