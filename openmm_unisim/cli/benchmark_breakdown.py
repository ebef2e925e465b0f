"""`openmm-unisim benchmark breakdown`: where the time of a jump goes."""

from typing import Annotated

import typer

from .benchmark import JsonOption, PlatformsOption, _names, _print, _status
from .run_options import ModelArgument, Sha256, Trust, vouched


def breakdown(
    model: ModelArgument,
    input: Annotated[
        str, typer.Argument(help="PDB, mmCIF or prmtop file, or a sequence such as ACE-ALA-NME.")
    ],
    platforms: PlatformsOption = "Reference,CPU",
    substeps: Annotated[int, typer.Option(help="Of a jump; 0 is the model's default.")] = 0,
    threads: Annotated[int, typer.Option(help="Of the network and of the CPU platform.")] = 1,
    jumps: Annotated[int, typer.Option(help="Jumps in a block.")] = 5,
    repeats: Annotated[int, typer.Option(help="Blocks on each platform, in turn.")] = 7,
    md_seconds: Annotated[float, typer.Option(help="Wall time of MD in each block.")] = 0.3,
    thermalise: Annotated[float, typer.Option(help="ps of MD before the first jump.")] = 5.0,
    trust: Trust = False,
    sha256: Sha256 = None,
    json: JsonOption = None,
) -> None:
    """Split the time of a jump into model, forces, noise and hand-over, with MD of the molecule beside it.

    Any molecule of elements that the model knows can be timed, whether or not the model was trained on it.
    """
    from ..benchmark.result_file import ResultFile
    from ..benchmark.speed.breakdown import BREAKDOWN_FORMAT, BreakdownSettings, measure_breakdown
    from ..benchmark.speed.jump_tables import breakdown_tables

    model = vouched(model, trust, sha256)
    settings = BreakdownSettings(
        model,
        input,
        _names(platforms),
        substeps,
        threads,
        jumps,
        repeats,
        md_seconds,
        thermalise,
    )
    file = ResultFile(json, "breakdown", BREAKDOWN_FORMAT)
    with _status() as report:
        result = measure_breakdown(settings, report)
    file.save(result)
    _print(breakdown_tables(result), json)
