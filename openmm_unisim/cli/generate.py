"""`openmm-unisim generate`: MD for training pairs."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("generate")(generate)


def generate(
    molecules: Annotated[
        list[str], typer.Argument(help="Sequences such as ACE-ALA-NME, or PDB/prmtop files.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the HDF5 files, one a walker.")] = Path("raw"),
    environment: Annotated[str, typer.Option(help="vacuum or obc2.")] = "obc2",
    nanoseconds: Annotated[float, typer.Option(help="Stored length of each walker, ns.")] = 10.0,
    walkers: Annotated[
        int, typer.Option(min=1, help="Independent walkers a molecule, with seeds seed, seed+1, ...")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the first walker (>= 1).")] = 1,
    temperature: Annotated[float, typer.Option(help="K.")] = 300.0,
    frame_spacing: Annotated[float, typer.Option(help="ps between stored frames.")] = 1.0,
    constraints: Annotated[
        str, typer.Option(help="none, or h-bonds: bonds to hydrogen held at their lengths.")
    ] = "none",
    time_step: Annotated[
        float, typer.Option(help="fs; at most 3, with h-bonds 5. 4 is the usual choice there.")
    ] = 2.0,
    scramble_time: Annotated[
        float, typer.Option(help="ps at 600 K before anything is stored, which decorrelates the walkers.")
    ] = 50.0,
    equilibration_time: Annotated[
        float, typer.Option(help="ps at the temperature after that, not stored.")
    ] = 100.0,
    platform: Annotated[str, typer.Option(help="auto is Reference below 50 atoms, CPU above.")] = "auto",
    repair: Annotated[
        bool, typer.Option("--repair", help="Add missing heavy atoms and hydrogens (pH 7) to a PDB file.")
    ] = False,
    start_from: Annotated[
        Path | None,
        typer.Option(help="HDF5 file whose frames the walkers start from, hot or of another environment."),
    ] = None,
    segment: Annotated[
        float, typer.Option(help="With --start-from: ps after which another of its frames is drawn; 0 never.")
    ] = 0.0,
    store_starts: Annotated[
        bool,
        typer.Option(
            "--store-starts",
            help="Store each drawn frame, too: starts as guided jumps have them (with --equilibration-time 0).",
        ),
    ] = False,
) -> None:
    """Run MD (ff14SB, hydrogen mass 4 Da, 1/ps, flexible at 2 fs) and stream frames to HDF5; resumes after a kill."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from ..data.generate import GenerateConfig
    from ..data.generate import generate as run

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rate]:.0f} ns/day"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bars:
        marks = "" if constraints == "none" else f".{constraints}"
        marks += "" if start_from is None else ".restarts"
        for source in molecules:
            name = GenerateConfig(source, repair=repair).load().name
            for walker in range(walkers):
                config = GenerateConfig(
                    source,
                    environment,
                    nanoseconds,
                    seed + walker,
                    temperature,
                    time_step=time_step / 1000,
                    constraints=constraints,
                    frame_spacing=frame_spacing,
                    scramble_time=scramble_time,
                    equilibration_time=equilibration_time,
                    platform=platform,
                    repair=repair,
                    start_from="" if start_from is None else str(start_from.resolve()),
                    segment_time=segment,
                    store_starts=store_starts,
                )
                path = output / f"{name}.{environment}.{temperature:g}K{marks}.seed{seed + walker}.h5"
                task = bars.add_task(path.name, total=config.n_frames, rate=0.0)

                def show(done: int, total: int, rate: float, task=task) -> None:
                    bars.update(task, completed=done, rate=rate)

                run(config, path, show)
                bars.update(task, completed=config.n_frames)
                print(f"{path}: {config.n_frames} frames")
