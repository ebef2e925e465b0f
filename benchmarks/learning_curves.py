r"""Learning curves of training runs as one picture and one table, at equal steps: ablations, sizes, stages.

    python benchmarks/learning_curves.py full=runs/ablation/full no-x0=runs/ablation/no-x0 \
        --figures valid valid_early valid_end --title "Ablations" \
        --json benchmarks/results/ablations.json --svg docs/figures/ablations.svg
    python benchmarks/learning_curves.py --from benchmarks/results/ablations.json --svg again.svg

A run is a folder with `log.jsonl`, or such a file. The JSON holds the curves, so that the picture can be drawn again,
and the rows that benchmarks/tables.py sets: every figure at the last step that all runs have reached, each run's own
last step, and its steps per second. The first figure is drawn, on a logarithmic axis.
"""

import argparse
import json
import math
from html import escape
from pathlib import Path
from typing import Any

from openmm_unisim.errors import DataError, UniSimError
from openmm_unisim.provenance import provenance, sha256_of_file

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f")
WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 50

Curve = dict[str, list[float]]  # "step" and figures


def read_curve(path: Path, figures: list[str]) -> Curve:
    """Figures of every step that has the first of them; a step logged twice, around a kill, counts once.

    Raises
    ------
    DataError
        If the log is missing, broken, or never has that figure.
    """
    log = path / "log.jsonl" if path.is_dir() else path
    try:
        entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"'{log}' can't be read as a training log ({error}); give a run's folder.") from error
    kept = {entry["step"]: entry for entry in entries if figures[0] in entry}
    if not kept:
        raise DataError(f"'{log}' never has '{figures[0]}'; wait for a validation or name another figure.")
    steps = sorted(kept)
    speeds = [entry["steps_per_s"] for entry in entries if "steps_per_s" in entry]
    curve: Curve = {name: [kept[step].get(name, math.nan) for step in steps] for name in figures}
    return {"step": steps, **curve, "steps_per_s": [sorted(speeds)[len(speeds) // 2]] if speeds else []}


def at_equal_steps(curves: dict[str, Curve]) -> int:
    """The last step at which every run has figures.

    Raises
    ------
    DataError
        If there is none.
    """
    shared = set.intersection(*(set(curve["step"]) for curve in curves.values()))
    if not shared:
        raise DataError("the runs have no validation at one step; validate them at the same steps.")
    return int(max(shared))


def table(curves: dict[str, Curve], figures: list[str]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows for benchmarks/tables.py."""
    step = at_equal_steps(curves)
    columns = [
        "run",
        *(f"{name} at step {step:,}" for name in figures),
        "last step",
        f"{figures[0]} there",
        "steps/s",
    ]
    rows = []
    for name, curve in curves.items():
        index = curve["step"].index(step)
        values = [curve[figure][index] for figure in figures]
        speed = curve["steps_per_s"][0] if curve["steps_per_s"] else None
        rows.append(
            [
                name,
                *(None if math.isnan(v) else v for v in values),
                f"{curve['step'][-1]:,}",
                curve[figures[0]][-1],
                speed,
            ]
        )
    return columns, rows


def draw(curves: dict[str, Curve], figure: str, title: str) -> str:
    """SVG of one figure against the step."""
    points = {
        name: [(s, v) for s, v in zip(curve["step"], curve[figure]) if s > 0 and v > 0]
        for name, curve in curves.items()
    }
    every = [point for series in points.values() for point in series]
    if not every:
        raise DataError(f"no run has a positive '{figure}' to draw.")
    last = max(step for step, _ in every)
    low, high = (math.log10(side(value for _, value in every)) for side in (min, max))
    low, high = low - 0.03, max(high, low + 0.02) + 0.03

    def place(step: float, value: float) -> tuple[float, float]:
        x = LEFT + step / last * (WIDTH - LEFT - RIGHT)
        share = (math.log10(value) - low) / (high - low)
        return x, HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = [*_axes(last, low, high, place, figure, title)]
    for k, (name, series) in enumerate(points.items()):
        colour = COLOURS[k % len(COLOURS)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in series))
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.8" points="{line}"/>')
        y = TOP + 12 + 16 * k
        parts.append(
            f'<line x1="{WIDTH - 190}" y1="{y}" x2="{WIDTH - 165}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
        )
        parts.append(f'<text x="{WIDTH - 158}" y="{y + 4}">{escape(name)}</text>')
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    style = 'font-family="sans-serif" font-size="12"'
    body = "\n".join(parts)
    white = '<rect width="100%" height="100%" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{white}\n{body}\n</svg>\n'


def _axes(last: float, low: float, high: float, place: Any, figure: str, title: str) -> list[str]:
    """Frame, grid and labels."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<text x="{LEFT}" y="{TOP - 16}" font-size="15">{escape(title)}</text>']
    for k in range(6):
        x = LEFT + k / 5 * (right - LEFT)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#dddddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{last * k / 5:,.0f}</text>')
    for k in range(6):
        value = 10 ** (low + k / 5 * (high - low))
        y = place(last, value)[1]
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    parts.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 12}" text-anchor="middle">step</text>')
    parts.append(f'<text x="16" y="{(TOP + bottom) / 2}" transform="rotate(-90 16 {(TOP + bottom) / 2})" '
                 f'text-anchor="middle">{escape(figure)}</text>')  # fmt: skip
    return parts


def named_run(text: str) -> tuple[str, Path]:
    """NAME=PATH, or a path whose last part is its name."""
    name, found, path = text.partition("=")
    return (name, Path(path)) if found else (Path(text).name, Path(text))


def make_record(runs: list[tuple[str, Path]], figures: list[str], title: str) -> dict[str, Any]:
    """Curves, rows and where they come from."""
    curves = {name: read_curve(path, figures) for name, path in runs}
    columns, rows = table(curves, figures)
    sources = {name: sha256_of_file(path / "log.jsonl" if path.is_dir() else path) for name, path in runs}
    clean = {
        name: {key: [None if math.isnan(v) else v for v in values] for key, values in curve.items()}
        for name, curve in curves.items()
    }
    return {
        "title": title, "figures": figures, "columns": columns, "rows": rows, "curves": clean,
        "provenance": provenance(logs_sha256=sources),
    }  # fmt: skip


def main() -> None:
    """Read the arguments, the logs, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", help="NAME=FOLDER of each run")
    parser.add_argument("--figures", nargs="+", default=["valid"], help="of the log; the first is drawn")
    parser.add_argument("--title", default="Learning curves")
    parser.add_argument("--from", dest="kept", type=Path, help="draw what this JSON holds instead")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--svg", type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.kept is None:
            if not arguments.runs:
                raise DataError("no run was given; write NAME=FOLDER for each.")
            record = make_record(
                [named_run(run) for run in arguments.runs], arguments.figures, arguments.title
            )
        else:
            record = json.loads(arguments.kept.read_text(encoding="utf-8"))
        curves = {
            name: {key: [math.nan if v is None else v for v in values] for key, values in curve.items()}
            for name, curve in record["curves"].items()
        }
        picture = draw(curves, record["figures"][0], record["title"])
    except UniSimError as error:
        parser.exit(2, f"Error: {error}\n")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if arguments.svg is not None:
        arguments.svg.parent.mkdir(parents=True, exist_ok=True)
        arguments.svg.write_text(picture, encoding="utf-8")
    for row in [record["columns"], *record["rows"]]:
        print(" | ".join("n/a" if c is None else f"{c:.4f}" if isinstance(c, float) else str(c) for c in row))


if __name__ == "__main__":
    main()
