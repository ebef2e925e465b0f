"""`openmm-unisim evaluate`: every metric of a model trajectory beside MD, as a table and as files."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

_COLOURS = {"within": "green", "beyond": "yellow", "none": ""}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("evaluate")(evaluate)


def evaluate(
    topology: Annotated[
        Path, typer.Option(help="PDB file of the molecule, atoms in the trajectories' order.")
    ],
    reference: Annotated[Path, typer.Option(help="MD to judge by: any mdtraj format, .npz in nm, our HDF5.")],
    model: Annotated[Path, typer.Option(help="The model's trajectory.")],
    mode: Annotated[
        str, typer.Option(help="Definitions of the paper's metrics: strict or paper.")
    ] = "strict",
    json_path: Annotated[Path | None, typer.Option("--json", help="Write every figure there.")] = None,
    html_path: Annotated[Path | None, typer.Option("--html", help="Write one self-contained page.")] = None,
    markdown_path: Annotated[Path | None, typer.Option("--markdown", help="Write the tables.")] = None,
    reference_spacing: Annotated[
        float | None, typer.Option(help="ps between frames of the reference; the file's unless told.")
    ] = None,
    model_spacing: Annotated[
        float | None, typer.Option(help="ps between frames of the model; the file's unless told.")
    ] = None,
    basins: Annotated[
        Path | None, typer.Option(help="Basin file; the shipped one, or alpha and beta of each residue.")
    ] = None,
    environment: Annotated[
        str, typer.Option(help="Of the energies: obc2, vacuum, or none to leave them out.")
    ] = "obc2",
    temperature: Annotated[float, typer.Option(help="K, of both trajectories.")] = 300.0,
    lag: Annotated[
        float | None, typer.Option(help="ps, of the kinetics; the longer frame spacing unless told.")
    ] = None,
    tica_lag: Annotated[
        float | None, typer.Option(help="Lag of TICA: reference frames in mode paper, ps in mode strict.")
    ] = None,
    wall_seconds_model: Annotated[
        float | None, typer.Option(help="Wall time of the model's trajectory, for ESS/s.")
    ] = None,
    wall_seconds_reference: Annotated[
        float | None, typer.Option(help="Wall time of the reference, for ESS/s.")
    ] = None,
    second_model: Annotated[
        Path | None, typer.Option(help="The model at a second temperature, for the ensemble check.")
    ] = None,
    second_temperature: Annotated[float | None, typer.Option(help="K, of --second-model.")] = None,
    windows: Annotated[int, typer.Option(help="Consecutive windows of the run, for its drift.")] = 10,
    block: Annotated[
        float, typer.Option(help="ps in a bootstrap block; outlasts the slowest relaxation.")
    ] = 1000.0,
    repeats: Annotated[int, typer.Option(help="Resampled pairs behind each error bar and floor.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    platform: Annotated[str, typer.Option(help="OpenMM platform of the energies.")] = "Reference",
) -> None:
    """Judge a trajectory beside MD: the paper's metrics and more, each with its error bar and MD floor.

    What can't be computed for a molecule is n/a with its reason, never zero.
    """
    from rich.console import Console

    from ..evaluation.estimators.histograms import checked_mode
    from ..evaluation.evaluate import write_evaluation
    from ..evaluation.settings import EvaluationSettings

    settings = EvaluationSettings(
        checked_mode(mode), basins, environment, temperature, lag, tica_lag, wall_seconds_model,
        wall_seconds_reference, windows, second_model, second_temperature, platform,
    )  # fmt: skip
    with Console(stderr=True).status("Reading and comparing trajectories") as status:
        record = write_evaluation(
            topology, reference, model, settings, json_path=json_path, html_path=html_path,
            markdown_path=markdown_path, model_spacing_ps=model_spacing, reference_spacing_ps=reference_spacing,
            block_ps=block, repeats=repeats, seed=seed, progress=lambda text: status.update(text),
        )  # fmt: skip
    _print_tables(record, Console())
    for path in (json_path, markdown_path, html_path):
        if path is not None:
            print(f"Wrote {path}")
    for text in record["warnings"]:
        print(f"Warning: {text}", file=sys.stderr)


def _print_tables(record: dict[str, Any], console: Any) -> None:
    """One table a section; figures beyond MD's noise are yellow, those within green."""
    from rich.markup import escape
    from rich.table import Table

    from ..evaluation.page.metric_text import filled_columns, metric_row, summarise_section

    for section in record["sections"]:
        summary = summarise_section(section)
        title = section["title"]
        if summary.graded:
            title += f" ({summary.within} of {summary.graded} within MD's noise)"
        rows = list(map(metric_row, section["metrics"]))
        shown = filled_columns(rows)
        table = Table(title=title, title_justify="left", title_style="bold")
        table.add_column("figure", overflow="fold")
        for heading in ("model", *shown.values()):
            table.add_column(heading, justify="right", overflow="fold")
        for row in rows:
            colour = _COLOURS[row.verdict]
            value = f"[{colour}]{escape(row.value)}[/]" if colour else escape(row.value)
            table.add_row(escape(row.label), value, *(escape(getattr(row, name)) for name in shown))
        console.print(table)
