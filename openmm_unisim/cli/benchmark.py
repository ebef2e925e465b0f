"""`openmm-unisim benchmark`: MD at its best, and effective samples per second beside it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ConfigError, DataError
from .benchmark_scaling import scaling
from .benchmark_training import training
from .run_options import ModelArgument, Sha256, Trust, vouched

JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the result there.")]
PlatformsOption = Annotated[
    str | None,
    typer.Option(help="OpenMM platforms to try, e.g. Reference,CPU; all that are here unless told."),
]


def register(app: typer.Typer) -> None:
    """Add the group to `app`."""
    from .benchmark_breakdown import breakdown
    from .benchmark_throughput import throughput
    from .benchmark_transfer import transfer

    group = typer.Typer(
        no_args_is_help=True,
        help="Speed of MD at its best and of UniSim beside it; quality on many molecules.",
    )
    group.command("md")(md)
    group.command("efficiency")(efficiency)
    group.command("scaling")(scaling)
    group.command("breakdown")(breakdown)
    group.command("throughput")(throughput)
    group.command("training")(training)
    group.command("transfer")(transfer)
    app.add_typer(group, name="benchmark")


def md(
    input: Annotated[
        str, typer.Argument(help="PDB, mmCIF or prmtop file, or a sequence such as ACE-ALA-NME.")
    ],
    environment: Annotated[str, typer.Option(help="vacuum or obc2.")] = "obc2",
    temperature: Annotated[float, typer.Option(help="K.")] = 300.0,
    friction: Annotated[float, typer.Option(help="1/ps.")] = 1.0,
    seconds: Annotated[
        float, typer.Option(help="Wall time of the fastest candidate's sample, and of 2 fs's beside it.")
    ] = 60.0,
    platforms: PlatformsOption = None,
    threads: Annotated[
        str | None, typer.Option(help="Numbers of threads to try, e.g. 1,2; powers of two unless told.")
    ] = None,
    time_steps: Annotated[str, typer.Option(help="Time steps to try, fs.")] = "2,4,5",
    repeats: Annotated[int, typer.Option(help="Timings of each candidate.")] = 5,
    repeat_seconds: Annotated[float, typer.Option(help="Wall time of each timing.")] = 0.5,
    frame_spacing: Annotated[float, typer.Option(help="ps between the frames of a sample.")] = 1.0,
    thermalise: Annotated[float, typer.Option(help="ps of MD before each sample.")] = 50.0,
    seed: Annotated[int, typer.Option(help="At least 1.")] = 1,
    reference: Annotated[
        Path | None, typer.Option(help="Long trajectory to take correlation times from instead.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Find the fastest MD of a molecule that passes its checks.

    Every platform, number of threads and time step runs in a process of its own; one that crashes or fails a check is
    listed as failed, with its reason. Hydrogen mass 4 Da, constrained X-H bonds, native generalised Born.
    """
    from ..benchmark.md import MD_FORMAT, MDBenchmarkSettings, benchmark_md
    from ..benchmark.result_file import ResultFile
    from ..benchmark.tables import md_tables

    _require_file(reference)
    settings = MDBenchmarkSettings(
        input, environment, temperature, friction, _names(platforms), _numbers(threads, int, "--threads"),
        _numbers(time_steps, float, "--time-steps"), repeats, repeat_seconds, seconds, frame_spacing, thermalise,
        seed, reference,
    )  # fmt: skip
    file = ResultFile(json, "md", MD_FORMAT)
    with _status() as report:
        result = benchmark_md(settings, report)
    file.save(result)
    _print(md_tables(result), json)


def efficiency(
    model: ModelArgument,
    input: Annotated[
        str, typer.Argument(help="PDB, mmCIF or prmtop file, or a sequence such as ACE-ALA-NME.")
    ],
    environment: Annotated[str | None, typer.Option(help="vacuum or obc2; the model's unless told.")] = None,
    temperature: Annotated[float | None, typer.Option(help="K; the model's unless told.")] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each side.")] = 5,
    seconds_per_side: Annotated[float, typer.Option(help="Wall time of sampling in each run.")] = 60.0,
    jumps: Annotated[
        int | None, typer.Option(help="Jumps in each UniSim run instead; MD then runs for as long.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Limit of every thread pool, on both sides.")] = 1,
    platforms: PlatformsOption = None,
    substeps: Annotated[
        int, typer.Option(help="Network evaluations in a jump; 0 is the model's default.")
    ] = 0,
    thermalise: Annotated[float, typer.Option(help="ps of MD before each run, on both sides.")] = 50.0,
    frame_spacing: Annotated[float, typer.Option(help="ps between the frames of MD.")] = 1.0,
    friction: Annotated[float, typer.Option(help="1/ps, of MD.")] = 1.0,
    md: Annotated[
        Path | None, typer.Option("--md", help="Result of `benchmark md`, instead of finding the MD now.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="MD trajectory that judges; shipped for alanine dipeptide.")
    ] = None,
    long_run: Annotated[
        Path | None, typer.Option(help="Long UniSim trajectory of this model, to tell its bias more exactly.")
    ] = None,
    trust: Trust = False,
    sha256: Sha256 = None,
    json: JsonOption = None,
) -> None:
    """Effective samples per second of UniSim against MD at its best, in turn on this machine.

    The JSON is written after every run; the same command continues it, and a larger --seeds extends it.
    """
    from ..benchmark.efficiency import EfficiencySettings, benchmark_efficiency
    from ..benchmark.tables import efficiency_tables

    model = vouched(model, trust, sha256)
    _require_file(reference)
    _require_file(md)
    _require_file(long_run)
    settings = EfficiencySettings(
        model, input, environment, temperature, seeds, seconds_per_side, jumps, threads, _names(platforms),
        substeps, thermalise, frame_spacing, friction, md, reference, long_run, json,
    )  # fmt: skip
    with _status() as report:
        record = benchmark_efficiency(settings, report)
    _print(efficiency_tables(record), json)


def _require_file(path: Path | None) -> None:
    if path is not None and not path.is_file():
        raise DataError(f"There is no file '{path}'; check the path or leave the option out.")


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _numbers(text: str | None, kind: Callable[[str], Any], option: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in _names(text))
    except ValueError as error:
        raise ConfigError(f"{option} {text} is no list of numbers; write it as 1,2,4.") from error


@contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """What is being done: one changing line on a terminal, one line each elsewhere; on stderr."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: console.print(text, markup=False, highlight=False)
        return
    with console.status("starting") as status:
        yield status.update


def _print(tables: Any, json: Path | None) -> None:
    from rich.console import Console

    console = Console()
    console.print(tables)
    if json is not None:
        console.print(f"Result: {json}", markup=False, highlight=False, soft_wrap=True)
