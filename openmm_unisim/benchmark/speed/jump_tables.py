"""The results of `benchmark breakdown` and `benchmark throughput` as tables for a terminal."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["breakdown_tables", "throughput_tables"]

ROWS = {
    "model": "model (inside torch)",
    "forces": "OpenMM's forces and energies",
    "noise": "noise",
    "hand_over": "hand-over (all else in a jump)",
    "whole": "jump, wall",
    "processor": "jump, processor",
    "checks_of_simulate": "checks by `simulate`, in addition",
}


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return table


def _range(entry: dict[str, float], name: str, pattern: str) -> str:
    values = [format(entry[key], pattern) for key in (name, f"{name}_lowest", f"{name}_highest")]
    return f"{values[0]} ({values[1]} to {values[2]})"


def _title(result: dict[str, Any]) -> str:
    molecule, model = result["molecule"], result["model"]
    return (
        f"{molecule['name']}, {molecule['n_atoms']} atoms; {model['name']}, lag {model['lag_time_ps']:g} ps, "
        f"{result['substeps']} substeps"
    )


def breakdown_tables(result: dict[str, Any]) -> Group:
    """Parts of a jump, MD beside it, groups and operators of a substep, matrix products."""
    jumps, md = result["jumps"], result["md"]
    parts = _table(_title(result), "ms a jump: median (range)", *jumps)
    for name, text in ROWS.items():
        parts.add_row(text, *(_range(entry, f"{name}_milliseconds", ".4g") for entry in jumps.values()))
    parts.add_row("nominal ns/day", *(f"{entry['nominal_ns_per_day']:,.0f}" for entry in jumps.values()))
    parts.add_row("MD run well, ns/day", *(_range(md[name], "ns_per_day", ",.0f") for name in jumps))
    shown: list[RenderableType] = [parts, *_model_tables(result["inside_model"])]
    if result["products"]:
        products = _table("Matrix products, GFLOP/s", "rows x inner x columns", "torch", "operators")
        for name, entry in result["products"].items():
            products.add_row(name, *(f"{entry[kind]['gflop_per_s']:.0f}" for kind in ("torch", "fused")))
        shown.append(products)
    fastest = result["fastest"]
    shown.append(
        Text(
            f"Jumps ({fastest['jumps']}) advance nominally {result['nominal_ratio_to_md']:.2f} times as fast as MD "
            f"({fastest['md']}), {result['threads']} thread(s)",
            overflow="fold",
        )
    )
    return Group(*shown)


def _model_tables(inside: dict[str, Any]) -> list[Table]:
    profile = inside["profile"]
    milliseconds = inside["substep"]["milliseconds"]
    groups = _table(
        f"One substep: {milliseconds:.3g} ms of processor time; {profile['milliseconds']:.3g} ms in the profiler",
        "group", "ms", "share", "calls",
    )  # fmt: skip
    for name, entry in profile["groups"].items():
        groups.add_row(name, f"{entry['milliseconds']:.3f}", f"{entry['share']:.0%}", f"{entry['calls']:.0f}")
    operators = _table("Longest operators", "operator", "ms", "share", "calls")
    for name, entry in profile["operators"].items():
        operators.add_row(
            name, f"{entry['milliseconds']:.3f}", f"{entry['share']:.0%}", f"{entry['calls']:.0f}"
        )
    return [groups, operators]


def throughput_tables(result: dict[str, Any]) -> Group:
    """One row for each engine, number of copies and number of threads."""
    table = _table(
        _title(result),
        "what",
        "copies",
        "threads",
        "ms/copy",
        "wall ms/copy",
        "times cheaper",
        "samples/s",
        "ns/day",
    )
    for row in result["rows"]:
        n = row["copies"]
        wall = {key: value / n for key, value in row.items() if key.startswith("wall_milliseconds")}
        table.add_row(
            row["what"], str(n), str(row["threads"]), f"{row['milliseconds_per_copy']:.3g}",
            _range(wall, "wall_milliseconds", ".3g"), f"{row['times_cheaper']:.2f}", f"{row['samples_per_s']:.3g}",
            f"{row['nominal_ns_per_day']:,.0f}",
        )  # fmt: skip
    note = (
        "ms/copy: processor time of a copy's jump, all threads; times cheaper: against the first row below OpenMM's. "
        "Samples/s and nominal ns/day: of all copies together, wall time."
    )
    return Group(table, Text(note, overflow="fold"))
