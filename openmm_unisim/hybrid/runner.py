"""A hybrid run from protocol to folder (`folder`): thermalise, make the cycles, survive kills.

run.json is that of `simulate` (`openmm_unisim.simulation.record`), with these keys instead of `jumps`:

============  ==============================================================================================
key           meaning
============  ==============================================================================================
protocol      all of its keys, defaults filled in
exact         whether the force field's own distribution is sampled
cycles        done, wall_s and cpu_s (of the whole loop), cycles_per_s, md_time_ps, jump_time_ps, md_steps,
              relaxation_steps, jumps, accepted, rejected (by reason), ghmc_acceptance, acceptance (of judged jumps,
              `UniSimIntegrator.getAcceptanceStatistics`)
start_points  of kind "seed": how many, and how alike neighbours are (`seeds`)
============  ==============================================================================================
"""

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import openmm
from openmm import app, unit

from ..errors import CheckpointError, ConfigError
from ..simulation.observer import JumpProgress, RunObserver
from ..simulation.outputs import output_errors, write_json
from ..simulation.record import initial_record, require_same_run
from ..simulation.relaxation import thermalise
from .folder import HybridFolder
from .ghmc import GHMCIntegrator
from .hybrid_simulation import HybridSimulation
from .preparation import HybridSettings, PreparedHybrid, prepare_hybrid
from .reporters import cycle_table
from .seeds import SeedWriter

__all__ = ["run_hybrid"]

_NS_PER_DAY = 86.4  # for each ps per second


@dataclass
class _Clocks:
    """Wall and processor time of the loop, s."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


def run_hybrid(
    settings: HybridSettings, *, resume: bool = False, observer: RunObserver | None = None
) -> dict[str, Any]:
    """Run a protocol, or continue it, in a folder.

    Parameters
    ----------
    settings : HybridSettings
    resume : bool
        Continue the run in `settings.output` from its last checkpoint, or from the start if it was killed before the
        first. Only the number of cycles, and how often checkpoints are written, may be another.
    observer : RunObserver, optional
        Its `jump` is called after each cycle.

    Returns
    -------
    dict
        What run.json holds.

    Raises
    ------
    UniSimError
        One of its subclasses, as one sentence; files written so far stay intact.
    """
    observer = observer or RunObserver()
    folder = HybridFolder(settings.output)
    if not resume:
        folder.check_free()
    earlier = folder.read_run_record() if resume else None
    prepared = prepare_hybrid(settings)
    if earlier is not None:
        require_same_run(earlier, prepared.identity)
    for message in prepared.run.warnings:
        observer.warn(message)
    with folder.held(new=not resume):
        if resume and folder.has_checkpoint():
            earlier = folder.read_run_record()  # again: another process may have held the folder until now
            return _HybridRun.continued(prepared, folder, earlier).run(observer)
        return _HybridRun.started(prepared, folder, observer).run(observer)


class _HybridRun:
    """The cycles of a run whose Context is set up; made by `started` or `continued`."""

    def __init__(
        self,
        prepared: PreparedHybrid,
        folder: HybridFolder,
        simulation: HybridSimulation,
        record: dict[str, Any],
        clocks: _Clocks,
    ):
        self._prepared, self._folder, self._simulation = prepared, folder, simulation
        self._record, self._clocks = record, clocks
        self._protocol = prepared.settings.protocol
        append = simulation.currentStep > 0
        self._table = cycle_table(folder.cycles, append)
        seeds = self._protocol.seeds
        self._seeds = SeedWriter(folder.seeds, simulation, seeds.every) if seeds is not None else None
        every = self._protocol.output.frame_every
        with output_errors(folder.trajectory):
            if not append:
                folder.trajectory.write_bytes(b"")
            self._trajectory = app.XTCFile(
                str(folder.trajectory), simulation.topology, simulation.integrator.getStepSize(),
                firstStep=every, interval=every, append=append,
            )  # fmt: skip

    @classmethod
    def started(cls, prepared: PreparedHybrid, folder: HybridFolder, observer: RunObserver) -> "_HybridRun":
        """A new run: thermalise, write the first files and a checkpoint before the first cycle."""
        run, text = prepared.run, f"MD, {prepared.settings.protocol.thermalise_ps:g} ps"
        write_json(folder.run_record, _record(prepared, {}, 0))
        state = thermalise(
            run.molecule, prepared.system, prepared.md, prepared.settings.protocol.thermalise_ps, run.seeds[:2],
            run.platform, lambda fraction: observer.stage(text, fraction),
        )  # fmt: skip
        with output_errors(folder.topology), open(folder.topology, "w", encoding="utf-8") as stream:
            positions = state.positions * unit.nanometer
            app.PDBFile.writeFile(run.molecule.topology, positions, stream, keepIds=True)
        monitor = prepared.monitor(_start(folder))
        simulation = prepared.simulation(monitor)
        simulation.context.setPositions(state.positions)
        simulation.drawVelocities()
        record = _record(prepared, {"thermalisation": state.record}, monitor.n_stereocentres)
        record["exact"] = simulation.isExact()
        started = cls(prepared, folder, simulation, record, _Clocks())
        if started._seeds is not None:
            started._seeds.prepare()
        started._save("running")
        return started

    @classmethod
    def continued(
        cls, prepared: PreparedHybrid, folder: HybridFolder, record: dict[str, Any]
    ) -> "_HybridRun":
        """The run in `folder`, cut back to its last checkpoint."""
        data, saved = folder.load_checkpoint()
        simulation = prepared.simulation(prepared.monitor(_start(folder)))
        try:
            simulation.context.loadCheckpoint(data)
            clocks = _Clocks(**saved["clocks"])
            done, total = simulation.currentStep, prepared.settings.protocol.cycles
            record["protocol"]["cycles"] = total
            record["resumed"].append(done)
        except (KeyError, TypeError, AttributeError, openmm.OpenMMException) as error:
            raise CheckpointError(
                f"'{folder.checkpoint}' can't be loaded ({error}); resume on the machine, platform and versions that "
                "wrote it, or start again in a new folder."
            ) from error
        if done > total:
            raise ConfigError(
                f"'{folder.path}' has {done} cycles already, and {total} are fewer; ask for more."
            )
        folder.truncate_to(saved)
        return cls(prepared, folder, simulation, record, clocks)

    def run(self, observer: RunObserver) -> dict[str, Any]:
        """Make the cycles that are left; returns the record."""
        simulation, total = self._simulation, self._protocol.cycles
        done = simulation.currentStep
        try:
            while done < total and not (done and observer.should_stop()):
                wall, cpu = time.perf_counter(), time.process_time()
                simulation.step(1)
                done += 1
                self._write(done)
                if done % self._protocol.output.checkpoint_every == 0:
                    self._save("running")
                self._clocks.wall_s += time.perf_counter() - wall
                self._clocks.cpu_s += time.process_time() - cpu
                observer.jump(self._progress(done))
            if self._seeds is not None:
                self._record["start_points"] = self._seeds.finish(done)
            self._warn_of_refusals(observer)
            self._save("finished" if done == total else "interrupted")
        except openmm.OpenMMException:
            self._write_record("stopped")
            raise
        finally:
            self._table.close()
        return self._folder.read_run_record()

    def _write(self, cycle: int) -> None:
        assert self._simulation.lastCycle is not None  # a cycle was made
        if cycle % self._protocol.output.frame_every == 0:
            positions = self._simulation.context.getState(positions=True).getPositions(asNumpy=True)
            with output_errors(self._folder.trajectory):
                self._trajectory.writeModel(positions)
        self._table.write(self._simulation.lastCycle)
        if self._seeds is not None:
            self._seeds.after_cycle(cycle)

    def _progress(self, done: int) -> JumpProgress:
        counts = self._simulation.getCounts()
        rate = done / self._clocks.wall_s if self._clocks.wall_s > 0 else math.nan
        length = self._simulation.integrator.getStepSize().value_in_unit(unit.picosecond)
        acceptance = counts.accepted / counts.jumps if counts.jumps else math.nan
        return JumpProgress(done, self._protocol.cycles, rate, rate * length * _NS_PER_DAY, acceptance)

    def _warn_of_refusals(self, observer: RunObserver) -> None:
        counts = self._simulation.getCounts()
        if self._protocol.kind != "sample" and counts.accepted < 0.5 * counts.jumps:
            message = (
                f"Only {counts.accepted} of {counts.jumps} jumps were kept; the molecule, its environment or its "
                "temperature is outside what the model was trained for."
            )
        elif self._protocol.kind == "sample" and counts.accepted < 10 and counts.jumps:
            message = (
                f"Only {counts.accepted} of {counts.jumps} jumps were accepted, so this is hardly more than MD; the "
                "distribution is exact in the limit, but has not been reached by jumps here."
            )
        else:
            return
        self._record["warnings"] = [*self._prepared.run.warnings, message]
        observer.warn(message)

    def _save(self, status: str) -> None:
        """Checkpoint, then run.json."""
        data = self._simulation.context.createCheckpoint()
        self._folder.save_checkpoint(data, {"clocks": asdict(self._clocks)})
        self._write_record(status)

    def _write_record(self, status: str) -> None:
        counts, md = self._simulation.getCounts(), self._simulation.mdIntegrator
        self._record["status"] = status
        self._record["cycles"] = {
            "done": counts.cycles,
            **asdict(self._clocks),
            "cycles_per_s": self._progress(counts.cycles).jumps_per_s,
            **{
                name: getattr(counts, name)
                for name in ("md_time_ps", "jump_time_ps", "md_steps", "relaxation_steps")
            },
            "jumps": counts.jumps,
            "accepted": counts.accepted,
            "rejected": counts.rejected,
            "ghmc_acceptance": md.getAcceptanceRate() if isinstance(md, GHMCIntegrator) else None,
        }
        judged = self._simulation.jumpIntegrator.getAcceptanceStatistics()
        if judged["judged"]:
            self._record["cycles"]["acceptance"] = judged
        write_json(self._folder.run_record, self._record)


def _record(prepared: PreparedHybrid, md: dict[str, Any], stereocentres: int) -> dict[str, Any]:
    """The record of a run before its first cycle."""
    record = initial_record(prepared.run, md, stereocentres)
    for name in ("jumps", "policy", "md_timing_s", "checkpoint_interval"):
        record["settings"].pop(name)
    record.pop("jumps")
    protocol = prepared.settings.protocol.model_dump()
    return {**record, "identity": prepared.identity, "protocol": protocol, "cycles": {}}


def _start(folder: HybridFolder) -> np.ndarray:
    """Positions (nm) in topology.pdb: handedness is theirs in a new and in a resumed run."""
    positions = app.PDBFile(str(folder.topology)).getPositions(asNumpy=True)
    return np.asarray(positions.value_in_unit(unit.nanometer))
