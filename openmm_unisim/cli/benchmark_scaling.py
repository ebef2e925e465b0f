"""`openmm-unisim benchmark scaling`: time and memory from tens to thousands of atoms."""

from pathlib import Path
from typing import Annotated, Any

import typer


def scaling(
    atoms: Annotated[str, typer.Option(help="Sizes, about.")] = "22,150,1000,10000",
    repeats: Annotated[int, typer.Option(help="Timings of each call.")] = 5,
    threads: Annotated[int, typer.Option(help="torch threads.")] = 1,
    protein: Annotated[
        Path | None, typer.Option(help="PDB file that large molecules are cut from; 4JSV unless told.")
    ] = None,
    jump: Annotated[bool, typer.Option(help="Also jump with the integrator at the largest size.")] = True,
    platform: Annotated[str, typer.Option(help="OpenMM platform of those jumps.")] = "Reference",
    substeps: Annotated[int, typer.Option(help="Network evaluations in each of those jumps.")] = 4,
    conditioned: Annotated[
        bool, typer.Option("--conditioned", help="Also find the largest molecule of the conditioned form.")
    ] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the result there.")] = None,
) -> None:
    """Time, memory and profile of the published form at several sizes, each in processes of its own.

    Random weights of the published sizes (256 x 4). Processor time, medians.
    """
    from ..benchmark.result_file import ResultFile
    from ..benchmark.speed.scaling import SCALING_FORMAT, ScalingSettings, measure_scaling
    from ..system import get_platform
    from .benchmark import _numbers, _print, _status

    get_platform(platform)
    sizes = _numbers(atoms, int, "--atoms")
    settings = ScalingSettings(sizes, repeats, threads, protein, jump, platform, substeps, conditioned)
    file = ResultFile(json, "scaling", SCALING_FORMAT)
    with _status() as report:
        result = measure_scaling(settings, report)
    file.save(result)
    _print(_tables(result), json)


def _tables(result: dict[str, Any]) -> Any:
    """Sizes, shares of the parts, jumps, and the conditioned form."""
    from rich.console import Group
    from rich.table import Table

    sizes = Table(title="Published form, random weights", title_justify="left")
    for column in (
        "atoms", "edges/atom", "network ms", "step ms", "µs/atom", "vs 1,000", "peak MiB",
    ):  # fmt: skip
        sizes.add_column(column, justify="right")
    shares = Table(title="Share of a step", title_justify="left")
    for column in ("atoms", *result["sizes"][0]["shares"]):
        shares.add_column(column, justify="right")
    for entry in result["sizes"]:
        figures, ratio = entry["figures"], entry["cost_ratio"]
        sizes.add_row(
            f"{entry['n_atoms']:,}", f"{entry['edges_per_atom']:.1f}",
            f"{figures['evaluation']['milliseconds']:.1f}", f"{figures['step']['milliseconds']:.1f}",
            f"{entry['us_per_atom']:.0f}", "" if ratio is None else f"{ratio:.2f} x",
            f"{entry['peak_memory_MiB']:.0f}",
        )  # fmt: skip
        shares.add_row(
            f"{entry['n_atoms']:,}", *(f"{100 * share:.1f} %" for share in entry["shares"].values())
        )
    return Group(sizes, shares, *_jump_lines(result["jump"]), *_conditioned_table(result["conditioned"]))


def _jump_lines(jump: dict[str, Any] | None) -> list[str]:
    if jump is None:
        return []
    outcome = "finite" if jump["finite"] else "NOT finite"
    return [
        f"Jump of UniSimIntegrator on {jump['platform']}, {jump['n_atoms']:,} atoms, {jump['substeps']} substeps: "
        f"{jump['jump_s']:.2f} s, positions {outcome}, {jump['peak_memory_MiB']:.0f} MiB"
    ]


def _conditioned_table(entries: list[dict[str, Any]]) -> list[Any]:
    from rich.table import Table

    if not entries:
        return []
    table = Table(title="Conditioned form at the size of ala2, random weights", title_justify="left")
    for column in ("atoms", "network ms", "step ms", "peak MiB"):
        table.add_column(column, justify="right")
    for entry in entries:
        figures = entry["figures"]
        table.add_row(
            f"{entry['n_atoms']:,}", f"{figures['evaluation']['milliseconds']:.1f}",
            f"{figures['step']['milliseconds']:.1f}", f"{entry['peak_memory_MiB']:.0f}",
        )  # fmt: skip
    return [table]
