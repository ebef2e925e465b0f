"""Write the tables of the documentation from the files of benchmarks/results.

    python benchmarks/tables.py                 # rewrite what lies between the markers in every docs/*.md
    python benchmarks/tables.py --check         # change nothing; exit status 1 if a document is stale

A table stands between two markers, and what it holds follows from the results file of that name:

    <!-- table:NAME -->          results/NAME.json: rows, an evaluation, a file of `benchmark efficiency`, `md`
    <!-- end -->                 or `transfer`, or of benchmarks/ala2_grids.py; or results/NAME.paper.json and
                                 results/NAME.strict.json: one evaluation in both modes
    <!-- table:NAME:SECTION -->  the same, only one section: of an evaluation its key, e.g. structure; of efficiency
                                 speed, samples or times; of transfer summary, residues, torsions, energies or paper

A file of rows is ``{"columns": [...], "rows": [[...]], "provenance": {...}}``.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openmm_unisim.benchmark.transfer.table import transfer_tables
from openmm_unisim.errors import DataError, UniSimError
from openmm_unisim.evaluation.page.markdown import markdown_table, section_table
from openmm_unisim.evaluation.page.metric_text import metric_row, significant, with_error
from openmm_unisim.pretrained.registry import registered_models
from openmm_unisim.provenance import sha256_of_file

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENTS = ROOT / "docs"
MODES = ("paper", "strict")
_BLOCK = re.compile(
    r"^(<!-- table:(?P<name>[\w.+-]+)(?::(?P<section>\w+))? -->\n)(?P<body>.*?)^(<!-- end -->)$", re.S | re.M
)
_START, _END = re.compile("^<!-- table:", re.M), re.compile("^<!-- end -->$", re.M)


def updated(text: str, results: Path) -> str:
    """A document with every table made anew.

    Raises
    ------
    DataError
        If a marker has no results file, no end, or the file is of no known kind.
    """
    starts, ends, blocks = (len(pattern.findall(text)) for pattern in (_START, _END, _BLOCK))
    if not starts == ends == blocks:
        raise DataError(
            f"{starts} table markers, {ends} ends and {blocks} pairs; write '<!-- table:NAME -->' and '<!-- end -->', "
            "each on a line of its own."
        )

    def replaced(match: re.Match[str]) -> str:
        table = make_table(match["name"], match["section"], results)
        return f"{match[1]}\n{table}\n\n{match[5]}"

    return _BLOCK.sub(replaced, text)


def make_table(name: str, section: str | None, results: Path) -> str:
    """The Markdown of one marker."""
    pair = [results / f"{name}.{mode}.json" for mode in MODES]
    if all(path.is_file() for path in pair):
        paper, strict = map(_read, pair)
        return _with_source(two_modes(paper, strict, section), strict, [path.name for path in pair])
    path = results / f"{name}.json"
    if not path.is_file():
        raise DataError(
            f"table '{name}' has no results: neither '{path}' nor '{pair[0].name}' with '{pair[1].name}'."
        )
    record = _read(path)
    if "rows" in record and "columns" in record:
        table = rows_table(record)
    elif "sections" in record:
        table = "\n\n".join(section_table(one) for one in _sections(record, section))
    elif record.get("benchmark") == "efficiency":
        table = efficiency_tables(record, section)
    elif record.get("benchmark") == "md":
        table = md_table(record)
    elif record.get("benchmark") == "transfer":
        table = transfer_tables(record, section)
    elif "settings" in record:
        table = grids_table(record)
    else:
        raise DataError(f"'{path}' holds no rows, evaluation or benchmark; give one of them.")
    return _with_source(table, record, [path.name])


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"'{path}' is no JSON ({error}); write it again.") from error
    if not isinstance(record, dict):
        raise DataError(f"'{path}' holds a {type(record).__name__}; a results file is an object.")
    return record


def _with_source(table: str, record: dict[str, Any], files: Sequence[str]) -> str:
    """The table and, below it, where its numbers come from."""
    source = record.get("provenance") or {}
    if isinstance(source, list):  # a benchmark that was continued
        source = source[-1]
    commit, changed, _ = str(source.get("commit", "unknown")).partition("+")
    names = " and ".join(f"`benchmarks/results/{name}`" for name in files)
    commit = commit[:10] + ("+dirty" if changed else "")
    machine = source.get("machine", "machine unknown")
    other = " **Of other weights than those shipped now.**" if of_other_weights(record) else ""
    return f"{table}\n\n{names}, commit `{commit}`, {machine}.{other}"


def of_other_weights(record: dict[str, Any]) -> bool:
    """Whether a result names a model or weights that no shipped model has; False where it names none."""
    source = record.get("provenance") or {}
    source = source[-1] if isinstance(source, list) else source
    named = {record.get("identity", {}).get("model"), record.get("model_sha256"), source.get("weights")} - {
        None
    }
    shipped = {model.sha256 for model in registered_models().values()}
    for model in registered_models().values():
        shipped |= set(model.earlier_sha256)
        weights = model.path.with_name("weights.safetensors")
        shipped |= {sha256_of_file(weights)} if weights.exists() else set()
    return bool(named - shipped)


def rows_table(record: dict[str, Any]) -> str:
    """Generic rows; numbers to four digits, null as n/a."""
    columns = [str(column) for column in record["columns"]]
    for row in record["rows"]:
        if len(row) != len(columns):
            raise DataError(
                f"row {row} has {len(row)} cells and there are {len(columns)} columns; complete it."
            )
    return markdown_table(columns, [[_text(cell) for cell in row] for row in record["rows"]])


def _text(cell: Any) -> str:
    if cell is None:
        return "n/a"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return significant(float(cell), 4) if isinstance(cell, float) else str(cell)


def _sections(record: dict[str, Any], wanted: str | None) -> list[dict[str, Any]]:
    chosen = [one for one in record["sections"] if wanted in (None, one["key"])]
    if not chosen:
        raise DataError(
            f"there is no section '{wanted}'; choose one of {[one['key'] for one in record['sections']]}."
        )
    return chosen


def two_modes(paper: dict[str, Any], strict: dict[str, Any], section: str | None) -> str:
    """One evaluation by the paper's definitions and by the strict ones, side by side.

    Sections that are the same in both modes are shown once, by `section_table`.
    """
    for record, mode in ((paper, "paper"), (strict, "strict")):
        if record.get("mode") != mode:
            raise DataError(
                f"an evaluation in mode '{record.get('mode')}' stands for mode '{mode}'; write it again."
            )
    inputs = [{name: one["sha256"] for name, one in record["inputs"].items()} for record in (paper, strict)]
    if inputs[0] != inputs[1]:
        raise DataError(
            "the evaluations in paper and strict mode are of different files; write both from the same."
        )
    tables = []
    for ours in _sections(strict, section):
        theirs = next((one for one in paper["sections"] if one["key"] == ours["key"]), None)
        by_mode = theirs is not None and ours["depends_on_mode"]
        tables.append(_side_by_side(theirs, ours) if theirs is not None and by_mode else section_table(ours))
    return "\n\n".join(tables)


def _side_by_side(paper: dict[str, Any], strict: dict[str, Any]) -> str:
    left = {metric["key"]: metric_row(metric) for metric in paper["metrics"]}
    right = {metric["key"]: metric_row(metric) for metric in strict["metrics"]}
    rows = []
    for key in dict.fromkeys([*right, *left]):
        one, other = left.get(key), right.get(key)
        label = (other or one).label  # type: ignore[union-attr]  # the key is of one of them
        cells = [(row.value, row.floor) if row is not None else ("", "") for row in (one, other)]
        rows.append(
            (label, *cells[0], *cells[1], other.reference if other else "", other.outside if other else "")
        )
    columns = ("figure", "paper", "MD floor", "strict", "MD floor", "reference", "outside")
    return markdown_table(columns, rows)


def efficiency_tables(record: dict[str, Any], section: str | None) -> str:
    """Speed, samples and times of `benchmark efficiency`; intervals are 95 % over seeds."""
    summary = record["summary"]
    if summary is None:
        raise DataError("the efficiency benchmark has no complete seeds yet; let it run on.")
    makers = {"speed": _speed_table, "samples": _samples_table, "times": _times_table}
    if section is not None and section not in makers:
        raise DataError(f"an efficiency file has no section '{section}'; choose one of {list(makers)}.")
    return "\n\n".join(make(summary) for name, make in makers.items() if section in (None, name))


def _speed_table(summary: dict[str, Any]) -> str:
    rows = []
    for name, figures in summary["observables"].items():
        if "reason" in figures:
            rows.append((name, f"n/a ({figures['reason']})", "", "", ""))
            continue
        for rate, meaning in summary["rates"].items():
            sides = [_interval(figures[rate][side]) for side in ("unisim", "md", "ratio")]
            rows.append((name, meaning, *sides))
    return markdown_table(
        ("observable", "seconds counted", "UniSim, ESS/s", "MD, ESS/s", "UniSim / MD"), rows
    )


def _interval(figure: dict[str, Any]) -> str:
    low, high = figure["low"], figure["high"]
    text = significant(figure["value"], 3)
    return (
        text if low is None or high is None else f"{text} ({significant(low, 2)} to {significant(high, 2)})"
    )


def _samples_table(summary: dict[str, Any]) -> str:
    """Are the samples right: distances of all seeds together from the judge, and populations of alpha."""
    rows = []
    for residue in summary["distances"]:
        for kind, name in (("phi", "φ"), ("psi", "ψ"), ("phi_psi", "(φ, ψ)")):
            figure = residue[kind]
            floor = with_error(figure["floor"], figure["floor_std"]) if "floor" in figure else "n/a"
            cells = [significant(figure[side], 3) if side in figure else "n/a" for side in ("unisim", "md")]
            rows.append((f"JS distance of {name}, {residue['label']}", *cells, floor, ""))
    for residue in summary["bias"]:
        cells = [
            with_error(residue[side], residue[f"{side}_error"]) for side in ("unisim", "md", "reference")
        ]
        rows.append((f"population of alpha, {residue['label']}", cells[0], cells[1], "", cells[2]))
    return markdown_table(("figure", "UniSim", "MD of equal time", "MD floor", "reference"), rows)


def _times_table(summary: dict[str, Any]) -> str:
    times = summary["times_s"]
    stages = dict.fromkeys([*times["unisim"], *times["md"]])
    rows = [
        (stage.replace("_", " "), *(_text(times[side].get(stage)) for side in ("unisim", "md")))
        for stage in stages
    ]
    counts = summary["rejections"]
    table = markdown_table(("wall time of a seed, s", "UniSim", "MD"), rows)
    return f"{table}\n\n{counts['rejected']:,} of {counts['jumps']:,} jumps rejected, {counts['broken']:,} broken."


def md_table(record: dict[str, Any]) -> str:
    """What `benchmark md` tried, fastest first."""
    rows = [
        (
            f"{one['engine']}, {one['time_step_fs']:g} fs",
            _text(one["ns_per_day"]),
            f"{one['status']}{': ' if one['reason'] else ''}{one['reason']}",
        )
        for one in record["candidates"]
    ]
    return markdown_table(("MD", "ns/day", "outcome"), rows)


def grids_table(record: dict[str, Any]) -> str:
    """Calls, grid and covariance of benchmarks/ala2_grids.py."""
    rows = []
    for one in sorted(record["settings"], key=lambda one: (one["calls"], one["grid"], one["covariance"])):
        score, floor = one["score"], one["score"]["js_floor"]["phi_psi"]
        stays = [f"{score['stay_difference'][basin]:+.3f}" for basin in ("alpha", "beta")]
        alpha = score["model"]["population_alpha"]
        rows.append(
            (
                str(one["calls"]), one["grid"], one["covariance"], f"{score['js']['phi_psi']:.3f}",
                with_error(floor["mean"], floor["std"]), " / ".join(stays),
                with_error(alpha["value"], alpha["standard_error"]),
                f"{one['energy_median_minus_md_kT']['all']:+.2f}",
                f"{one['validity']['explosions']} / {one['nan']}",
            )
        )  # fmt: skip
    columns = (
        "calls", "grid", "covariance", "JS φ/ψ", "MD floor", "P(stay) α / β − MD", "α population", "median U − MD (kT)",
        "explosions / NaN",
    )  # fmt: skip
    return markdown_table(columns, rows)


def _documents_with_tables() -> list[Path]:
    return sorted(path for path in DOCUMENTS.glob("*.md") if _START.search(path.read_text(encoding="utf-8")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments; write or check; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "documents",
        type=Path,
        nargs="*",
        default=_documents_with_tables(),
        help="default: those of docs/ with tables",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit status 1 if a table is stale"
    )
    options = parser.parse_args(arguments)
    stale = []
    for path in options.documents:
        try:
            text = path.read_text(encoding="utf-8")
            new = updated(text, options.results)
        except (OSError, UniSimError) as error:
            print(f"Error: {path}: {error}", file=sys.stderr)
            return 2
        if new != text:
            stale.append(path)
            if not options.check:
                path.write_text(new, encoding="utf-8")
    for path in stale:
        print(f"{path}: {'stale; run python benchmarks/tables.py' if options.check else 'written'}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
