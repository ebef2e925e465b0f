"""The results of both benchmarks as tables for a terminal."""

import math
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .side_record import SLOWEST

__all__ = ["efficiency_tables", "md_tables"]


def _text(line: str) -> Text:
    return Text(line, overflow="fold")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return table


def md_tables(result: dict[str, Any]) -> Group:
    """Candidates with their speeds, the checks of the fastest, and its effective samples per second."""
    name, n_atoms = result["molecule"]["name"], result["molecule"]["n_atoms"]
    speeds = _table(f"MD of {name}, {n_atoms} atoms", "engine", "step, fs", "ns/day", "range", "status")
    reasons = []
    for row in result["candidates"]:
        timed = row["ns_per_day"] is not None
        limits = [f"{value:,.0f}" for value in row["ns_per_day_range"]] if timed else []
        speed = f"{row['ns_per_day']:,.0f}" if timed else "n/a"
        speeds.add_row(row["engine"], f"{row['time_step_fs']:g}", speed, " to ".join(limits), row["status"])
        if row["reason"]:
            reasons.append(_text(f"failed: {row['engine']}, {row['time_step_fs']:g} fs: {row['reason']}"))
    checks = _table("Checks of the fastest", "check", "found", "expected", "within")
    for check in result["fastest"]["checks"]:
        values = [f"{check[key]:.5g}" for key in ("value", "expected", "tolerance")]
        checks.add_row(" ".join([check["name"], check["unit"]]).strip(), *values)
    samples = result["effective_samples"]
    parts: list[RenderableType] = [speeds, *reasons, checks]
    if samples["observables"]:
        rates = _table("Effective samples", "observable", "ps each", "per second")
        for row in samples["observables"]:
            rates.add_row(row["name"], _number(row["ps_per_effective_sample"]), _number(row["ess_per_s"]))
        parts.append(rates)
    slow = samples["slowest"]
    value = (
        f"{slow['ess_per_s']:.3g} per second" if slow["ess_per_s"] is not None else f"n/a ({slow['reason']})"
    )
    parts.append(_text(f"Slowest observable: {slow['name']}, effective samples {value}"))
    return Group(*parts)


def efficiency_tables(record: dict[str, Any]) -> Group:
    """Effective samples per second of both sides, set-up, quality and crossover."""
    summary, md, unisim = record["summary"], record["md"], record["unisim"]
    lines = [
        _text(f"UniSim: {unisim['model']} on {unisim['platform']}, {unisim['threads']} thread(s)"),
        _text(
            f"MD: {md['time_step_fs']:g} fs on {md['platform']}, {md['threads']} thread(s), {md['source']}; "
            f"{summary['seeds']} seeds of each, in turn"
        ),
    ]
    rejections = summary["rejections"]
    lines.append(
        _text(
            f"{rejections['jumps']} jumps, {rejections['rejected']} rejected, {rejections['broken']} of them broken"
        )
    )
    return Group(
        *lines,
        *(_text(f"Warning: {text}") for text in summary["warnings"]),
        _rates(summary),
        *(_text(f"n/a: {row['reason']}") for row in _missing(summary)),
        _times(summary),
        _distances(summary),
        *(_text(line) for row in summary["bias"] for line in _bias(row)),
        *(_text(line) for line in record["statement"]),
    )


def _missing(summary: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [summary["observables"][SLOWEST]]
    return [row for row in rows if "reason" in row]


def _rates(summary: dict[str, Any]) -> Table:
    table = _table(
        "Effective samples per second, and UniSim over MD (95 %)",
        "observable",
        "UniSim",
        "MD",
        "ratio",
        "ratio with set-up",
        "ratio per CPU second",
    )
    for name, row in summary["observables"].items():
        if "reason" in row:
            table.add_row(name, *["n/a"] * 5)
            continue
        sampling = row["ess_per_s"]
        ratios = [
            _interval(row[rate]["ratio"]) for rate in ("ess_per_s", "ess_per_s_with_setup", "ess_per_cpu_s")
        ]
        table.add_row(name, *(_number(sampling[side]["value"]) for side in ("unisim", "md")), *ratios)
    return table


def _times(summary: dict[str, Any]) -> Table:
    table = _table(
        "Wall time of a run, s", "side", "start", "loading", "relaxation", "first jumps", "sampling"
    )
    for side, label in (("unisim", "UniSim"), ("md", "MD")):
        times = summary["times_s"][side]
        stages = ("start", "loading", "relaxation", "first_jumps", "sampling")
        table.add_row(label, *(_number(times.get(stage)) for stage in stages))
    return table


def _distances(summary: dict[str, Any]) -> Table:
    table = _table(f"JS distance to {summary['judge']}", "angles", "UniSim", "MD, equal time", "floor")
    for residue in summary["distances"]:
        for kind in ("phi", "psi", "phi_psi"):
            row = residue[kind]
            values = [_number(row.get(key)) for key in ("unisim", "md", "floor")]
            table.add_row(f"{kind.replace('_', '/')} {residue['label']}", *values)
    return table


def _bias(row: dict[str, Any]) -> list[str]:
    """Population of alpha and what the bias means, in sentences."""
    sentence = (
        f"Population of alpha, {row['label']}: UniSim {row['unisim']:.3f} ± {row['unisim_error']:.3f} "
        f"({row['unisim_source']}), MD "
        f"{row['md']:.3f} ± {row['md_error']:.3f}, judge {row['reference']:.3f} ± {row['reference_error']:.3f}."
    )
    if "reason" in row:
        return [sentence, f"Crossover: n/a ({row['reason']})."]
    cross = row["crossover"]
    reached = "; ".join(
        f"error {entry['error']:g}: UniSim {_duration(entry['seconds'])}, MD {_duration(entry['md_seconds'])}"
        for entry in cross["times"]
    )
    if not cross["bias_resolved"]:
        reached += " (the bias is within its error, so these times may be too short)"
    if cross["seconds"] == 0:
        verdict = "MD has the smaller error of this population at every time."
    elif not cross["bias_resolved"]:
        verdict = f"All that is known of the crossover is that MD does not overtake before {_duration(cross['least'])}."
    else:
        interval = f"{_duration(cross['least'])} to {_duration(cross['most'])}"
        verdict = f"MD has the smaller error after {_duration(cross['seconds'])} of sampling ({interval})."
    return [sentence, f"Sampling until the error of that population is reached: {reached}.", verdict]


def _duration(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return "never"
    return f"{seconds:.3g} s"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3g}"


def _interval(mean: dict[str, Any]) -> str:
    return f"{mean['value']:.3g} ({_number(mean['low'])} to {_number(mean['high'])})"
