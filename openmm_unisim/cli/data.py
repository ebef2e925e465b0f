"""`openmm-unisim data`: the data set of listed molecules, from plan to archive."""

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Option(help="Folder of the data and of manifest.json.")]
Parameters = Annotated[Path, typer.Option(help="Folder of small molecules' Amber files.")]
Split = Annotated[str, typer.Option(help="train, valid, test or all.")]
Kind = Annotated[str, typer.Option(help="peptide, small-molecule or all.")]
Hours = Annotated[float, typer.Option(help="Wall time; what is unfinished then goes on in the next run.")]
Workers = Annotated[int, typer.Option(min=1, help="Local processes.")]
Dask = Annotated[str, typer.Option(help="Address or scheduler file of a dask cluster to use instead.")]


def register(app: typer.Typer) -> None:
    """Add the command group to `app`."""
    group = typer.Typer(help="Plan, run, check and archive the training data.", no_args_is_help=True)
    for command in (plan, run, label, check, archive):
        group.command(command.__name__)(command)
    app.add_typer(group, name="data")


def plan(
    output: Annotated[Path, typer.Option(help="JSON file to write.")] = Path("data/plan.json"),
    hours: Annotated[float, typer.Option(help="Core-hours of MD.")] = 10.0,
    archive_mb: Annotated[float, typer.Option(help="Limit of the archive at 10 ps, MB.")] = 80.0,
    split: Split = "train",
    kind: Kind = "all",
    speed: Annotated[float, typer.Option(help="Of a core, relative to that of docs/data.md.")] = 1.0,
    parameters: Parameters = Path("data/parameters"),
) -> None:
    """Write how much MD of each molecule, and how many labels, fit into a budget."""
    from ..data.molecule_source import load_entry
    from ..data.planner import Sized, make_plan

    entries = _entries(split, kind)
    sized = [Sized.of(load_entry(entry, parameters), entry.n_residues) for entry in entries]
    made = make_plan(sized, hours, archive_mb, speed)
    made.save(output)
    for part in made.trajectories:
        print(
            f"{len(part.molecules):3d} molecules, {part.environment}, start {part.start}: "
            f"{part.walkers} x {part.nanoseconds:g} ns"
        )
    print(f"{output}: " + ", ".join(f"{key} {value:g}" for key, value in made.estimate.items()))


def run(
    plan: Annotated[Path, typer.Argument(help="Plan file, as `data plan` writes.")],
    output: Folder = Path("raw/data"),
    parameters: Parameters = Path("data/parameters"),
    split: Split = "train",
    kind: Kind = "all",
    only: Annotated[str, typer.Option(help="trajectories, labels or all.")] = "all",
    hours: Hours = float("inf"),
    workers: Workers = 1,
    dask: Dask = "",
) -> None:
    """Run a plan, or go on with it: MD and labels, each file entered in the manifest with its checks."""
    from ..data.plan import DataPlan
    from ..data.tasks import tasks_of
    from ..errors import ConfigError

    if only not in ("trajectories", "labels", "all"):
        raise ConfigError(f"--only {only} is unknown; choose trajectories, labels or all.")
    wanted = DataPlan.load(plan)
    if only == "trajectories":
        wanted = wanted.model_copy(update={"labels": ()})
    if only == "labels":
        wanted = wanted.model_copy(update={"trajectories": ()})
    _run(tasks_of(wanted, _entries(split, kind), output, parameters), output, hours, workers, dask)


def label(
    molecules: Annotated[
        list[str] | None, typer.Argument(help="Names in the lists; none: the split.")
    ] = None,
    source: Annotated[list[str] | None, typer.Option(help="Label source; may be repeated.")] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames by each source.")] = 1024,
    seed: Annotated[int, typer.Option(help="Of the frames (>= 1).")] = 1,
    output: Folder = Path("raw/data"),
    parameters: Parameters = Path("data/parameters"),
    split: Split = "train",
    kind: Kind = "all",
    hours: Hours = float("inf"),
    workers: Workers = 1,
    dask: Dask = "",
) -> None:
    """Label off-equilibrium frames with energies and forces by several methods, or go on with it."""
    from ..data.labels.registry import SOURCES
    from ..data.molecule_list import find_entry
    from ..data.plan import DataPlan, LabelPlan
    from ..data.tasks import tasks_of
    from ..errors import ConfigError

    unknown = set(source or ()) - set(SOURCES)
    if unknown:
        raise ConfigError(f"--source {unknown.pop()} is unknown; choose from {', '.join(SOURCES)}.")
    entries = [find_entry(name) for name in molecules] if molecules else _entries(split, kind)
    counts = dict.fromkeys(source or SOURCES, frames)
    names = tuple(entry.name for entry in entries)
    wanted = DataPlan(labels=(LabelPlan(molecules=names, frames=counts, seed=seed),))
    _run(tasks_of(wanted, entries, output, parameters), output, hours, workers, dask)


def check(
    paths: Annotated[
        list[Path], typer.Argument(help="Files, or folders whose *.h5 are meant (sub-folders, too).")
    ],
    manifest: Annotated[Path, typer.Option(help="Manifest to enter them in.")] = Path(
        "raw/data/manifest.json"
    ),
    parameters: Parameters = Path("data/parameters"),
) -> None:
    """Check trajectories, label and archive files, and enter them in a manifest: files made elsewhere are adopted."""
    from ..data.manifest import Manifest
    from ..data.manifest import check_files as look

    book = Manifest(manifest)
    look(_files(paths), book, parameters, lambda path, failed: print(f"{path}: {failed or 'passed'}"))
    print(f"{manifest}: {book.totals()}")
    if book.unfit():
        raise typer.Exit(1)


def archive(
    folder: Annotated[Path, typer.Argument(help="Folder of trajectory files.")] = Path("raw/data"),
    output: Annotated[Path, typer.Option(help="Folder of the archive.")] = Path("data/archive"),
    split: Split = "train",
    total_mb: Annotated[float, typer.Option(help="Limit of all files, MB.")] = 80.0,
    each_mb: Annotated[float, typer.Option(help="Limit of one file, MB.")] = 2.0,
) -> None:
    """Keep positions every 5 ps (10 ps where that is too large) at 0.001 nm, one file a molecule and environment."""
    from ..data.archive import write_within
    from ..data.manifest import Manifest, archive_groups, describe, walkers_checks
    from ..errors import DataError

    if not (folder / "manifest.json").is_file():
        raise DataError(
            f"There is no '{folder / 'manifest.json'}'; make one of the files in the folder with `openmm-unisim data "
            f"check {folder} --manifest {folder / 'manifest.json'}`, or check the path."
        )
    names = {entry.name for entry in _entries(split, "all")}
    raw = Manifest(folder / "manifest.json")
    groups = archive_groups(raw, names)
    if not groups:
        raise DataError(
            f"'{folder / 'manifest.json'}' names no complete trajectory of split '{split}' that passed its checks; "
            "look with `openmm-unisim data check`, or give another --split."
        )
    written = write_within(groups, output, total_mb, each_mb)
    book = Manifest(output / "manifest.json")
    for name, (spacing, size) in written.items():
        walkers = walkers_checks(raw, groups[name])
        book.record(output / name, {**describe(output / name), "walkers": walkers})
        print(f"{output / name}: {size / 1e6:.3f} MB, every {spacing:g} ps")
    print(f"{len(written)} files, {sum(size for _, size in written.values()) / 1e6:.1f} MB")


def _entries(split: str, kind: str) -> list:
    from ..data.molecule_list import listed

    return listed(None if split == "all" else split, None if kind == "all" else kind)


def _files(paths: list[Path]) -> list[Path]:
    from ..errors import DataError

    found: list[Path] = []
    for path in paths:
        found += sorted(path.rglob("*.h5")) if path.is_dir() else [path]
    if not found:
        raise DataError(f"There is no *.h5 file in '{paths[0]}'; give a folder of data.")
    return found


def _run(tasks: list, output: Path, hours: float, workers: int, dask: str) -> None:
    from ..data.factory import dask_executor, local_executor, run_factory
    from ..data.manifest import Manifest

    def report(result, done: int, total: int) -> None:
        print(f"[{done}/{total}] {result.name}: {result.status}, {result.seconds:.0f} CPU-s", flush=True)

    book = Manifest(output / "manifest.json")
    results = run_factory(
        tasks, book, lambda: dask_executor(dask) if dask else local_executor(workers), hours, report
    )
    count = {status: sum(r.status == status for r in results) for status in ("done", "partial", "failed")}
    print(f"{count['done']} done, {count['partial']} to go on with, {count['failed']} failed; {book.path}")
    for result in results:
        if result.status == "failed":
            print(f"failed: {result.name}: {result.error}")
    for key, failed in book.unfit().items():
        print(f"unfit: {key}: {', '.join(failed)}")
    if count["failed"]:
        raise typer.Exit(1)
