"""Tasks of the factory: what one process does in one go, wherever it runs. All of them are resumable.

A task is plain data, so that it can be sent to another process or machine; the folders it names must be seen there.
`run_task` never raises for a molecule's fault: its result says what went wrong, and the others go on.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..system import Molecule
from .generate import GenerateConfig, generate
from .label import label_molecule
from .labels.registry import sources_for
from .manifest import describe
from .molecule_list import Entry, find_entry
from .molecule_source import load_entry
from .off_equilibrium import FramesConfig
from .plan import DataPlan, TrajectoryPlan

__all__ = ["LabelTask", "Task", "TaskResult", "TrajectoryTask", "run_task", "tasks_of"]

_OTHER = {"vacuum": "obc2", "obc2": "vacuum"}
_DONOR: dict[str, Any] = {
    "nanoseconds": 0.1,
    "scramble_time": 20.0,
    "equilibration_time": 20.0,
    "block": 100,
}  # others start from it
_RESTART_EQUILIBRATION = 5.0  # ps: kinetic and bond energy forget in about 1/friction = 1 ps
_HOT = 600.0  # K


class _OutOfTime(Exception):
    """The run's time is over; raised between two blocks, with everything written."""


@dataclass(frozen=True)
class TrajectoryTask:
    """One walker.

    Attributes
    ----------
    molecule : str
        Name in the lists.
    plan : TrajectoryPlan
    seed : int
    folder, parameters : str
        Data folder; folder of small molecules' Amber files.
    """

    molecule: str
    plan: TrajectoryPlan
    seed: int
    folder: str
    parameters: str

    @property
    def file(self) -> Path:
        """Where the walker is written."""
        mark = {
            "built": "",
            "hot": ".from-hot",
            "other-environment": f".from-{_OTHER[self.plan.environment]}",
        }
        plan = self.plan
        stem = f"{self.molecule}.{plan.environment}.{plan.temperature_K:g}K{mark[plan.start]}.seed{self.seed}"
        return Path(self.folder) / f"{stem}.h5"

    @property
    def name(self) -> str:
        """For reports."""
        return self.file.name

    def run(self, molecule: Molecule, deadline: float) -> None:
        """Generate the walker, or go on with it."""
        plan = self.plan
        settings: dict[str, Any] = {}
        if plan.start != "built":
            donor = self._donor(molecule, deadline)
            settings = {
                "start_from": donor.relative_to(self.folder).as_posix(),
                "segment_time": plan.segment_ps,
                "equilibration_time": _RESTART_EQUILIBRATION,
            }
        config = GenerateConfig(
            self.molecule, plan.environment, plan.nanoseconds, self.seed, plan.temperature_K,
            frame_spacing=plan.frame_spacing_ps, **settings,
        )  # fmt: skip
        generate(config, self.file, _until(deadline), molecule)

    def _donor(self, molecule: Molecule, deadline: float) -> Path:
        """The short run whose frames the walker starts from."""
        hot = self.plan.start == "hot"
        environment = self.plan.environment if hot else _OTHER[self.plan.environment]
        temperature = _HOT if hot else self.plan.temperature_K
        path = (
            Path(self.folder)
            / "donors"
            / f"{self.molecule}.{environment}.{temperature:g}K.seed{self.seed}.h5"
        )
        config = GenerateConfig(self.molecule, environment, seed=self.seed, temperature=temperature, **_DONOR)
        return generate(config, path, _until(deadline), molecule)


@dataclass(frozen=True)
class LabelTask:
    """Labels of one molecule by all its sources: one task, since they share a file.

    Attributes
    ----------
    molecule : str
    frames : tuple of (source, count)
    seed : int
    folder, parameters : str
    """

    molecule: str
    frames: tuple[tuple[str, int], ...]
    seed: int
    folder: str
    parameters: str

    @property
    def file(self) -> Path:
        """Where labels are written."""
        return Path(self.folder) / "labels" / f"{self.molecule}.labels.h5"

    @property
    def name(self) -> str:
        """For reports."""
        return self.file.name

    def run(self, molecule: Molecule, deadline: float) -> None:
        """Label, or go on."""
        counts = {source: count for source, count in self.frames if source in sources_for(molecule)}
        check = _until(deadline)
        label_molecule(molecule, self.file, counts, FramesConfig(seed=self.seed), check)


Task = TrajectoryTask | LabelTask


@dataclass(frozen=True)
class TaskResult:
    """How a task ended.

    Attributes
    ----------
    name : str
    status : {"done", "partial", "failed"}
        "partial": out of time; it goes on in the next run.
    seconds : float
        Processor time.
    error : str
        One line, empty unless failed.
    files : tuple of (path, description)
        For the manifest.
    """

    name: str
    status: Literal["done", "partial", "failed"]
    seconds: float = 0.0
    error: str = ""
    files: tuple[tuple[str, dict[str, Any]], ...] = field(default=())


def _until(deadline: float) -> Any:
    """A progress callback that ends the task when the time is over."""

    def check(*_: Any) -> None:
        if time.time() > deadline:
            raise _OutOfTime

    return check


def run_task(task: Task, deadline: float = float("inf")) -> TaskResult:
    """Run a task, or continue it, until it is done or the time is over.

    Parameters
    ----------
    task : Task
    deadline : float
        As `time.time`; the task ends at the first block after it.
    """
    began = time.process_time()
    if time.time() > deadline:
        return TaskResult(task.name, "partial")
    status: Literal["done", "partial", "failed"] = "done"
    error = ""
    files: tuple[tuple[str, dict[str, Any]], ...] = ()
    try:
        molecule = load_entry(find_entry(task.molecule), Path(task.parameters))
        try:
            task.run(molecule, deadline)
        except _OutOfTime:
            status = "partial"
        if task.file.is_file():
            files = ((str(task.file), describe(task.file, molecule.positions)),)
    except Exception as failure:  # any fault of one molecule is reported, and the others go on
        status, error = "failed", f"{type(failure).__name__}: {' '.join(str(failure).split())}"
    return TaskResult(task.name, status, time.process_time() - began, error, files)


def tasks_of(plan: DataPlan, entries: Iterable[Entry], folder: Path, parameters: Path) -> list[Task]:
    """Tasks of a plan for the molecules chosen, first walkers first, so that a budget cut short is spread evenly.

    Parameters
    ----------
    plan : DataPlan
    entries : iterable of Entry
        Others in the plan are left out: this is where a split is chosen.
    folder, parameters : Path
        Made absolute: a worker may be started elsewhere.
    """
    here, files = str(Path(folder).resolve()), str(Path(parameters).resolve())
    chosen = {entry.name for entry in entries}
    walkers: list[tuple[int, Task]] = []
    for part in plan.trajectories:
        for name in part.molecules:
            if name not in chosen:
                continue
            for number in range(part.walkers):
                seed = part.first_seed + number
                walkers.append((number, TrajectoryTask(name, part, seed, here, files)))
    labels: list[Task] = [
        LabelTask(name, tuple(part.frames.items()), part.seed, here, files)
        for part in plan.labels
        for name in part.molecules
        if name in chosen
    ]
    return labels + [task for _, task in sorted(walkers, key=lambda item: item[0])]
