"""`openmm-unisim benchmark training`: samples per second of a training step, fast paths beside the plain layers."""

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["training"]


def training(
    molecules: Annotated[
        str, typer.Option(help="Sequences or files, comma-separated: 22 and 76 atoms unless told.")
    ] = "ACE-ALA-NME,ACE-LYS-PHE-ASP-ALA-NME",
    batch: Annotated[int, typer.Option(help="Samples of a step.")] = 32,
    cutoff: Annotated[float, typer.Option(help="A smaller cutoff to measure, too, angstrom; 0: none.")] = 8.0,
    compiled: Annotated[bool, typer.Option(help="Measure torch.compile, too; takes minutes.")] = False,
    threads: Annotated[int, typer.Option(help="Threads to compare with one.")] = 2,
    repeats: Annotated[int, typer.Option(help="Steps of each path.")] = 7,
    json: Annotated[Path | None, typer.Option("--json", help="Write the result there.")] = None,
) -> None:
    """Time training steps at the size of `ala2`: data, forward, backward, optimiser.

    The plain layers over the full graph and the operators over pairs take turns in one process; figures are medians of
    its processor time, with one thread. MD for the pairs is run first.
    """
    from rich.console import Console

    from ..benchmark.result_file import ResultFile
    from ..benchmark.speed.training import TRAINING_FORMAT, TrainingBenchmarkSettings, benchmark_training

    names = tuple(part.strip() for part in molecules.split(",") if part.strip())
    settings = TrainingBenchmarkSettings(names, batch, cutoff, compiled, threads, repeats)
    file = ResultFile(json, "training", TRAINING_FORMAT)
    errors = Console(stderr=True)
    result = benchmark_training(settings, lambda text: errors.print(text, markup=False, highlight=False))
    file.save(result)
    console = Console()
    for name, figures in result["molecules"].items():
        _print(console, name, figures)
    if json is not None:
        console.print(f"Result: {json}", markup=False, highlight=False, soft_wrap=True)


def _print(console: Any, name: str, figures: dict[str, Any]) -> None:
    from rich.table import Table

    within = figures["share_of_pairs_within_cutoff"]
    table = Table(title=f"{name}, {figures['n_atoms']} atoms, {within:.0%} of all pairs within 12 angstrom")
    columns = ("path", "batch", "samples/s", "times the twin's", "on the wall")
    for column in columns:
        table.add_column(column, justify="left" if column == "path" else "right")
    for path, entry in figures["paths"].items():
        numbers = (entry["samples_per_s"], entry["times_faster"], entry["wall_times_faster"])
        table.add_row(path, str(entry["batch"]), f"{numbers[0]:.1f}", *(f"{x:.2f}" for x in numbers[1:]))
    console.print(table)
    for path, parts in figures["parts"].items():
        shown = ", ".join(f"{part} {value:.1f} ms" for part, value in parts.items())
        console.print(f"{path}: {shown}", highlight=False)
    products = figures["products"]
    console.print(
        f"matrix products of the operators' step: {products['gflop']:.2f} GFLOP, alone "
        f"{products['operators_milliseconds']:.1f} ms by the operators, {products['torch_milliseconds']:.1f} by torch",
        highlight=False,
    )
    for threads, entry in figures.get("threads", {}).items():
        console.print(
            f"{threads}: {entry['wall_samples_per_s']:.1f} samples/s by the clock, "
            f"{entry['wall_times_faster']:.2f} times one thread",
            highlight=False,
        )
