"""`openmm-unisim replicas`: many copies of one molecule, in one process or over the workers of a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError
from .run_options import (
    INPUT,
    PARAMETERS,
    CheckpointInterval,
    Environment,
    GuidanceForce,
    GuidanceForceLimit,
    GuidanceGroups,
    GuidanceScale,
    GuidanceSource,
    Model,
    Output,
    Parameters,
    Platform,
    Refine,
    Repair,
    Resample,
    Seed,
    Sha256,
    Substeps,
    Temperature,
    Trust,
    exit_interrupted,
    guidance_of,
    known_input,
    observing,
    vouched,
)

if TYPE_CHECKING:
    from ..simulation.replicas.runner import ExecutorMaker


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("replicas")(replicas)


def replicas(
    input: Annotated[str, typer.Argument(help=INPUT)],
    model: Model,
    output: Output,
    replicas: Annotated[int, typer.Option(help="Number of copies.")] = 16,
    jumps: Annotated[int, typer.Option(help="Number of jumps of each copy, in all.")] = 1000,
    acceptance: Annotated[
        str,
        typer.Option(
            help="all: every finite jump; quality: none that breaks the molecule; metropolis: exact."
        ),
    ] = "quality",
    interval: Annotated[int, typer.Option(help="Jumps between frames.")] = 1,
    environment: Environment = None,
    seed: Seed = 1,
    platform: Platform = None,
    device: Annotated[str, typer.Option(help="Where torch evaluates the model: cpu, cuda, ...")] = "cpu",
    substeps: Substeps = 0,
    temperature: Temperature = None,
    thermalise: Annotated[float, typer.Option(help="ps of MD of each copy before its first jump.")] = 50.0,
    checkpoint_interval: CheckpointInterval = 100,
    repair: Repair = False,
    guidance_scale: GuidanceScale = None,
    guidance_source: GuidanceSource = None,
    guidance_groups: GuidanceGroups = "",
    resample: Resample = 0,
    guidance_force: GuidanceForce = None,
    guidance_force_limit: GuidanceForceLimit = 0.0,
    refine: Refine = False,
    workers: Annotated[
        int, typer.Option(help="Processes on this machine among which the copies are split.")
    ] = 1,
    dask: Annotated[str, typer.Option(help="Address or scheduler file of a dask cluster instead.")] = "",
    parts: Annotated[
        int, typer.Option(help="Batches of copies; 0: one a process, or one a worker of the cluster.")
    ] = 0,
    parameters: Parameters = PARAMETERS,
    trust: Trust = False,
    sha256: Sha256 = None,
) -> None:
    """Run copies of one molecule that share each evaluation of the model; one trajectory a copy.

    Interrupted or killed, the same command goes on where the run stood. A run that is done goes on with more --jumps.
    """
    from ..simulation.preparation import RunSettings
    from ..simulation.replicas.runner import run_replicas
    from ..simulation.replicas.settings import ReplicaSettings

    model = vouched(model, trust, sha256)
    run = RunSettings(
        known_input(input, parameters), model, output, jumps, environment, temperature, substeps, seed, platform,
        thermalise_ps=thermalise, checkpoint_interval=checkpoint_interval, repair=repair,
        guidance_scale=guidance_scale, refine=refine,
        guidance=guidance_of(guidance_source, guidance_groups, resample, guidance_force, guidance_force_limit),
    )  # fmt: skip
    pool, size = _pool(workers, dask)
    settings = ReplicaSettings(run, replicas, acceptance, interval, parts or min(size, replicas), device)
    with observing(jumps) as observer:
        record = run_replicas(settings, pool, observer)
    if record["status"] == "interrupted":
        exit_interrupted(record["jumps"]["done"], jumps, "jumps", "the same command goes on")
    print(_summary(record, output))


def _pool(workers: int, dask: str) -> "tuple[ExecutorMaker | None, int]":
    """What runs the parts, and how many it runs at once; None is this process."""
    from ..data.factory import dask_executor, local_executor

    if workers < 1:
        raise ConfigError(f"workers = {workers} must be at least 1.")
    if dask:
        with dask_executor(dask) as probe:
            size = len(probe._client.scheduler_info(n_workers=-1)["workers"])
        if size == 0:
            raise ConfigError(f"The dask scheduler at '{dask}' has no workers yet; start some.")
        return lambda: dask_executor(dask), size
    if workers == 1:
        return None, 1
    return lambda: local_executor(workers), workers


def _summary(record: dict[str, Any], output: Path) -> str:
    copies, jumps = record["replicas"], record["jumps"]
    total = {name: sum(copy[name] for copy in copies) for name in copies[0] if name not in ("trajectory",)}
    return (
        f"{len(copies)} copies, {jumps['done']} jumps of {record['lag_time_ps']:g} ps each, in {output}: "
        f"{jumps['jumps_per_s']:.1f} jumps/s, {jumps['ns_per_day']:,.0f} ns/day of model time, all copies together\n"
        f"{total['accepted']} of {total['proposed']} jumps accepted; refused: NaN {total['nan']}, Metropolis "
        f"{total['metropolis']}, broken {total['broken']} (bonds {total['bond']}, chirality {total['chirality']}, "
        f"clashes {total['clash']})"
    )
