"""A run from input to folder: thermalise, time MD, make the jumps, survive kills."""

import time
from dataclasses import asdict
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from ..errors import CheckpointError, ConfigError, QualityError
from ..system import get_platform
from .guard import GuardedJump, JumpGuard
from .observer import RunObserver
from .outputs import RunFolder, output_errors, write_json
from .preparation import PreparedRun, RunSettings, prepare_run
from .quality import QualityCounts, QualityMonitor
from .record import RunStanding, initial_record, require_same_run
from .refinement import RefinementCounts
from .relaxation import thermalise, time_md_run_well
from .reporters import JumpTable

__all__ = ["run_simulation"]


def run_simulation(
    settings: RunSettings, *, resume: bool = False, observer: RunObserver | None = None
) -> dict[str, Any]:
    """Run, or continue, a simulation in a folder (`outputs` says what it holds).

    Parameters
    ----------
    settings : RunSettings
    resume : bool
        Continue the run in `settings.output` from its last checkpoint, or from the start if it was killed
        before the first. All that shapes the trajectory must be as it was; only the number of jumps may have
        grown.
    observer : RunObserver, optional

    Returns
    -------
    dict
        The record that run.json holds (`record`).

    Raises
    ------
    UniSimError
        One of its subclasses, as one sentence; files written so far stay intact.
    """
    observer = observer or RunObserver()
    folder = RunFolder(settings.output)
    if not resume:
        folder.check_free()
    earlier = folder.read_run_record() if resume else None
    prepared = prepare_run(settings)
    if earlier is not None:
        require_same_run(earlier, prepared.identity)
    platform = get_platform(prepared.platform)
    simulation = app.Simulation(prepared.molecule.topology, prepared.system, prepared.integrator, platform)
    for message in prepared.warnings:
        observer.warn(message)
    with folder.held(new=not resume):
        if resume and folder.has_checkpoint():
            earlier = folder.read_run_record()  # again: another process may have held the folder until now
            return _JumpRun.continued(prepared, folder, simulation, earlier).run(observer)
        return _JumpRun.started(prepared, folder, simulation, observer).run(observer)


class _JumpRun:
    """The jumps of a run whose Context is set up; made by `started` or `continued`."""

    def __init__(
        self,
        prepared: PreparedRun,
        folder: RunFolder,
        simulation: app.Simulation,
        record: dict[str, Any],
        guard: JumpGuard,
        standing: RunStanding,
    ):
        self._prepared, self._folder, self._simulation = prepared, folder, simulation
        self._record, self._guard, self._standing = record, guard, standing
        self._lag_time = prepared.metadata.lag_time_ps
        append = standing.done > 0
        self._table = JumpTable(folder.jumps, append)
        with output_errors(folder.trajectory):
            if not append:
                folder.trajectory.write_bytes(b"")
            self._trajectory = app.XTCFile(
                str(folder.trajectory), prepared.molecule.topology, self._lag_time, firstStep=1, append=append
            )

    @classmethod
    def started(
        cls, prepared: PreparedRun, folder: RunFolder, simulation: app.Simulation, observer: RunObserver
    ) -> "_JumpRun":
        """A new run: thermalise, time MD, write the first files and a checkpoint before the first jump."""
        write_json(folder.run_record, initial_record(prepared, {}, 0))
        positions, velocities, md = _thermalise_and_time(prepared, observer)
        with output_errors(folder.topology), open(folder.topology, "w", encoding="utf-8") as stream:
            app.PDBFile.writeFile(
                prepared.molecule.topology, positions * unit.nanometer, stream, keepIds=True
            )
        simulation.context.setPositions(positions)
        simulation.context.setVelocities(velocities)
        monitor = _monitor(prepared, folder)
        record = initial_record(prepared, md, monitor.n_stereocentres)
        guard = _guard(prepared, simulation, monitor, QualityCounts())
        run = cls(prepared, folder, simulation, record, guard, RunStanding())
        run._save("running")
        return run

    @classmethod
    def continued(
        cls, prepared: PreparedRun, folder: RunFolder, simulation: app.Simulation, record: dict[str, Any]
    ) -> "_JumpRun":
        """The run in `folder`, cut back to its last checkpoint."""
        data, saved = folder.load_checkpoint()
        try:
            standing, counts = RunStanding(**saved["standing"]), QualityCounts(**saved["counts"])
            if prepared.refinement is not None:
                prepared.refinement.counts = RefinementCounts(**saved["refinement"])
            record["settings"]["jumps"] = prepared.settings.jumps
            record["resumed"].append(standing.done)
            simulation.context.loadCheckpoint(data)
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"'{folder.checkpoint_record}' or '{folder.run_record}' is incomplete ({error}); start again in a new "
                "folder."
            ) from error
        except openmm.OpenMMException as error:
            raise CheckpointError(
                f"OpenMM can't load '{folder.checkpoint}' ({error}); resume on the machine, platform and "
                "versions that wrote it, or start again in a new folder."
            ) from error
        if standing.done > prepared.settings.jumps:
            raise ConfigError(
                f"'{folder.path}' has {standing.done} jumps already and --jumps {prepared.settings.jumps} is "
                "fewer; ask for more."
            )
        folder.truncate_to(saved)
        guard = _guard(prepared, simulation, _monitor(prepared, folder), counts)
        return cls(prepared, folder, simulation, record, guard, standing)

    def run(self, observer: RunObserver) -> dict[str, Any]:
        """Make the jumps that are left; returns the record."""
        total, standing = self._prepared.settings.jumps, self._standing
        try:
            while standing.done < total and not (standing.done and observer.should_stop()):
                wall, cpu = time.perf_counter(), time.process_time()
                self._one_jump()
                if standing.done % self._prepared.settings.checkpoint_interval == 0:
                    self._save("running")
                standing.wall_s += time.perf_counter() - wall
                standing.cpu_s += time.process_time() - cpu
                observer.jump(standing.progress(total, self._lag_time))
            self._warn_of_refusals(observer)
            self._save("finished" if standing.done == total else "interrupted")
        except openmm.OpenMMException:
            self._write_record("stopped")
            raise
        finally:
            self._table.close()
        return self._folder.read_run_record()

    def _warn_of_refusals(self, observer: RunObserver) -> None:
        done, accepted = self._standing.done, self._standing.accepted
        if accepted < 0.5 * done:
            message = (
                f"Only {accepted} of {done} jumps were kept; the molecule, its environment or its "
                "temperature is outside what the model was trained for, so don't trust this run."
            )
            self._record["warnings"] = [*self._prepared.warnings, message]
            observer.warn(message)

    def _one_jump(self) -> None:
        jump = self._guard.jump()
        if jump.quality.broken and self._prepared.settings.policy == "stop":
            self._stop(jump)
        with output_errors(self._folder.trajectory):
            self._trajectory.writeModel(jump.positions)
        self._table.write(jump.record)
        self._standing.done += 1
        self._standing.accepted += jump.record.accepted

    def _stop(self, jump: GuardedJump) -> None:
        """Keep the broken structure for inspection, record why, and raise; the last checkpoint stands."""
        path = self._folder.path / f"broken_jump_{jump.record.jump}.pdb"
        if np.isfinite(jump.proposal).all():
            with output_errors(path), open(path, "w", encoding="utf-8") as stream:
                topology = self._prepared.molecule.topology
                app.PDBFile.writeFile(topology, jump.proposal * unit.nanometer, stream, keepIds=True)
        self._write_record("stopped")
        raise QualityError(
            f"Jump {jump.record.jump} broke the molecule ({jump.quality.describe()}); the frames before it "
            f"are intact in '{self._folder.path}', and --policy reject would refuse and count such jumps."
        )

    def _save(self, status: str) -> None:
        """Checkpoint, then run.json."""
        data = self._simulation.context.createCheckpoint()
        record = {"standing": asdict(self._standing), "counts": asdict(self._guard.counts)}
        if self._prepared.refinement is not None:
            record["refinement"] = asdict(self._prepared.refinement.counts)
        self._folder.save_checkpoint(data, record)
        self._write_record(status)

    def _write_record(self, status: str) -> None:
        self._record["status"] = status
        self._record["jumps"] = self._standing.record(self._lag_time, self._guard.counts)
        if self._prepared.settings.guidance.force_limit > 0:
            self._record["jumps"]["clipped_forces"] = self._prepared.integrator.getNumClipped()
        if self._prepared.refinement is not None:
            self._record["jumps"]["refinement"] = asdict(self._prepared.refinement.counts)
        write_json(self._folder.run_record, self._record)


def _thermalise_and_time(
    prepared: PreparedRun, observer: RunObserver
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, Any]]:
    """Positions (nm) and velocities (nm/ps), shape (n_atoms, 3), to start from, and the record of the MD."""
    settings, protocol = prepared.settings, prepared.protocol
    text = f"MD, {settings.thermalise_ps:g} ps"
    state = thermalise(
        prepared.molecule,
        prepared.system,
        protocol,
        settings.thermalise_ps,
        prepared.seeds[:2],
        prepared.platform,
        lambda fraction: observer.stage(text, fraction),
    )
    observer.stage("Timing MD", 0.0)
    run_well = time_md_run_well(
        prepared.molecule,
        protocol.environment,
        protocol.temperature_K,
        state.positions,
        prepared.platform,
        settings.md_timing_s,
    )
    observer.stage("Timing MD", 1.0)
    return state.positions, state.velocities, {"thermalisation": state.record, "run_well": run_well}


def _guard(
    prepared: PreparedRun, simulation: app.Simulation, monitor: QualityMonitor, counts: QualityCounts
) -> JumpGuard:
    return JumpGuard(simulation, monitor, prepared.settings.policy, counts, prepared.refinement)


def _monitor(prepared: PreparedRun, folder: RunFolder) -> QualityMonitor:
    """Judges by the handedness in topology.pdb: the same for a new and for a resumed run."""
    start = app.PDBFile(str(folder.topology)).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    return QualityMonitor(prepared.molecule.topology, prepared.system, start)
