"""One part of a run of many copies: the copies that one worker moves together. Killed, it goes on where it stood."""

import time
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openmm import app, unit

from ...errors import CheckpointError, ConfigError
from ...pretrained.trust import trust_model
from ...run_lock import hold
from ...system import get_platform
from ..observer import JumpProgress, RunObserver
from ..outputs import output_errors
from ..preparation import PreparedRun, derive_seeds, prepare_run
from ..refinement import RefinementCounts
from ..relaxation import thermalise
from .replica_simulation import ReplicaSimulation
from .settings import ReplicaSettings

__all__ = ["run_part", "start_structure"]

_NS_PER_DAY = 86.4  # of model time, for each ps of it per second of wall time


def run_part(settings: ReplicaSettings, part: int, observer: RunObserver | None = None) -> dict[str, Any]:
    """Run a part, or continue it from its last checkpoint; may be called on any worker that sees the folder.

    Parameters
    ----------
    settings : ReplicaSettings
    part : int
    observer : RunObserver, optional

    Returns
    -------
    dict
        `copies`, `done` (jumps of each copy), `counts` (one dictionary a copy), `wall_s`, `cpu_s` and, for refined
        runs, `refinement`.
    """
    with hold(settings.run.output, f"part_{part:02d}.lock"):
        return _Part(settings, part, observer or RunObserver()).run()


def start_structure(prepared: PreparedRun, copy: int) -> NDArray[np.float64]:
    """Positions, (n_atoms, 3) nm, from which a copy starts: MD of its own, of seeds that depend on its number only.

    Copy 0 starts where `openmm-unisim simulate` does with the same seed.
    """
    seeds = prepared.seeds[:2]
    if copy > 0:
        mixed = np.random.SeedSequence([prepared.settings.seed, copy]).generate_state(1)[0]
        seeds = derive_seeds(int(mixed))[:2]
    state = thermalise(
        prepared.molecule, prepared.system, prepared.protocol, prepared.settings.thermalise_ps, seeds,
        prepared.platform,
    )  # fmt: skip
    return state.positions


class _Part:
    """A part whose Context is set up."""

    def __init__(self, settings: ReplicaSettings, part: int, observer: RunObserver):
        self._settings, self._observer = settings, observer
        self._copies, self._folder = settings.copies(part), settings.folder(part)
        if settings.model_sha256:
            trust_model(settings.run.model, settings.model_sha256)
        self._prepared = prepare_run(settings.run)
        self._simulation = _simulation(settings, self._prepared, self._copies)
        self._wall = self._cpu = 0.0
        if self._folder.has_checkpoint():
            self._continue()
        else:
            self._start()
        self._trajectories = [self._open(copy) for copy in self._copies]

    def run(self) -> dict[str, Any]:
        """Make the jumps that are left."""
        total, every = self._settings.run.jumps, self._settings.run.checkpoint_interval
        while self._done < total and not (self._done and self._observer.should_stop()):
            wall, cpu = time.perf_counter(), time.process_time()
            self._advance()
            if self._done % every == 0:
                self._save()
            self._wall += time.perf_counter() - wall
            self._cpu += time.process_time() - cpu
            self._observer.jump(self._progress(total))
        self._save()
        return self._record()

    @property
    def _done(self) -> int:
        return self._simulation.currentStep

    def _advance(self) -> None:
        """Jumps up to the next frame, and that frame."""
        self._simulation.step(self._settings.interval)
        for trajectory, copy, positions in zip(self._trajectories, self._copies, self._simulation.positions):
            with output_errors(self._settings.trajectory(copy)):
                trajectory.writeModel(positions)

    def _start(self) -> None:
        starts = []
        for index, copy in enumerate(self._copies):
            self._observer.stage("MD of the starts", index / len(self._copies))
            starts.append(start_structure(self._prepared, copy))
        self._observer.stage("MD of the starts", 1.0)
        self._simulation.setPositions(np.array(starts))
        for copy in self._copies:
            with output_errors(self._settings.trajectory(copy)):
                self._settings.trajectory(copy).write_bytes(b"")
        if self._copies[0] == 0:
            with (
                output_errors(self._folder.topology),
                open(self._folder.topology, "w", encoding="utf-8") as stream,
            ):
                topology = self._prepared.molecule.topology
                app.PDBFile.writeFile(topology, starts[0] * unit.nanometer, stream, keepIds=True)
        self._save()

    def _continue(self) -> None:
        data, saved = self._folder.load_checkpoint()
        self._simulation.setCheckpoint(data)
        try:
            self._wall, self._cpu = float(saved["wall_s"]), float(saved["cpu_s"])
            if self._prepared.refinement is not None:
                self._prepared.refinement.counts = RefinementCounts(**saved["refinement"])
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"'{self._folder.checkpoint_record}' is incomplete ({error}); start again in a new folder."
            ) from error
        if self._done > self._settings.run.jumps:
            raise ConfigError(
                f"The copies have {self._done} jumps already and --jumps {self._settings.run.jumps} is fewer; "
                "ask for more."
            )
        self._folder.truncate_to(saved)

    def _open(self, copy: int) -> app.XTCFile:
        path, interval = self._settings.trajectory(copy), self._settings.interval
        with output_errors(path):
            lag_time = self._prepared.metadata.lag_time_ps
            return app.XTCFile(
                str(path), self._prepared.molecule.topology, lag_time, interval, interval,
                append=path.stat().st_size > 0,
            )  # fmt: skip

    def _record(self) -> dict[str, Any]:
        counts = [self._simulation.getCounts(index).record() for index in range(len(self._copies))]
        record: dict[str, Any] = {
            "copies": list(self._copies), "done": self._done, "counts": counts,
            "wall_s": self._wall, "cpu_s": self._cpu,
        }  # fmt: skip
        if self._prepared.refinement is not None:
            record["refinement"] = asdict(self._prepared.refinement.counts)
        return record

    def _save(self) -> None:
        self._folder.save_checkpoint(self._simulation.createCheckpoint(), self._record())

    def _progress(self, total: int) -> JumpProgress:
        """Speeds count the jumps of all copies of this part."""
        copies = len(self._copies)
        rate = self._done * copies / self._wall if self._wall > 0 else float("nan")
        accepted = sum(self._simulation.getCounts(index).accepted for index in range(copies))
        lag_time = self._prepared.metadata.lag_time_ps
        return JumpProgress(
            self._done, total, rate, rate * lag_time * _NS_PER_DAY, accepted / (copies * self._done)
        )


def _simulation(settings: ReplicaSettings, prepared: PreparedRun, copies: range) -> ReplicaSimulation:
    integrator = prepared.integrator
    if settings.acceptance == "metropolis":
        integrator.setAcceptanceMode(type(integrator).MetropolisHastings)
    deterministic = {"DeterministicForces": "true"} if prepared.platform in ("CPU", "CUDA", "HIP") else {}
    return ReplicaSimulation(
        prepared.molecule.topology,
        prepared.system,
        integrator,
        len(copies),
        get_platform(prepared.platform),
        deterministic,
        acceptance=settings.acceptance,
        firstReplica=copies[0],
        refinement=prepared.refinement,
        device=settings.device,
    )
