"""`openmm-unisim replicas`: many copies of one molecule, in one process or over the workers of a cluster."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError
from .simulate import INTERRUPTED, _guidance, _known, _observer

if TYPE_CHECKING:
    from ..simulation.replicas.runner import ExecutorMaker


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("replicas")(replicas)


def replicas(
    input: Annotated[
        str,
        typer.Argument(
            help="PDB, mmCIF or prmtop file, a sequence such as ACE-ALA-NME, or a listed small molecule."
        ),
    ],
    model: Annotated[str, typer.Option(help="Registered name (see `openmm-unisim models`) or a model file.")],
    output: Annotated[Path, typer.Option(help="Run folder.")],
    replicas: Annotated[int, typer.Option(help="Number of copies.")] = 16,
    jumps: Annotated[int, typer.Option(help="Number of jumps of each copy, in all.")] = 1000,
    acceptance: Annotated[
        str,
        typer.Option(
            help="all: every finite jump; quality: none that breaks the molecule; metropolis: exact."
        ),
    ] = "quality",
    interval: Annotated[int, typer.Option(help="Jumps between frames.")] = 1,
    environment: Annotated[str | None, typer.Option(help="vacuum or obc2; the model's unless told.")] = None,
    seed: Annotated[int, typer.Option(help="One seed for everything, at least 1.")] = 1,
    platform: Annotated[
        str | None, typer.Option(help="OpenMM platform; Reference below 50 atoms, else CPU, unless told.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where torch evaluates the model: cpu, cuda, ...")] = "cpu",
    substeps: Annotated[
        int, typer.Option(help="Network evaluations in a jump; 0 is the model's default.")
    ] = 0,
    temperature: Annotated[
        float | None, typer.Option(help="K; the model's training temperature unless told.")
    ] = None,
    thermalise: Annotated[float, typer.Option(help="ps of MD of each copy before its first jump.")] = 50.0,
    checkpoint_interval: Annotated[int, typer.Option(help="Jumps between checkpoints.")] = 100,
    repair: Annotated[
        bool, typer.Option("--repair", help="Add missing heavy atoms and hydrogens (pH 7) to a PDB file.")
    ] = False,
    guidance_scale: Annotated[
        float | None, typer.Option(help="Strength of the model's guidance; the model's default unless told.")
    ] = None,
    guidance_source: Annotated[
        str | None,
        typer.Option(help="none, learned, openmm, openmm+residual or resample; the model's unless told."),
    ] = None,
    guidance_groups: Annotated[
        str, typer.Option(help="Force groups that guide, such as 1,3; the solvent's, 1, unless told.")
    ] = "",
    resample: Annotated[
        int, typer.Option(help="Guidance source resample: among how many jumps one is chosen; 8 unless told.")
    ] = 0,
    guidance_force: Annotated[
        list[Path] | None,
        typer.Option(help="XML of an OpenMM Force to be guided by, added in force group 2; may be repeated."),
    ] = None,
    guidance_force_limit: Annotated[
        float, typer.Option(help="Longest guiding force on an atom, kJ/mol/nm; longer ones are cut. 0: none.")
    ] = 0.0,
    refine: Annotated[
        bool,
        typer.Option("--refine", help="Minimise after each jump, restrained to it; populations suffer."),
    ] = False,
    workers: Annotated[
        int, typer.Option(help="Processes on this machine among which the copies are split.")
    ] = 1,
    dask: Annotated[str, typer.Option(help="Address or scheduler file of a dask cluster instead.")] = "",
    parts: Annotated[
        int, typer.Option(help="Batches of copies; 0: one a process, or one a worker of the cluster.")
    ] = 0,
    parameters: Annotated[
        Path, typer.Option(help="Folder of small molecules' Amber files; made there if absent.")
    ] = Path("data/parameters"),
) -> None:
    """Run copies of one molecule that share each evaluation of the model; one trajectory a copy.

    Interrupted or killed, the same command goes on where the run stood. A run that is done goes on with more --jumps.
    """
    from ..simulation.preparation import RunSettings
    from ..simulation.replicas.runner import run_replicas
    from ..simulation.replicas.settings import ReplicaSettings

    run = RunSettings(
        _known(input, parameters), model, output, jumps, environment, temperature, substeps, seed, platform,
        thermalise_ps=thermalise, checkpoint_interval=checkpoint_interval, repair=repair,
        guidance_scale=guidance_scale, refine=refine,
        guidance=_guidance(guidance_source, guidance_groups, resample, guidance_force, guidance_force_limit),
    )  # fmt: skip
    pool, size = _pool(workers, dask)
    settings = ReplicaSettings(run, replicas, acceptance, interval, parts or min(size, replicas), device)
    with _observer(run) as observer:
        record = run_replicas(settings, pool, observer)
    if record["status"] == "interrupted":
        print(
            f"Interrupted after {record['jumps']['done']} of {jumps} jumps; the same command goes on.",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED)
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
