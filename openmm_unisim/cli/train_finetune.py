"""`openmm-unisim train finetune`: shipped weights, a user's own MD."""

import os
from pathlib import Path
from typing import Annotated

import typer

Said = "Of the MD; needed unless the files are of `openmm-unisim generate`."


def finetune(
    topology: Annotated[Path, typer.Option(help="PDB or mmCIF file of all atoms in the trajectories.")],
    trajectory: Annotated[
        list[Path], typer.Option(help="XTC, DCD, NetCDF, TRR, HDF5; repeat for each walker.")
    ],
    base: Annotated[
        str, typer.Option("--from", help="Registered name, weights file, or run folder to start from.")
    ],
    output: Annotated[Path, typer.Option(help="Run folder; a run in it is continued.")],
    lag_time: Annotated[
        list[float] | None, typer.Option(help="ps; may be repeated. Without it, those of --from.")
    ] = None,
    spacing: Annotated[
        float | None, typer.Option("--spacing-ps", help="Between frames, where files don't say (DCD).")
    ] = None,
    stride: Annotated[int, typer.Option(min=1, help="Keep every so many frames.")] = 1,
    select: Annotated[
        str, typer.Option(help="The molecule, in mdtraj's language; without it, all but water and ions.")
    ] = "",
    temperature: Annotated[float | None, typer.Option(help=f"K. {Said}")] = None,
    environment: Annotated[str | None, typer.Option(help=f"vacuum, obc2, tip3p, ... {Said}")] = None,
    force_field: Annotated[str | None, typer.Option(help=Said)] = None,
    friction: Annotated[float | None, typer.Option(help=f"1/ps. {Said}")] = None,
    hydrogen_mass: Annotated[float | None, typer.Option(help=f"Da; 1.008 if unchanged. {Said}")] = None,
    constraints: Annotated[str | None, typer.Option(help=f"none, h-bonds, ... {Said}")] = None,
    equilibrium: Annotated[
        bool, typer.Option("--equilibrium", help="Frames are at equilibrium: reverse pairs in time, too.")
    ] = False,
    steps: Annotated[
        int, typer.Option(min=1, help="Optimiser steps; more continue a finished run.")
    ] = 10_000,
    learning_rate: Annotated[float, typer.Option(help="A third of that of a run from nothing.")] = 3e-4,
    batch: Annotated[int, typer.Option(min=1, help="Pairs of a part; fewer of a large molecule.")] = 32,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Cores; a run repeats exactly with as many.")] = 1,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write event files, too.")] = False,
) -> None:
    """Fine-tune weights on your own MD of one molecule; the same command continues a stopped run."""
    from .._plugin import operators_are_built
    from ..data.foreign import StatedProtocol
    from ..data.foreign_import import ForeignMD, import_md
    from ..errors import ConfigError
    from ..pretrained.registry import resolve_weights
    from ..training.finetune import FinetuneSettings, differences, finetune_config, read_base, written_config
    from ..training.vector_field import VectorFieldStage
    from .train import run_stage

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # every process would import into one folder
        raise ConfigError(
            "`train finetune` imports the MD and can't run under torchrun; begin without it, then go on with "
            f"`torchrun ... train vector-field {output}/config.json --output {output}`."
        )
    weights = read_base(resolve_weights(base))
    lags = tuple(lag_time or weights.lag_times)
    said = StatedProtocol(temperature, environment, force_field, friction, hydrogen_mass, constraints)
    given = ForeignMD(topology, tuple(trajectory), lags, said, spacing, stride, select, equilibrium)
    data = import_md(given, output / "data")
    for note in (*data.notes, *differences(weights, data)):
        print(note)
    settings = FinetuneSettings(steps=steps, learning_rate=learning_rate, batch=batch, seed=seed)
    config = finetune_config(weights, data, lags, settings)
    torch_threads = 1 if operators_are_built() else threads
    with written_config(config, output):
        run_stage(VectorFieldStage, config, output, threads, tensorboard, torch_threads)
    which = "" if len(lags) == 1 else f"--lag-time {min(lags):g} "  # a model file has one
    print(
        f"Next: openmm-unisim calibrate {output} --output {output}/weights.safetensors, then\n"
        f"      openmm-unisim export {output}/weights.safetensors {which}--output {data.name}.unisim.pt"
    )
