"""`openmm-unisim benchmark throughput`: jumps per second by engine, copies and threads."""

from pathlib import Path
from typing import Annotated

import typer

from .benchmark import JsonOption, PlatformsOption, _names, _numbers, _print, _require_file, _status
from .run_options import ModelArgument, Sha256, Trust, vouched


def throughput(
    model: ModelArgument,
    input: Annotated[
        str, typer.Argument(help="PDB, mmCIF or prmtop file, or a sequence such as ACE-ALA-NME.")
    ],
    copies: Annotated[str, typer.Option(help="Numbers of copies moved at once.")] = "1,4,16,64",
    threads: Annotated[str, typer.Option(help="Numbers of threads.")] = "1",
    platforms: PlatformsOption = "Reference,CPU",
    weights: Annotated[
        Path | None, typer.Option(help="Weights of the model; weights.safetensors beside it unless told.")
    ] = None,
    substeps: Annotated[int, typer.Option(help="Of a jump; 0 is the model's default.")] = 0,
    repeats: Annotated[int, typer.Option(help="Timings of each setting, in turn.")] = 5,
    thermalise: Annotated[float, typer.Option(help="ps of MD before the first jump.")] = 5.0,
    trust: Trust = False,
    sha256: Sha256 = None,
    json: JsonOption = None,
) -> None:
    """Jumps per second, nominal ns/day and samples per second of one and of many copies, side by side.

    With its weights, the plain networks and files with and without fused operators stand beside the model file.
    """
    from ..benchmark.result_file import ResultFile
    from ..benchmark.speed.jump_tables import throughput_tables
    from ..benchmark.speed.throughput import THROUGHPUT_FORMAT, ThroughputSettings, measure_throughput

    _require_file(weights)
    model = vouched(model, trust, sha256)
    settings = ThroughputSettings(
        model, input, _numbers(copies, int, "--copies"), _numbers(threads, int, "--threads"), _names(platforms),
        weights, substeps, repeats, thermalise,
    )  # fmt: skip
    file = ResultFile(json, "throughput", THROUGHPUT_FORMAT)
    with _status() as report:
        result = measure_throughput(settings, report)
    file.save(result)
    _print(throughput_tables(result), json)
